"""The files for whoever comes to the project say what the project says: licence, metadata, workflow and hooks."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet
from places import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def loaded(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def pythons() -> list[str]:
    """The versions of Python that the classifiers name."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in PROJECT["classifiers"]]
    return [one[1] for one in found if one]


def job() -> dict[str, Any]:
    (only,) = loaded(".github/workflows/test.yml")["jobs"].values()
    assert isinstance(only, dict)
    return only


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0" and PROJECT["license-files"] == ["LICENSE"]
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert [f"   {number}. " in text for number in range(1, 10)] == [True] * 9


def test_the_workflow_runs_every_python_that_the_project_names() -> None:
    matrix = job()["strategy"]["matrix"]["python"]
    assert matrix == pythons()
    wanted = SpecifierSet(PROJECT["requires-python"])
    assert all(one in wanted for one in matrix) and SpecifierSet(f">={matrix[0]}") == wanted


def test_the_workflow_runs_the_test_command_of_the_readme() -> None:
    commands = [step["run"] for step in job()["steps"] if "run" in step]
    assert "make test" in commands
    assert "$ make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"\n{command.removeprefix('make ')}: " in MAKEFILE for command in commands)


def test_hooks_before_a_commit_are_the_project_s_own_commands() -> None:
    """Hooks of other repositories would bring versions of their own beside those of constraints.txt."""
    (repository,) = loaded(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    commands = [hook["entry"] for hook in repository["hooks"]]
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    for command in commands:
        program, *rest = command.split()
        assert (program == "make" and f"\n{rest[0]}: " in MAKEFILE) or (program, rest[0]) in {
            (".venv/bin/ruff", "check"),
            (".venv/bin/ruff", "format"),
        }
    assert "$(BIN)/ruff check" in MAKEFILE and "$(BIN)/ruff format" in MAKEFILE and "VENV   ?= .venv" in MAKEFILE
    assert len(commands) == 3


def test_the_changelog_knows_the_version() -> None:
    """A version that is released has a heading of its own; until then there is `Unreleased`."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(PROJECT["version"])
