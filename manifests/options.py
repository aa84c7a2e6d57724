"""The keys of an edit that are no fields of it: options of its method, or mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from editc.core.diagnostics import EditcError
from editc.core.manifest import Scalar
from editc.core.places import Span
from editc.manifests import image_schema, value_kinds
from editc.manifests.faults import Faults, either, meant, tick
from editc.manifests.scalars import read_scalar
from editc.manifests.tree import Leaf, Node
from editc.registry.methods import METHODS
from editc.registry.options import Option, options
from editc.registry.table import nearest

Options = Mapping[str, Option]
_TABLES = {
    "erase": image_schema.ERASE,
    "replace": image_schema.SUBSTITUTE,
    "moderate": image_schema.BALANCE,
    "fuse": image_schema.FUSE,
}


@dataclass(frozen=True)
class Scope:
    """The edits that a manifest for one kind of model can have."""

    tables: Mapping[str, value_kinds.KeyTable]
    """Kind of edit -> the table of the keys beside it."""
    inner: Mapping[str, value_kinds.KeyTable]
    """Kind of edit -> the table of the keys inside its braces."""
    methods: Callable[[str], Sequence[str]]
    """Gives the names of the methods for a kind of edit."""
    advice: Mapping[str, str]
    """Key -> what to write instead where it stands in the wrong place."""


_SUBSTITUTE = "to name a substitute write `replace: {from: ..., to: ...}`"
_SHIFT = "to shift a concept write `moderate: {concept: ..., toward: {...}}`"
IMAGES = Scope(
    image_schema.EDITS,
    _TABLES,
    lambda kind: () if kind == "fuse" else METHODS.names("image"),
    {"from": _SUBSTITUTE, "to": _SUBSTITUTE, "concept": _SHIFT, "toward": _SHIFT},
)


def read_options(
    keys: Sequence[tuple[Leaf, Node]],
    kind: str,
    method: str | None,
    vague: bool,
    spans: dict[str, Span],
    faults: Faults,
    scope: Scope = IMAGES,
) -> Mapping[str, Scalar]:
    """The options among `keys`, read as the method declares them, their places put into `spans`.

    With no method named, those count that every method has. `vague`: the method is misspelt, so a key that any method
    has is let pass: that one mistake is told already.
    """
    given: dict[str, Scalar] = {}
    if not keys:
        return given
    methods, inside = scope.methods(kind), scope.inner[kind].names
    known = _options_of(method, methods) if methods else {}
    known = {name: option for name, option in known.items() if name not in inside}
    for key, node in keys:
        option = known.get(key.text)
        if option is not None:
            spans |= {key.text: node.span, f"{key.text}:": key.span}
            value = read_scalar(node, value_kinds.option_kind(option.type), tick(key.text), faults)
            given |= {} if value is None else {key.text: value}
        elif key.text not in inside and (owners := _owners(key.text, methods)):
            if not vague:
                _other_method(key, owners, method, faults)
        elif any(table.field(key.text) for table in scope.inner.values()):
            message = f"{tick(key.text)} does not belong beside {tick(kind)}"
            faults.add("E113", message, key.span, help=_proper_place(key.text, kind, scope))
        else:
            _report_unknown_key(key, scope.tables[kind].names, method, known, faults)
    return given


def _options_of(method: str | None, methods: Sequence[str]) -> Options:
    """The method's options; with no method named, those that every method of editc's own has and reads alike: which
    packages are installed changes no manifest."""
    if method is not None:
        return {option.name: option for option in options(method)}
    tables = [{option.name: option for option in options(name)} for name in methods if METHODS.module(name)]
    first = tables[0] if tables else {}
    return {
        name: one
        for name, one in first.items()
        if all(name in table and table[name].type == one.type for table in tables)
    }


def _owners(name: str, methods: Sequence[str]) -> tuple[str, ...]:
    """Those of `methods` that have an option of that name."""
    found = []
    for method in methods:
        with suppress(EditcError):  # a plugin that is broken has none
            found += [method for one in options(method) if one.name == name]
    return tuple(found)


def _other_method(key: Leaf, owners: Sequence[str], method: str | None, faults: Faults) -> None:
    choice = either(f"method: {name}" for name in owners)
    used = "no method is named" if method is None else f"this edit uses {tick(method)}"
    message = f"{tick(key.text)} is an option of {either(owners, 'and')}, but {used}"
    faults.add("E131", message, key.span, help=f"add {choice}" if method is None else f"remove it, or write {choice}")


def _report_unknown_key(key: Leaf, names: Sequence[str], method: str | None, known: Options, faults: Faults) -> None:
    near = nearest(key.text, (*names, *known))
    notes = [f"options of {tick(method)}: {either(known, 'and')}"] if method and known and not near else []
    help = f"did you mean {tick(near)}?" if near else meant(key.text, names, "known keys")
    faults.add("E102", f"unknown key {tick(key.text)} in this edit", key.span, help=help, notes=notes)


def _proper_place(name: str, kind: str, scope: Scope) -> str:
    """Where the key would be right."""
    inner = scope.inner.get(kind)
    if inner is not None and inner is not scope.tables[kind] and inner.field(name):
        keys = dict.fromkeys((*(field.name for field in inner.fields if field.required), name))
        return f"write it inside: {kind}: {{{', '.join(f'{key}: ...' for key in keys)}}}"
    owners = either(kind for kind, table in scope.inner.items() if table.field(name))
    return scope.advice.get(name) or f"{tick(name)} goes with {owners}"
