"""The tables of the manifest agree with the dataclasses that they fill, and reading one imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from editc.manifests import schema
from editc.request import (
    Choice,
    Constraints,
    KeyRule,
    Manifest,
    Measuring,
    PictureCheck,
    Preserve,
    Request,
    TokenWeights,
)

PAIRS = [
    (schema.PRESERVE, Preserve),
    (schema.SITES, Choice),
    (schema.CONSTRAINTS, Constraints),
    (schema.IMAGES, PictureCheck),
    (schema.TOKENS, TokenWeights),
    (schema.MEASURED, Measuring),
]


def tables() -> Iterator[schema.Table]:
    yield from (schema.MANIFEST, schema.ERASE, schema.REPLACE, schema.MODERATE, schema.SUBSTITUTE, schema.BALANCE)
    yield schema.FUSE
    yield from (schema.VERIFY, *(table for table, _ in PAIRS))


@pytest.mark.parametrize(("table", "kind"), PAIRS, ids=lambda value: getattr(value, "name", ""))
def test_a_block_fills_every_field_of_its_dataclass(table: schema.Table, kind: type) -> None:
    assert {field.attribute for field in table.fields} | {"spans"} == {field.name for field in fields(kind)}


def test_edits_fill_every_field_of_a_request() -> None:
    edits = (schema.ERASE, schema.REPLACE, schema.MODERATE, schema.SUBSTITUTE, schema.BALANCE, schema.FUSE)
    filled = {field.attribute for table in edits for field in table.fields} - {"replace", "moderate"}
    assert filled | {"spans", "kind", "options"} == {field.name for field in fields(Request)}


def test_the_manifest_fills_every_field() -> None:
    filled = {field.attribute for field in schema.MANIFEST.fields} - {"editc", "verify"}
    assert filled | {"spans", "source", "digest", "kept", "pictures"} == {field.name for field in fields(Manifest)}


def test_key_rules_are_those_of_the_request() -> None:
    keys = schema.ERASE.field("keys")
    assert keys is not None and isinstance(keys.kind, schema.OneOf)
    assert keys.kind.words == get_args(KeyRule)


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: table.name)
def test_every_key_is_documented_and_unique(table: schema.Table) -> None:
    assert len(set(table.names)) == len(table.names)
    assert all(field.doc and field.kind.expects for field in table.fields)


def test_checking_a_manifest_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("editc: 1\nmodel: editc:demo\nedits: [{erase: circle, method: rece, epochs: 2}]\n")
    script = f"""
import sys
from editc.manifests.decode import load
load({str(path)!r})
heavy = {{"torch", "scipy", "transformers", "diffusers", "safetensors", "PIL", "jinja2"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)
