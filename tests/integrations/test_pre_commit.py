"""The hooks that other repositories can use find mistakes in their manifests."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

SOUND = "editc: 1\nmodel: nobody/there\nedits:\n  - erase: circle\n"
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


def commit(place: Path, **texts: str) -> Any:
    """Do what pre-commit does before a commit of these files: choose files by the hook's pattern, run its entry."""
    for name, text in texts.items():
        (place / f"{name}.editc.yaml").write_text(text, encoding="utf-8")
    (place / "other.yaml").write_text("no: manifest\n", encoding="utf-8")
    chosen = sorted(one.name for one in place.iterdir() if re.search(HOOK["files"], one.name))
    program, *options = shlex.split(HOOK["entry"])
    command = [sys.executable, "-m", program, *options, *chosen]
    return subprocess.run(command, cwd=place, capture_output=True, text=True)


def test_sound_manifests_are_let_through_wherever_their_models_are(tmp_path: Path) -> None:
    done = commit(tmp_path, one=SOUND, two=SOUND)
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "one.editc.yaml: OK, without its model",
        "two.editc.yaml: OK, without its model",
    ]


def test_a_mistake_in_one_of_several_stops_the_commit_and_is_shown_with_its_line(tmp_path: Path) -> None:
    done = commit(tmp_path, one=SOUND, two=SOUND + "    strenght: 2\n", three="editc: [")
    assert done.returncode == 2 and "two.editc.yaml:5:5" in done.stderr and "three.editc.yaml:" in done.stderr


@pytest.mark.parametrize("key", ["id", "name", "entry", "language"])
def test_the_hook_has_what_pre_commit_needs(key: str) -> None:
    assert HOOK[key] and isinstance(HOOK[key], str)


def test_the_page_asks_for_the_hook_by_its_name() -> None:
    page = (ROOT / "docs/how-to/check-in-ci.md").read_text(encoding="utf-8")
    (config,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if text.startswith("repos:")]
    (repository,) = yaml.safe_load(config)["repos"]
    assert [one["id"] for one in repository["hooks"]] == [HOOK["id"]]
