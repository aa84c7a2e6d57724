"""The catalogue of codes: complete, well formed, and its examples do what they say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import manifest_methods
import pytest
from places import ROOT

from editc.codes import BUG, Code, catalogue, exit_code, explain, lookup, parse
from editc.core.diagnostics import Diagnostic
from editc.core.places import Source
from editc.manifests.decode import decode

RAISED_BY = {
    "manifest": ("manifests", "editc"),
    "locate": ("passes", "editc"),
    "derive": ("passes", "editc"),
    "solve": ("passes", "editc"),
    "verify": ("passes", "editc"),
    "formats": ("formats", "editc"),
    "fleet": ("editc",),
    "cache": ("editc",),
    "publish": ("editc", "formats"),
    "signing": ("editc",),
    "view": ("editc",),
}
FIRST_DIGIT = {
    "manifest": "1",
    "locate": "2",
    "derive": "3",
    "solve": "4",
    "verify": "5",
    "formats": "6",
    "fleet": "7",
    "cache": "8",
    "publish": "9",
    "signing": "9",
    "view": "9",
}


def sources(folder: str) -> Iterator[Path]:
    return (path for path in (ROOT / folder).rglob("*.py") if "demo" not in path.parts)


@cache
def raised(*folders: str) -> dict[str, Path]:
    """Every string `E123` in the code of these folders, docstrings aside."""
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in sources(folder)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"E\d{3}", node.value):
                found.setdefault(node.value, path.relative_to(ROOT))
    return found


def entries() -> list[Code]:
    return list(catalogue().values())


@pytest.mark.parametrize("stage", sorted({entry.stage for entry in entries()}))
def test_codes_that_are_raised_are_documented(stage: str) -> None:
    digit = FIRST_DIGIT[stage]
    missing = {
        code: path
        for code, path in raised("editc", "passes", "formats", "manifests").items()
        if code[1] == digit and code not in catalogue()
    }
    assert not missing


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.code)
def test_a_documented_code_is_raised_somewhere(entry: Code) -> None:
    folders = RAISED_BY[entry.stage]
    if not list(sources(folders[0])):
        pytest.skip(f"{folders[0]}/ is not written yet")
    assert entry.code in raised(*folders)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.code)
def test_an_entry_is_in_its_page_and_says_something(entry: Code) -> None:
    assert entry.code[1] == FIRST_DIGIT[entry.stage]
    first = entry.title.split()[0]
    assert first in (first[0].lower() + first[1:], first.upper())
    assert not entry.title.endswith(".") and len(entry.title) < 60
    assert all(len(text) > 10 for text in (entry.what, entry.why, entry.example, entry.todo))
    assert entry.code in explain(entry.code) and entry.todo in explain(entry.code)


@pytest.mark.parametrize("entry", [one for one in entries() if one.stage == "manifest"], ids=lambda entry: entry.code)
def test_the_example_gives_that_diagnostic_and_no_other(
    entry: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest_methods.stand_in(monkeypatch)
    example = re.match(r"```yaml\n(.*)```", entry.example, re.DOTALL)
    if example is None:
        assert f"error[{entry.code}]" in entry.example
        return
    _, found = decode(Source("example.yaml", example[1]), tmp_path)
    assert [one.code for one in found] == [entry.code]
    assert found[0].is_error != entry.what.startswith("Warning.")


def test_lookup_takes_either_case_and_knows_what_it_does_not_know() -> None:
    entry = lookup(" e102")
    assert entry is not None and entry.title == "unknown key" and entry.exit == 2
    assert lookup("E999") is None
    with pytest.raises(KeyError):
        explain("E999")


def test_the_exit_code_is_that_of_the_worst_error() -> None:
    usage, unreadable = Diagnostic("E102", ""), Diagnostic("E100", "")
    no, warning = Diagnostic("E206", ""), Diagnostic("E124", "", severity="warning")
    assert exit_code([]) == exit_code([warning]) == 0
    assert exit_code([no, warning]) == 1
    assert exit_code([no, usage, warning]) == 2
    assert exit_code([usage, unreadable, no]) == 3
    assert exit_code([unreadable, Diagnostic("E999", "no such code")]) == BUG


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.code)
def test_a_warning_says_that_it_does_not_change_the_exit_code(entry: Code) -> None:
    warns = re.match(r"(A w|W)arning\b", entry.what) is not None
    assert (entry.exit == 0) == warns
    assert ("does not change the exit code" in explain(entry.code).splitlines()[2]) == warns


WELL = (
    "# Page\n\n## E102: a title\nexit: 2\n\n### What it says\na\n\n### Why\nb\n\n### Example\nc\n\n### What to do\nd\n"
)


def test_parse() -> None:
    assert parse(WELL, "manifest") == (Code("E102", "a title", 2, "a", "b", "c", "d", "manifest"),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exit: 2", "exit: 4"),
        ("exit: 2\n", ""),
        ("### Why\nb\n\n", ""),
        ("### Why", "### How"),
        ("\nd\n", "\n"),
        ("E102:", "E102"),
    ],
)
def test_parse_refuses_an_entry_that_lacks_something(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"stage\.md: "):
        parse(WELL.replace(old, new), "stage")
