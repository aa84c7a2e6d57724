"""Every field of a dataclass in the formats says under it what it is: type, shape, unit, and what None means."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("formats", "editc/registry", "editc/backends/detectors")


def undocumented(tree: ast.Module) -> Iterator[str]:
    """`Class.field` of every field without a docstring under it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            for field, under in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
                text = isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant)
                if isinstance(field, ast.AnnAssign) and not text:
                    yield f"{node.name}.{ast.unparse(field.target)}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_field_has_a_docstring_of_its_own(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert not {str(path): found for path in files if (found := [*undocumented(ast.parse(path.read_text()))])}
