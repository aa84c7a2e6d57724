"""Every command of the README runs, in its order, or another test runs it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hub_server import running_hub
from pages import blocks, type_command
from places import ROOT
from signing_cases import DELTAS, key_files

from editc import api
from editc.demo import MODEL

NOT_RUN = {
    "make demo": "installs editc; what it builds is tests/end_to_end/test_end_to_end.py",
    "make test": "runs these tests",
    "pip install": "installs editc; CI does, from a clean checkout",
    "editc attack": "takes a minute: tests/verbs/test_attack.py has less to try",
    "editc suggest": "takes some seconds: tests/passes/images/test_suggest.py runs it on a pico model",
}
"""Commands that this test does not type, by their beginning, and why."""
WORDS = {
    "MODEL": "model",
    "PATCHED": "patched",
    "X": "circle",
    "Y": "square",
    "FILE": "edit.safetensors",
    "A": "out/delta.safetensors",
    "B": "star/delta.safetensors",
    "BOTH": "both.safetensors",
    "BASE": "model",
    "EDITED": "patched",
    "DELTA": "diff.safetensors",
}
"""What stands for a word in capitals."""
PLAN = "fleet: 1\ndo: apply\ndeltas: [deltas/shared.safetensors]\nmodels: [deltas/base]\n"
STAR = "editc: 1\nmodel: editc:demo\nedits: [{erase: star, to: heart}]\n"


def commands() -> list[str]:
    """The commands of the README without their comments, in its order."""
    found = (line for block in blocks(ROOT / "README.md") if block.kind == "console" for line, _ in block.commands())
    return [re.sub(r"\s+#.*", "", line) for line in found]


def typed(line: str) -> list[str]:
    """The command with a file in place of each word in capitals. An edit is made in place too, so that `revert` has
    something to undo; a page is exported, because it is served until Ctrl-C."""
    line = re.sub(r"\b[A-Z]+\b", lambda word: WORDS.get(word[0], word[0]), line)
    if line.startswith("editc view"):
        return [f"{line} --export page.html"]
    return [line, line.replace("--out patched", "--in-place")] if line.startswith("editc apply") else [line]


def test_what_is_not_run_is_in_the_readme_and_the_tests_that_are_named_exist() -> None:
    assert not [start for start in NOT_RUN if not any(line.startswith(start) for line in commands())]
    assert not [
        name for why in NOT_RUN.values() for name in re.findall(r"tests/\S+\.py", why) if not (ROOT / name).exists()
    ]


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MODEL, "model")
    shutil.copytree(DELTAS, "deltas")
    shutil.copyfile(key_files(tmp_path, "mine").secret, "key.pem")
    Path("plan.yaml").write_text(PLAN)
    Path("star.yaml").write_text(STAR)
    api.build("star.yaml", "star")
    with running_hub(monkeypatch) as hub:
        for command in commands():
            if not command.startswith(tuple(NOT_RUN)):
                for line in typed(command):
                    done = type_command(line)
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert hub.repos["owner/name"]
    assert all(Path(name).exists() for name in ("patched", "both.safetensors", "diff.safetensors", "page.html"))
    assert Path("fleet/fleet.html").exists()
