"""JSON Schemas of blocks: a table of keys, a detector, and attacks with their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from editc.manifests import attacks, value_kinds
from editc.manifests.json_schema import values
from editc.manifests.json_schema.values import JsonSchema, Names
from editc.manifests.schema import DETECTOR, SUITE, WORST, WORST_COUNT
from editc.registry.options import option_texts, options_of


def block(
    table: value_kinds.KeyTable, names: Names, instead: Mapping[str, JsonSchema] = MappingProxyType({})
) -> JsonSchema:
    """The block of a table: its keys, those that it must have, and no others. `instead` has the schemas of keys whose
    values are not described by their kind alone."""
    return closed(properties(table, names, instead), [one.name for one in table.fields if one.required])


def properties(
    table: value_kinds.KeyTable, names: Names, instead: Mapping[str, JsonSchema] = MappingProxyType({})
) -> dict[str, JsonSchema]:
    """The keys of a table, each with its schema and its text."""
    return {
        one.name: values.described(
            instead[one.name] if one.name in instead else field_value(one.kind, names), one.doc, not one.required
        )
        for one in table.fields
    }


def closed(found: Mapping[str, JsonSchema | bool], required: list[str]) -> JsonSchema:
    """An object with these keys and no others."""
    needs = {"required": required} if required else {}
    return {"type": "object", "properties": dict(found), **needs, "additionalProperties": False}


def field_value(kind: value_kinds.ValueKind, names: Names) -> JsonSchema:
    """The schema of any value but that of `edits`."""
    match kind:
        case value_kinds.InnerBlock():
            inner = block(kind.table, names)
            return values.any_of(values.words([kind.word]), inner) if kind.word else inner
        case value_kinds.DetectorValue():
            return _detector(names)
        case value_kinds.AttacksValue():
            return _attacks(names)
        case value_kinds.SuiteValue():
            return values.any_of(values.text(), block(SUITE, names))
        case value_kinds.WorstValue():
            return values.any_of(values.value(WORST_COUNT, names), block(WORST, names))
        case _:
            return values.value(kind, names)


def _detector(names: Names) -> JsonSchema:
    """The name of a detector, `NAME:PLACE`, or a block with the name and the keys that it takes."""
    from editc.backends.detectors.lookup import detector_kind
    from editc.registry.detectors import DETECTORS

    kinds = {name: detector_kind(name) for name in names(DETECTORS, None)}
    bare = values.words([name for name, kind in kinds.items() if not kind.place])
    placed = [name for name, kind in kinds.items() if kind.place]
    forms = [values.text(pattern=f"^{name}:{_place_pattern(kinds[name].place)}$") for name in placed]
    keys = properties(DETECTOR, names)
    blocks = [
        closed(
            {
                name: values.described(
                    values.text(pattern=f"^{_place_pattern(kinds[name].place)}$"), kinds[name].says, False
                )
            }
            | {key: keys[key] for key in kinds[name].keys},
            [name],
        )
        for name in placed
    ]
    return values.any_of(bare, *forms, *blocks)


def _place_pattern(place: str) -> str:
    """A pattern for where a detector is: `FILE:NAME` has two parts."""
    return r".*\S.*:.*\S.*" if ":NAME" in place else r".*\S.*"


def _attacks(names: Names) -> JsonSchema:
    """A preset, names of attacks, or a block with the options of each."""
    from editc.registry.attacks import ATTACKS

    known = names(ATTACKS, None)
    listed = {"type": "array", "items": values.words(known)}
    each = {name: values.described(closed(dict(_attack_options(name)), []), _attack_text(name)) for name in known}
    return values.any_of(values.words([*attacks.PRESETS, *known]), listed, closed(each, []))


def _attack_options(name: str) -> Iterator[tuple[str, JsonSchema]]:
    """The keys of one attack: those of every attack, then its own."""
    from editc.registry.attacks import ATTACKS

    kind = ATTACKS.resolve(name)
    yield from values.options(options_of(kind), option_texts(kind)).items()
    for key, common in attacks.COMMON.items():
        schema = values.value(common, values.own_names)
        yield key, values.described(schema, attacks.COMMON_TEXTS[key], optional=False)


def _attack_text(name: str) -> str:
    """What an attack tries."""
    from editc.registry.attacks import ATTACKS

    return str(ATTACKS.resolve(name).summary)
