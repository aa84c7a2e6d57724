"""The JSON Schema of manifests: made from the tables, it takes every good manifest and refuses mistakes of shape."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schema_cases
import toy_package
import yaml
from command import editc
from imported import imported
from places import CASES, EXAMPLES

from editc import api
from editc.manifests import schema
from editc.manifests.json_schema.whole import manifest_schema, schema_file, schema_text
from editc.registry import table
from editc.registry.methods import METHODS
from editc.registry.options import options

VALIDATOR = jsonschema.Draft7Validator(manifest_schema())
HEAD = "editc: 1\nmodel: editc:demo\n"


def wrong(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def described(found: Mapping[str, Any]) -> Iterator[str]:
    """The names of properties without a text, but for those that only say which keys are allowed."""
    for name, one in found.get("properties", {}).items():
        if isinstance(one, dict) and "$ref" not in one:
            yield from [] if one.get("description") else [name]
            for inner in (one, *one.get("anyOf", ())):
                yield from described(inner)


def test_the_installed_file_is_what_the_tables_make() -> None:
    """`editc schema -o manifests/json_schema/editc-1.schema.json` writes it anew."""
    assert schema_file().read_text(encoding="utf-8") == schema_text(manifest_schema())


def test_it_is_a_schema_of_draft_7_and_small() -> None:
    jsonschema.Draft7Validator.check_schema(manifest_schema())
    assert schema_file().stat().st_size < 400_000


def test_check_jsonschema_takes_every_example_and_every_good_golden_manifest() -> None:
    files = [*EXAMPLES.rglob("*.yaml"), *schema_cases.good_cases()]
    assert len(files) > 35
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema_file()), *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_golden_mistakes_of_shape_are_refused_where_they_stand() -> None:
    """Others are refused elsewhere in their block, or are words that a YAML reader changes: `yes`, `10_000`, `.nan`."""
    seen: Counter[str] = Counter()
    for path in sorted(CASES.glob("*/*.yaml")):
        if found := schema_cases.mistakes(path):
            places = schema_cases.refused_places(path, VALIDATOR)
            seen.update(code for code, place in found if place in places)
    assert sum(seen.values()) >= 200 and set(seen) == schema_cases.SHAPE
    assert seen["E102"] >= 20 and seen["E104"] >= 15 and seen["E105"] >= 60 and seen["E106"] >= 30


@pytest.mark.parametrize(
    "edit",
    [
        "erase: circle, method: rece, epochs: 2, also: [disc]",
        "replace: {from: a, to: b}, keys: last, expand: object, strength: auto",
        "moderate: {concept: a, toward: {b: 0.5}, shares: measured}",
        "fuse: a.safetensors, method: mace",
        "erase: Milo, method: rocr, relations: {'{} is': x}, toward: noise",
        "erase: 1984, to: true",
    ],
)
def test_good_edits_fit(edit: str) -> None:
    assert not wrong(f"{HEAD}edits: [{{{edit}}}]")


@pytest.mark.parametrize(
    "edit",
    [
        "erase: circle, method: uce, epochs: 2",
        "erase: circle, method: rece, epochs: many",
        "erase: circle, method: rece, epochs: null",
        "erase: circle, methods: rece",
        "erase: circle, replace: {from: a, to: b}",
        "erase: [circle, disc]",
        "to: square",
        "moderate: {concept: a, toward: {b: 1.5}}",
        "erase: circle, contexts: [no slot]",
        "erase: circle, strength: 1.6",
        "fact: {prompt: a b, subject: a, answer: c}, method: uce",
        "fact: {prompt: a b, subject: a}",
    ],
)
def test_wrong_edits_do_not(edit: str) -> None:
    assert wrong(f"{HEAD}edits: [{{{edit}}}]")


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ("sites: auto", True),
        ("sites: {layers: 4-8}", True),
        ("sites: {layers: [4, five]}", False),
        ("verify: {images: {detector: 'clip:FOLDER'}}", True),
        ("verify: {images: {detector: {clip: FOLDER, threshold: 0.5}}}", True),
        ("verify: {images: {detector: {editc:demo: FOLDER}}}", False),
        ("verify: {images: {detector: clip}}", False),
        ("verify: {attacks: quick}", True),
        ("verify: {attacks: {inversion: {words: 4, at_most: 0.1}, names: }}", True),
        ("verify: {attacks: {inversion: {wrods: 4}}}", False),
        ("emit: [kohya]", True),
        ("emit: [kohyo]", False),
        ("seed: ~", True),
        ("editc: 2", False),
    ],
)
def test_other_keys(more: str, fits: bool) -> None:
    head = HEAD.partition("\n")[2] if more.startswith("editc") else HEAD
    assert (not wrong(f"{head}edits: [{{erase: circle}}]\n{more}")) == fits


def test_a_kind_of_model_has_not_the_other_s_keys() -> None:
    fact = "edits: [{fact: {prompt: a b, subject: a, answer: c}}]"
    assert not wrong(f"{HEAD}{fact}\nretain: [x]") and wrong(f"{HEAD}{fact}\nverify: {{attacks: quick}}")
    swap = "edits: [{replace: {from: a, to: b}}]"
    assert not wrong(f"{HEAD}{swap}\nverify: {{attacks: quick}}") and wrong(f"{HEAD}{swap}\nretain: [x]")
    assert wrong(f"{HEAD}{fact}\nconstraints: {{erase_residual: 0.1}}")


def test_every_key_has_the_text_of_its_table_and_every_option_that_of_its_field() -> None:
    whole = manifest_schema()
    assert not [*described(whole)]
    assert whole["properties"]["seed"]["description"] == next(f.doc for f in schema.MANIFEST.fields if f.name == "seed")
    for kind in ("erase", "replace", "moderate", "fuse", "fact", "redirect", "ablate"):
        assert not [*described(whole["definitions"][kind])]
    for method in METHODS.names():
        found = whole["definitions"].get(f"options-{method}", {"properties": {}})["properties"]
        assert list(found) == [option.name for option in options(method)]
        assert all(one.get("description") for one in found.values()), method


def test_the_command_prints_it_with_what_packages_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table._entry_points.cache_clear()
    toy_package.pretend_installed(tmp_path / "site", monkeypatch)
    found = json.loads(editc("schema").stdout)
    table._entry_points.cache_clear()
    assert "toy" in found["definitions"]["erase"]["properties"]["method"]["enum"]
    assert "toy-sites" in found["properties"]["emit"]["items"]["enum"] and "options-toy" in found["definitions"]
    assert "toy" not in schema_file().read_text(encoding="utf-8")


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    ran = editc("schema", "-o", str(tmp_path / "new" / "s.json"), "--json")
    assert json.loads(ran.stdout) == {"status": "done", "file": str(tmp_path / "new" / "s.json")}
    assert json.loads((tmp_path / "new" / "s.json").read_text()) == api.manifest_schema()


def test_it_is_made_without_heavy_libraries() -> None:
    heavy = {"torch", "transformers", "diffusers", "scipy", "onnx", "jinja2", "PIL", "jsonschema"}
    assert not imported(["schema"]) & heavy
