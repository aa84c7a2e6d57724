"""The Dockerfile copies what is there and no more, installs what pyproject.toml has, and runs the command of editc."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import PurePosixPath

import pytest
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage -> its instructions (word, rest), in order. The first is FROM."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    plain = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for word, rest in re.findall(r"^([A-Z]+) +(.+)$", plain, re.MULTILINE):
        name = rest.rpartition(" AS ")[2] if word == "FROM" else [*found][-1]
        found.setdefault(name, []).append((word, " ".join(rest.split())))
    return found


def copied() -> list[str]:
    """What is copied out of the repository."""
    rests = [rest for every in stages().values() for word, rest in every if word == "COPY" and "--from=" not in rest]
    return [path for rest in rests for path in rest.split()[:-1]]


def runs(stage: str) -> str:
    """The commands of a stage and of those that it begins with."""
    every = stages()[stage]
    before = every[0][1].partition(" ")[0]
    own = " ".join(rest for word, rest in every if word == "RUN")
    return (runs(before) if before in stages() else "") + own


def sent(path: str) -> bool:
    """True if .dockerignore lets a path of the repository through: the last line that fits decides."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    kept = True
    for line in lines:
        pattern, keep = line.removeprefix("!"), line.startswith("!")
        parents = [path, *map(str, PurePosixPath(path).parents)]
        if any(fnmatch(f"/{one}", pattern.replace("**", "*")) or fnmatch(one, pattern) for one in parents):
            kept = keep
    return kept


def test_all_that_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    assert copied() and not [path for path in copied() if not (ROOT / path).exists() or not sent(path)]


def test_nothing_else_is_sent_to_the_builder() -> None:
    names = {path.name for path in ROOT.iterdir()}
    assert {name for name in names if sent(name)} == set(copied())
    assert sent("editc/api.py") and not sent("editc/__pycache__/api.cpython-313.pyc") and not sent(".git/config")


def test_all_that_an_installation_needs_is_copied() -> None:
    setup = PROJECT["tool"]["setuptools"]["package-dir"].values()
    named = {*setup, PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"}
    assert named <= set(copied())


@pytest.mark.parametrize(("stage", "torch"), [("install-apply", False), ("install-build", True)])
def test_an_image_has_extras_that_exist_in_the_pinned_versions(stage: str, torch: bool) -> None:
    commands = runs(stage)
    (extras,) = re.findall(r"'\.\[(.+?)\]'", commands)
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    assert "-c constraints.txt" in commands and ("build" in extras.split(",")) == torch


@pytest.mark.parametrize("target", ["apply", "build"])
def test_an_image_runs_editc_and_not_as_root(target: str) -> None:
    (_, base), (_, copy) = stages()[target]
    assert base.startswith("runtime ") and f"--from=install-{target} /opt/editc /opt/editc" in copy
    runtime = dict(stages()["runtime"])
    assert runtime["USER"].isdigit() and int(runtime["USER"]) > 0 and f"--uid {runtime['USER']}" in runtime["RUN"]
    assert json.loads(runtime["ENTRYPOINT"]) == [*PROJECT["project"]["scripts"]] == ["editc"]
    assert "PATH=/opt/editc/bin:$PATH" in runtime["ENV"]


def test_without_a_target_the_small_image_is_made() -> None:
    assert [*stages()][-1] == "apply"


def test_the_base_is_a_python_that_editc_runs_on() -> None:
    (version,) = re.findall(r"^ARG PYTHON=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]
    outside = {every[0][1].partition(" ")[0] for name, every in stages().items() if name} - stages().keys()
    assert outside == {"python:${PYTHON}-slim"}


def test_the_page_names_the_targets_of_the_file() -> None:
    page = (ROOT / "docs/how-to/run-in-a-container.md").read_text(encoding="utf-8")
    built = [shlex.split(line) for line in re.findall(r"^\$ (docker build .+?)(?: +#.*)?$", page, re.MULTILINE)]
    assert {words[words.index("--target") + 1] for words in built} == {"apply", "build"}
    arguments = {word.partition("=")[0] for words in built for word in words if re.match(r"[A-Z_]+=", word)}
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert arguments <= known
