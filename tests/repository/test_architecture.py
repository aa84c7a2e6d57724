"""The shape of the code: imports point one way, heavy libraries stay inside functions, the wheel holds everything."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from imported import imported
from places import ROOT

FOLDERS = {"passes": "editc.passes", "formats": "editc.formats", "manifests": "editc.manifests", "editc": "editc"}
FLOORS = (
    "editc.numerics editc.texts editc.demo editc.notebook editc.progress",
    "editc.core",
    "editc.registry editc.libraries editc.judging editc.codes editc.families editc.backends editc.cache "
    "editc.fleet.results",
    "editc.manifests editc.formats.containers editc.passes.methods",
    "editc.formats.models editc.formats.delta",
    "editc.formats.apply editc.formats.diff editc.formats.link",
    "editc.formats.exports",
    "editc.formats.doctor",
    "editc.formats editc.passes",
    "editc.report editc.opening editc.signing editc.publish editc.live editc.ledger",
    "editc.verbs editc.fleet editc.heads editc.stacking editc.start editc.viewing",
    "editc.cli",
    "editc",
)
"""From the ground up: a package may import what stands below it, or beside it."""
APART = (
    ("editc.passes", "editc.formats"),
    ("editc.passes", "editc.manifests"),
    ("editc.formats", "editc.manifests"),
    ("editc.passes.images", "editc.passes.language"),
)
"""Packages that do not know each other: only `editc.verbs` knows both."""
HEAVY = ("torch", "transformers", "diffusers", "scipy", "onnx", "jinja2", "PIL", "matplotlib")


@cache
def modules() -> Mapping[str, ast.Module]:
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def floor(module: str) -> int:
    """The floor of the longest package in FLOORS that holds the module."""
    known = {name: i for i, names in enumerate(FLOORS) for name in names.split()}
    holding = [name for name in known if f"{module}.".startswith(f"{name}.")]
    return known[max(holding, key=len)]


def packages() -> Iterator[tuple[str, str]]:
    """Module -> the folder that it lies in, as a package."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = ".".join([package, *path.relative_to(ROOT / folder).parent.parts])
            yield (inner if path.name == "__init__.py" else f"{inner}.{path.stem}"), inner


def imports(tree: ast.Module, top_only: bool, typed: bool = False) -> Iterator[str]:
    guarded = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in tree.body if top_only else ast.walk(tree):
        if id(node) in guarded and not typed:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def registered(tree: ast.Module) -> Iterator[str]:
    """The modules that a registry names as text, which are imported when a name is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and (named := re.fullmatch(r"(editc(?:\.\w+)+):\w+", str(node.value))):
            yield named[1]


@cache
def graph(strings: bool) -> Mapping[str, set[str]]:
    """Module -> the modules that it imports anywhere, under TYPE_CHECKING too; with `strings`, by a registry also."""
    trees = modules()

    def known(name: str) -> str:
        while name not in trees and "." in name:
            name = name.rpartition(".")[0]
        return name

    return {
        name: {
            known(target)
            for target in (*imports(tree, False, typed=True), *(registered(tree) if strings else ()))
            if target.split(".")[0] == "editc" and known(target) != name
        }
        for name, tree in trees.items()
    }


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        seen, left = set[str](), [start]
        while left:
            for target in edges.get(left.pop(), set()) - seen:
                seen.add(target)
                left.append(target)
        return seen

    within = {name: reached(name) for name in edges}
    return [{other for other in within[name] if name in within[other]} for name in edges if name in within[name]]


def test_imports_point_one_way() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in graph(strings=False).items()
        for target in targets
        if floor(target) > floor(name)
    ]
    assert not wrong


def test_no_files_import_each_other_not_even_by_a_registry() -> None:
    assert not circles(graph(strings=True))


def test_no_packages_import_each_other() -> None:
    package = {name: tree for name, tree in packages()}
    edges: dict[str, set[str]] = {}
    for name, targets in graph(strings=False).items():
        edges.setdefault(package[name], set()).update(package[one] for one in targets if package[one] != package[name])
    assert not circles(edges)


@pytest.mark.parametrize(("one", "other"), APART)
def test_packages_that_do_not_know_each_other(one: str, other: str) -> None:
    for name, targets in graph(strings=False).items():
        for side, away in ((one, other), (other, one)):
            if f"{name}.".startswith(f"{side}."):
                assert not [target for target in targets if f"{target}.".startswith(f"{away}.")], name


def test_heavy_libraries_are_imported_inside_functions() -> None:
    for name, tree in modules().items():
        if not name.startswith("editc.demo"):
            top = [target.split(".")[0] for target in imports(tree, top_only=True)]
            assert not set(top) & set(HEAVY), name


def test_every_file_is_short() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["apply", "tests/fixtures/deltas/v1/shared.safetensors", "--to", "tests/fixtures/deltas/v1/base", "--dry-run"],
        ["explain", "E501"],
        ["inspect", "tests/fixtures/deltas/v1/shared.safetensors"],
        ["doctor", "tests/fixtures/adapters/kohya.safetensors"],
    ],
    ids=lambda a: a[0],
)
def test_commands_without_torch(arguments: list[str]) -> None:
    assert not imported(arguments, ROOT) & set(HEAVY)


def test_the_wheel_holds_the_whole_tree(tmp_path: Path) -> None:
    """A package missing from pyproject's list is silently left out of a wheel."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    expected = set()
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".yaml", ".j2", ".safetensors", ".json", ".txt"}:
                expected.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}")
                if path.suffix == ".py":
                    inner = path.relative_to(ROOT / folder).parent.parts
                    assert ".".join([package, *inner]) in listed
    assert packed >= expected
