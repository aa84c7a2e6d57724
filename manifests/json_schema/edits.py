"""The JSON Schema of the list `edits`: an item is of the kind whose key it has, and takes the options of its method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from editc.manifests import image_schema, language_schema, value_kinds
from editc.manifests.json_schema import values
from editc.manifests.json_schema.blocks import closed, properties
from editc.manifests.json_schema.values import JsonSchema, Names
from editc.manifests.language_edits import methods_of
from editc.registry.methods import METHODS
from editc.registry.options import option_texts, options


def edits(names: Names) -> JsonSchema:
    """The list of edits. Each kind of edit is a definition of `definitions`."""
    kinds = list(language_schema.KINDS)
    item: JsonSchema = {
        "type": "object",
        "properties": {kind: {"description": _kind_text(kind)} for kind in kinds},
        "anyOf": [{"required": [kind]} for kind in kinds],
        "allOf": [{"if": {"required": [kind]}, "then": {"$ref": f"#/definitions/{kind}"}} for kind in kinds],
    }
    return {"type": "array", "items": item, "minItems": 1}


def definitions(names: Names) -> dict[str, JsonSchema]:
    """Kind of edit -> its schema, and `options-METHOD` -> the options of a method."""
    every = {method: values.options(options(method), _texts(method)) for method in names(METHODS, None)}
    kinds = {kind: _edit(kind, names, every) for kind in language_schema.KINDS}
    return kinds | {f"options-{method}": {"properties": found} for method, found in every.items() if found}


def _kind_text(kind: str) -> str:
    """What the key of a kind of edit is."""
    field = language_schema.KINDS[kind].field(kind)
    return field.doc if field else ""


def _texts(method: str) -> Mapping[str, str]:
    return option_texts(METHODS.resolve(method))


def _edit(kind: str, names: Names, every: Mapping[str, Mapping[str, JsonSchema]]) -> JsonSchema:
    """An edit of one kind. With a method it has the keys of its table and the method's options; without one it may have
    options of any, because another edit may name the method."""
    tables = [tables[kind] for tables in (image_schema.EDITS, language_schema.EDITS) if kind in tables]
    keys: dict[str, JsonSchema] = {}
    for (
        table
    ) in tables:  # where both kinds of models have a key, the image model's allows what the other's does, and more
        keys = properties(table, names) | keys
    required = [field.name for field in tables[0].fields if field.required]
    methods = _methods(kind, names)
    if not methods:
        return closed(keys, required)
    keys["method"] = values.described(values.words(methods), keys["method"]["description"])
    rules = [_with_method(kind, method, every[method]) for method in methods]
    bare: JsonSchema = {
        "if": {"not": {"required": ["method"]}},
        "then": closed(keys | _any_options(methods, every), []),
    }
    bare["then"]["properties"] |= dict.fromkeys(keys, True)
    return {"type": "object", "properties": keys, "required": required, "allOf": [bare, *rules]}


def _methods(kind: str, names: Names) -> Sequence[str]:
    """The methods that an edit of this kind may name, image models' first. Empty for `fuse`, whose methods are words of
    its table."""
    image = names(METHODS, "image") if kind in image_schema.EDITS and kind != "fuse" else ()
    known = names(METHODS, "language")
    language = methods_of(kind) if kind in language_schema.EDITS else ()
    return [*image, *(one for one in known if one in language)]


def _with_method(kind: str, method: str, own: Mapping[str, JsonSchema]) -> JsonSchema:
    """The rule that an edit with this method has the keys of its table and the method's options, and no others."""
    chosen = {"required": ["method"], "properties": {"method": {"const": method}}}
    refs = {name: {"$ref": f"#/definitions/options-{method}/properties/{name}"} for name in own}
    allowed: dict[str, JsonSchema | bool] = {**refs, **dict.fromkeys(_table(kind, method).names, True)}
    return {"if": chosen, "then": closed(allowed, [])}


def _table(kind: str, method: str) -> value_kinds.KeyTable:
    """The table of an edit: `erase` has one for each kind of model."""
    tables = language_schema.EDITS if METHODS.models_of(method) == "language" else image_schema.EDITS
    return tables[kind]


def _any_options(methods: Sequence[str], every: Mapping[str, Mapping[str, JsonSchema]]) -> dict[str, JsonSchema]:
    """The options of all these methods. One that several have may be what any of them takes."""
    return {name: values.any_of(*_bare(name, methods, every)) for method in methods for name in every[method]}


def _bare(name: str, methods: Sequence[str], every: Mapping[str, Mapping[str, JsonSchema]]) -> Iterator[JsonSchema]:
    """The schemas of an option of this name, without texts and defaults, which differ between methods."""
    for method in methods:
        if name in every[method]:
            schema = every[method][name]
            yield {key: part for key, part in schema.items() if key not in ("description", "default")}
