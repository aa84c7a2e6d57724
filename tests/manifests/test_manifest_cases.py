"""Golden diagnostics: `cases/manifest/FOLDER/NAME.yaml` gives exactly the text in `NAME.txt`.

A case may begin with lines `# set: KEY=VALUE`, which are applied as `--set`.
"""

from __future__ import annotations

import re
from pathlib import Path

import manifest_methods
import pytest
from places import CASES

from editc.cli.render import render
from editc.codes import catalogue
from editc.core.places import Source
from editc.manifests.decode import decode
from editc.manifests.overrides import add_overrides

MANIFESTS = sorted(CASES.glob("*/*.yaml"))
ELSEWHERE = {"E100", "E146", "E170", "E171", "E134", "E136", "E137", "E138", "E139"}
"""They need files: test_manifest_decode.py, test_suggest.py, test_detector.py."""


@pytest.fixture(autouse=True)
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_methods.stand_in(monkeypatch)
    monkeypatch.chdir(CASES.parent)  # so that paths in messages are the same everywhere


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_case(path: Path, update_cases: bool) -> None:
    text = path.read_bytes().decode("utf-8")
    source = add_overrides(Source(path.name, text), re.findall(r"^# set: (.*)$", text, re.MULTILINE))
    manifest, found = decode(source, Path("manifest"))
    assert (manifest is None) == any(one.is_error for one in found)
    shown = render(found) or "no errors\n"
    golden = path.with_suffix(".txt")
    if update_cases:
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_every_manifest_code_has_a_case() -> None:
    shown = "".join(path.with_suffix(".txt").read_text(encoding="utf-8") for path in MANIFESTS)
    codes = {code for code, entry in catalogue().items() if entry.stage == "manifest"}
    assert codes - set(re.findall(r"\[(E\d{3})\]", shown)) == ELSEWHERE


def test_every_case_has_its_text_and_every_text_its_case() -> None:
    assert {path.with_suffix(".yaml") for path in CASES.glob("*/*.txt")} == set(MANIFESTS)
    assert not [*CASES.glob("*.yaml")], "a case stands in the folder of the first code that it shows"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_case_stands_in_the_folder_of_its_first_code(path: Path) -> None:
    code = re.search(r"\[(E\d\d)\d\]", path.with_suffix(".txt").read_text(encoding="utf-8"))
    assert path.parent.name == (f"{code[1]}x" if code else "accepted")
