"""JSON Schemas of values: scalars, lists of them, and the other kinds without a table of keys.

A schema sees what a YAML reader makes of a manifest, so a text may be a number or a boolean there, as it may be in the
manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from editc.manifests import prompts, value_kinds
from editc.registry.options import Option
from editc.registry.table import Table

JsonSchema: TypeAlias = dict[str, Any]
"""A JSON Schema, as what `json` writes."""
Names: TypeAlias = Callable[[Table, str | None], tuple[str, ...]]
"""Gives the names of a table that a manifest may use, for one kind of model or for any (None)."""

_ONE_LINE = r"^\s*\S.*\s*$"
"""A text that is not blank and stands on one line."""
_ONE_SLOT = r"^((?!\{\}).)*\{\}((?!\{\}).)*\s*$"
"""A text with exactly one `{}`."""
_LAYERS = rf"^([0-9]{{1,5}}(\s*-\s*[0-9]{{1,5}})?|{value_kinds.AUTO})$"
"""`5`, `4-8` or `auto`."""


def own_names(table: Table, models: str | None = None) -> tuple[str, ...]:
    """The names that come with editc, in their order."""
    return tuple(name for name in table.in_order(models) if table.module(name))


def installed_names(table: Table, models: str | None = None) -> tuple[str, ...]:
    """The names that come with editc, then those of installed packages that can be imported."""
    return tuple(name for name, _ in table.each(models))


def text(slot: bool = False, pattern: str = "") -> JsonSchema:
    """A text on one line. `slot`: with exactly one `{}`. `pattern`: a stricter rule for it."""
    if slot or pattern:
        return {"type": "string", "pattern": pattern or _ONE_SLOT}
    return {"type": ["string", "number", "boolean"], "pattern": _ONE_LINE}


def words(known: Sequence[str]) -> JsonSchema:
    """One of these words."""
    return {"enum": list(known)}


def any_of(*schemas: JsonSchema) -> JsonSchema:
    """A value that fits one of these; those that are equal count once."""
    distinct = [one for i, one in enumerate(schemas) if one not in schemas[:i]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def value(kind: value_kinds.ValueKind, names: Names) -> JsonSchema:
    """The schema of a value that has no table of keys. Raises TypeError for one that has."""
    match kind:
        case value_kinds.Text():
            return text(kind.slot)
        case value_kinds.Number():
            number = {"type": "number", **_bounds(kind.low, kind.high, kind.above)}
            return any_of(number, words(kind.words)) if kind.words else number
        case value_kinds.WholeNumber():
            return {"type": "integer", **_bounds(kind.low, kind.high, False)}
        case value_kinds.Flag():
            return {"type": "boolean"}
        case value_kinds.OneOf():
            return words(kind.words)
        case value_kinds.ListedName():
            return words(names(kind.table, None))
        case value_kinds.RegistryName():
            return words(names(kind.table, kind.models))
        case value_kinds.ListOf():
            items = {"type": "array", "items": value(kind.item, names)}
            return items | ({"minItems": kind.min_items} if kind.min_items else {})
        case _:
            return _mapping(kind)


def _mapping(kind: value_kinds.ValueKind) -> JsonSchema:
    """The schema of a value whose keys, if it has any, are the user's own words."""
    match kind:
        case value_kinds.PromptList():
            slot = text(kind.slot)
            listed = {"type": "array", "items": slot, "minItems": 1}
            answers = {"type": "object", "propertyNames": slot, "additionalProperties": text(), "minProperties": 1}
            return any_of(text(), listed, *([answers] if kind.answers else []))
        case value_kinds.Layers():
            number: JsonSchema = {"type": "integer", "minimum": 0, "maximum": prompts.MAX_LAYERS - 1}
            one = any_of(number, text(pattern=_LAYERS))
            return any_of(*one["anyOf"], {"type": "array", "items": one, "minItems": 1})
        case value_kinds.Shares():
            share = {"type": "number", "minimum": 0, "maximum": 1}
            return {"type": "object", "additionalProperties": share, "minProperties": 1}
        case value_kinds.Wordings():
            texts = any_of(text(), {"type": "array", "items": text(), "minItems": 1})
            return {"type": "object", "additionalProperties": texts}
        case _:
            raise TypeError(f"no schema for {kind}")


def options(found: Sequence[Option], texts: Mapping[str, str]) -> dict[str, JsonSchema]:
    """The options of a method or an attack as properties, with what they do and their defaults."""
    return {one.name: _option(one, texts.get(one.name, "")) for one in found}


def _option(one: Option, says: str) -> JsonSchema:
    """The schema of one option."""
    schema = value(value_kinds.option_kind(one.type), own_names)
    return described(schema | ({} if one.default is None else {"default": one.default}), says, optional=False)


def described(schema: JsonSchema, says: str, optional: bool = True) -> JsonSchema:
    """The schema with its text, which editors show. An optional key may be null: it is then as if left out."""
    known = {"description": re.sub(r"\s+", " ", says)} if says else {}
    return known | (_or_null(schema) if optional else schema)


def _or_null(schema: JsonSchema) -> JsonSchema:
    """The schema, which null fits too."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return schema | {"type": [*kinds, "null"]}


def _bounds(low: float | None, high: float | None, above: bool) -> JsonSchema:
    """The bounds of a number; those that are None are left out."""
    least = {} if low is None else {"exclusiveMinimum" if above else "minimum": low}
    return least | ({} if high is None else {"maximum": high})
