"""The tables of the manifest agree with the dataclasses that they fill, and reading one imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from editc.core.image_check import BystanderCheck, ImageCheck, ShareSearch, TokenWeights
from editc.core.language_edits import Ablation, Fact, Redirect
from editc.core.manifest import Constraints, Manifest, Preserve, Request, Sites
from editc.manifests import image_schema, language_schema, schema, value_kinds
from editc.manifests.decode import LANGUAGE_KEYS
from editc.manifests.language_edits import methods_of
from editc.registry.methods import METHODS

PAIRS = [
    (schema.PRESERVE, Preserve),
    (schema.SITES, Sites),
    (schema.CONSTRAINTS, Constraints),
    (schema.IMAGES, ImageCheck),
    (image_schema.TOKEN_WEIGHTS, TokenWeights),
    (image_schema.SHARES, ShareSearch),
    (schema.BYSTANDERS, BystanderCheck),
]


def tables() -> Iterator[value_kinds.KeyTable]:
    yield from (
        schema.MANIFEST,
        image_schema.ERASE,
        image_schema.REPLACE,
        image_schema.MODERATE,
        image_schema.REPLACE_KEYS,
        image_schema.MODERATE_KEYS,
    )
    yield image_schema.FUSE
    yield from (*language_schema.EDITS.values(), *language_schema.INNER.values())
    yield from (schema.VERIFY, *(table for table, _ in PAIRS))


@pytest.mark.parametrize(("table", "kind"), PAIRS, ids=lambda value: getattr(value, "name", ""))
def test_a_block_fills_every_field_of_its_dataclass(table: value_kinds.KeyTable, kind: type) -> None:
    made = {"spans", "options"} if kind is ImageCheck else {"spans"}
    assert {field.attribute for field in table.fields} | made == {field.name for field in fields(kind)}


def test_edits_fill_every_field_of_a_request() -> None:
    edits = (
        image_schema.ERASE,
        image_schema.REPLACE,
        image_schema.MODERATE,
        image_schema.REPLACE_KEYS,
        image_schema.MODERATE_KEYS,
        image_schema.FUSE,
    )
    filled = {field.attribute for table in edits for field in table.fields} - {"replace", "moderate"}
    assert filled >= {"thing", "phrases"}, "both make up `attribute`"
    filled = (filled - {"thing", "phrases"}) | {"attribute"}
    assert filled | {"spans", "kind", "options"} == {field.name for field in fields(Request)}


def test_the_manifest_fills_every_field() -> None:
    filled = {field.attribute for field in schema.MANIFEST.fields} - {"editc", "verify"}
    made = {"spans", "source", "digest", "preserve_lines", "images", "attacks", "suite", "worst", "kind", "files"}
    made |= {"worst_rounds"}
    assert filled | made == {field.name for field in fields(Manifest)}
    assert set(LANGUAGE_KEYS) == {field.attribute for field in schema.MANIFEST.fields if field.only == "language"}


@pytest.mark.parametrize(
    ("kind", "made"), [("fact", Fact), ("redirect", Redirect), ("erase", Redirect), ("ablate", Ablation)]
)
def test_edits_of_language_models_fill_every_field_of_theirs(kind: str, made: type) -> None:
    whole = (language_schema.EDITS[kind], language_schema.INNER.get(kind, value_kinds.KeyTable("", ())))
    filled = {field.attribute for table in whole for field in table.fields} - {kind}
    read = {"template" if name == "prompt" else name for name in filled}
    assert read | {"spans", "options"} == {field.name for field in fields(made)} - {"kind"}


def test_each_kind_of_edit_of_a_language_model_has_methods_and_each_method_a_kind() -> None:
    assert {name for kind in language_schema.EDITS for name in methods_of(kind)} == set(METHODS.names("language"))
    assert {kind for name in METHODS.names("language") for kind in METHODS.resolve(name).solves} == set(
        language_schema.EDITS
    )
    assert not set(METHODS.names("language")) & set(METHODS.names("image"))


def test_a_bound_is_a_minimum_where_the_constraints_say_so() -> None:
    assert {field.name for field in schema.CONSTRAINTS.fields if field.minimum} == Constraints.MINIMA


def test_key_rules_are_those_of_the_request() -> None:
    keys = image_schema.ERASE.field("keys")
    assert keys is not None and isinstance(keys.kind, value_kinds.ListedName)
    assert keys.kind.words == ("aligned", "last", "span", "matched", "eot")


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: table.name)
def test_every_key_is_documented_and_unique(table: value_kinds.KeyTable) -> None:
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
