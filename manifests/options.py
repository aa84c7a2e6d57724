"""The keys of an edit that its table does not have: options of its method, or mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from editc.core.diagnostics import EditcError
from editc.core.places import Scalar, Span
from editc.manifests import image_schema, value_kinds
from editc.manifests.faults import Faults, list_words, suggest_name, tick
from editc.manifests.scalars import read_scalar
from editc.manifests.tree import Leaf, Node
from editc.registry.methods import METHODS
from editc.registry.options import Option, options
from editc.registry.table import nearest

Options = Mapping[str, Option]
"""Option's name -> the option."""
_INNER_TABLES = {
    "erase": image_schema.ERASE,
    "replace": image_schema.REPLACE_KEYS,
    "moderate": image_schema.MODERATE_KEYS,
    "fuse": image_schema.FUSE,
}
"""Kind of edit -> the table of the keys inside its braces; its own table if it has none."""


@dataclass(frozen=True)
class EditSyntax:
    """Which keys the edits for one kind of model have, and where they stand."""

    outer: Mapping[str, value_kinds.KeyTable]
    """Kind of edit -> the table of the keys beside it."""
    inner: Mapping[str, value_kinds.KeyTable]
    """Kind of edit -> the table of the keys inside its braces."""
    methods: Callable[[str], Sequence[str]]
    """Gives the names of the methods for a kind of edit."""
    advice: Mapping[str, str]
    """Key -> what to write instead where it stands in the wrong place."""


_SUBSTITUTE_ADVICE = "to name a substitute write `replace: {from: ..., to: ...}`"
"""Help for `from` or `to` in the wrong place."""
_SHIFT_ADVICE = "to shift a concept write `moderate: {concept: ..., toward: {...}}`"
"""Help for `concept` or `toward` in the wrong place."""
IMAGE_SYNTAX = EditSyntax(
    image_schema.EDITS,
    _INNER_TABLES,
    lambda kind: () if kind == "fuse" else METHODS.names("image"),
    {"from": _SUBSTITUTE_ADVICE, "to": _SUBSTITUTE_ADVICE, "concept": _SHIFT_ADVICE, "toward": _SHIFT_ADVICE},
)
"""Where the keys of an image model's edits stand."""


def read_options(
    keys: Sequence[tuple[Leaf, Node]],
    kind: str,
    method: str | None,
    method_unreadable: bool,
    spans: dict[str, Span],
    faults: Faults,
    syntax: EditSyntax = IMAGE_SYNTAX,
) -> Mapping[str, Scalar]:
    """The options among `keys`, as the method declares them. Their places are added to `spans`.

    Without a method, an option must be one that every method has. `method_unreadable`: the method's name is wrong,
    which is reported already. Then a key passes if any method has it.
    """
    given: dict[str, Scalar] = {}
    if not keys:
        return given
    methods, inside = syntax.methods(kind), syntax.inner[kind].names
    known = _options_of(method, methods) if methods else {}
    known = {name: option for name, option in known.items() if name not in inside}
    for key, node in keys:
        option = known.get(key.text)
        if option is not None:
            spans |= {key.text: node.span, f"{key.text}:": key.span}
            value = read_scalar(node, value_kinds.option_kind(option.type), tick(key.text), faults)
            given |= {} if value is None else {key.text: value}
        elif key.text not in inside and (owners := _owners(key.text, methods)):
            if not method_unreadable:
                _report_other_method(key, owners, method, faults)
        elif any(table.field(key.text) for table in syntax.inner.values()):
            message = f"{tick(key.text)} does not belong beside {tick(kind)}"
            faults.add("E113", message, key.span, help=_proper_place(key.text, kind, syntax))
        else:
            _report_unknown_key(key, syntax.outer[kind].names, method, known, faults)
    return given


def _options_of(method: str | None, methods: Sequence[str]) -> Options:
    """The method's options. Without a method, those that all of editc's own methods have with the same type.

    Methods of plugins do not count there, so the packages that are installed do not change what a manifest means.
    """
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
    """Those of `methods` that have an option of this name. A plugin that cannot be imported has none."""
    found = []
    for method in methods:
        with suppress(EditcError):  # a broken plugin has no options
            found += [method for one in options(method) if one.name == name]
    return tuple(found)


def _report_other_method(key: Leaf, owners: Sequence[str], method: str | None, faults: Faults) -> None:
    """E131 for an option of another method."""
    choice = list_words(f"method: {name}" for name in owners)
    used = "no method is named" if method is None else f"this edit uses {tick(method)}"
    message = f"{tick(key.text)} is an option of {list_words(owners, 'and')}, but {used}"
    faults.add("E131", message, key.span, help=f"add {choice}" if method is None else f"remove it, or write {choice}")


def _report_unknown_key(key: Leaf, names: Sequence[str], method: str | None, known: Options, faults: Faults) -> None:
    """E102 for a key that is neither a field nor an option."""
    near = nearest(key.text, (*names, *known))
    notes = [f"options of {tick(method)}: {list_words(known, 'and')}"] if method and known and not near else []
    help = f"did you mean {tick(near)}?" if near else suggest_name(key.text, names, "known keys")
    faults.add("E102", f"unknown key {tick(key.text)} in this edit", key.span, help=help, notes=notes)


def _proper_place(name: str, kind: str, syntax: EditSyntax) -> str:
    """Help for a key in the wrong place: where it belongs."""
    inner = syntax.inner.get(kind)
    if inner is not None and inner is not syntax.outer[kind] and inner.field(name):
        keys = dict.fromkeys((*(field.name for field in inner.fields if field.required), name))
        return f"write it inside: {kind}: {{{', '.join(f'{key}: ...' for key in keys)}}}"
    owners = list_words(kind for kind, table in syntax.inner.items() if table.field(name))
    return syntax.advice.get(name) or f"{tick(name)} goes with {owners}"
