"""Completion in the shell: the script of each is click's own, and bash runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from command import editc
from imported import imported

from editc.cli import cli, completing
from editc.start.listing import KINDS
from editc.verbs.explain import explain, known_names


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `editc` in it, as an installation has it, and the script for bash."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "editc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m editc "$@"\n')
    (folder / "editc").chmod(0o755)
    (folder / "editc.bash").write_text(editc("completion", "bash").stdout)
    return folder


def completed(folder: Path, line: str, cwd: Path | None = None) -> set[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    script = (
        f'source {folder}/editc.bash; compopt() {{ echo compopt "$@"; }}; '
        f"COMP_WORDS=({' '.join(word or repr('') for word in words)}); COMP_CWORD={len(words) - 1}; "
        '_editc_completion editc; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split("\n")) - {""}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_click_s_own(shell: str) -> None:
    made = get_completion_class(shell)
    assert made is not None
    script = made(cli, {}, "editc", completing.VARIABLE).source()
    assert editc("completion", shell).stdout.strip() == script.strip() and completing.VARIABLE in script
    assert json.loads(editc("completion", shell, "--json").stdout) == {
        "status": "done",
        "shell": shell,
        "script": script,
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("editc li", {"link", "list"}),
        ("editc list ", set(KINDS)),
        ("editc list me", {"methods"}),
        ("editc explain e61", {name for name in known_names() if name.startswith("E61")}),
        ("editc explain kohy", {"kohya"}),
        ("editc export d --as on", {"onnx-adapter", "onnx-graph", "onnx-multiplier"}),
        ("editc completion z", {"zsh"}),
        ("editc init --ki", {"--kind"}),
        ("editc init --kind st", {"style"}),
    ],
)
def test_bash_completes_names(program: Path, line: str, offered: set[str]) -> None:
    assert offered and completed(program, line) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize("line", ["editc check ma", "editc apply d --to mo", "editc revert mo", "editc inspect d"])
def test_bash_completes_files_itself(program: Path, line: str) -> None:
    assert completed(program, line) == {"compopt -o default"}


def test_every_name_that_is_offered_is_explained() -> None:
    assert len(known_names()) == len(set(known_names())) > 200
    assert all(explain(name) for name in known_names()[::17])


def test_completion_imports_nothing_heavy() -> None:
    assert not imported(["completion", "bash"]) & {"torch", "transformers", "diffusers", "scipy", "onnx", "jinja2"}
