"""The JSON Schema of a whole manifest, and the file with it that is installed with editc."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from editc.manifests import language_schema, schema, value_kinds
from editc.manifests.json_schema import edits, values
from editc.manifests.json_schema.blocks import block
from editc.manifests.json_schema.values import JsonSchema

FILE = f"editc-{schema.VERSION}.schema.json"
"""The name of the installed file, by the version of the manifest language."""


def manifest_schema(installed: bool = False) -> JsonSchema:
    """The schema of a manifest. `installed`: with the names that installed packages add; else with editc's own, as in
    the file."""
    names = values.installed_names if installed else values.own_names
    instead: dict[str, JsonSchema] = {"edits": edits.edits(names), "editc": {"const": schema.VERSION}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"editc manifest, version {schema.VERSION}",
        "description": "What to change in a model, what must stay, and the bounds that a build must meet.",
        **block(schema.MANIFEST, names, instead),
        "allOf": [_only("image", language_schema.IMAGE_ONLY), _only("language", language_schema.LANGUAGE_ONLY)],
        "definitions": edits.definitions(names),
    }


def schema_text(found: JsonSchema) -> str:
    """A schema as the text of its file."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def schema_file() -> Path:
    """The file with the schema that is installed with editc."""
    return Path(str(files("editc.manifests.json_schema"))) / FILE


def _only(models: str, kinds: tuple[str, ...]) -> JsonSchema:
    """The rule that a manifest with an edit of one of these kinds, which one kind of model alone has, has no key that
    only the other kind of model has."""
    contains = {"contains": {"anyOf": [{"required": [kind]} for kind in kinds]}}
    named = {"required": ["edits"], "properties": {"edits": {"type": "array", **contains}}}
    return {"if": named, "then": {"properties": _refused(schema.MANIFEST, models)}}


def _refused(table: value_kinds.KeyTable, models: str) -> dict[str, JsonSchema | bool]:
    """The keys of a table and of its blocks that this kind of model does not have, each with `false`."""
    found: dict[str, JsonSchema | bool] = {}
    for one in table.fields:
        if one.only and one.only != models:
            found[one.name] = False
        elif isinstance(one.kind, value_kinds.InnerBlock) and (inner := _refused(one.kind.table, models)):
            found[one.name] = {"properties": inner}
    return found
