"""The shape of the tests: they lie in folders like the source's, and what two of them need is in tests/support."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from places import ROOT, SUPPORT, TESTS

LIKE_THE_SOURCE = {
    "backends",
    "cache",
    "cli",
    "core",
    "demo",
    "fleet",
    "ledger",
    "live",
    "numerics",
    "opening",
    "progress",
    "publish",
    "registry",
    "report",
    "signing",
    "heads",
    "stacking",
    "start",
    "verbs",
    "viewing",
}
AREAS = LIKE_THE_SOURCE | {"end_to_end", "formats", "integrations", "manifests", "passes", "repository"}
BENCHMARKS = ROOT / "benchmarks"
PATH = {TESTS / "conftest.py", BENCHMARKS / "__init__.py"}
"""The two that say where to look for modules: the tests find the benchmarks, and the benchmarks tests/support."""


@cache
def trees(folder: Path) -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("*.py")))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def test_every_test_lies_in_the_folder_of_what_it_tests() -> None:
    found = {path.relative_to(TESTS).parts for path in TESTS.rglob("test_*.py")}
    assert not [parts for parts in found if len(parts) == 1 or parts[0] not in AREAS]
    assert not [name for name in LIKE_THE_SOURCE if not (ROOT / "editc" / name).is_dir()]


def test_in_the_folders_of_tests_are_tests_only() -> None:
    beside = {path for area in AREAS for path in (TESTS / area).rglob("*.py") if not path.name.startswith("test_")}
    assert not beside, "what tests share lies in tests/support"
    assert not [*SUPPORT.glob("test_*.py")]


def test_no_test_imports_another() -> None:
    for path, tree in (*trees(TESTS), *trees(BENCHMARKS)):
        assert not [name for name in imports(tree) if name.rpartition(".")[2].startswith("test_")], path


def test_what_tests_share_knows_no_benchmark() -> None:
    for path, tree in trees(SUPPORT):
        assert not [name for name in imports(tree) if name.split(".")[0] == "benchmarks"], path


def test_modules_are_found_without_a_word_from_whoever_imports_them() -> None:
    changing = {
        path
        for path, tree in (*trees(TESTS), *trees(BENCHMARKS))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "path" and ast.unparse(node) == "sys.path"
    }
    assert changing == PATH


def test_no_file_of_tests_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS.rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): count for path, count in lengths.items() if count > 400}


def test_helpers_that_only_assert_are_called_so() -> None:
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path, tree in trees(TESTS)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.decorator_list
        if not node.name.startswith(("test_", "assert_", "pytest_")) and ast.unparse(node.returns or node) == "None"
        if any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
    ]
    assert not silent
