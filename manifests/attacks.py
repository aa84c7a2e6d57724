"""Read `verify.attacks`: a preset, names, or a block with the options of each attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.image_check import AttackCheck
from editc.core.places import Source, Span
from editc.manifests import value_kinds
from editc.manifests.faults import Faults, list_words, suggest_name, tick
from editc.manifests.scalars import read_scalar, report_wrong_type
from editc.manifests.tree import Items, Leaf, Node, Pairs, TreeBuilder, UnreadableError
from editc.registry.attacks import ATTACKS
from editc.registry.options import Option, options_of

PRESETS = ("quick", "thorough")
"""Every attack with a small budget, and every attack with a large one."""
COMMON: Mapping[str, value_kinds.Number | value_kinds.WholeNumber] = {
    "at_most": value_kinds.Number(0.0, 1.0),
    "pictures": value_kinds.WholeNumber(1, 10_000),
    "denoise": value_kinds.WholeNumber(1, 1_000),
    "guidance": value_kinds.Number(0.0),
}
"""The keys that every attack has beside its own options."""
COMMON_TEXTS: Mapping[str, str] = {
    "pictures": "How many pictures are painted of each concept, on the edited model and on each control.",
    "denoise": "Denoising steps of each picture.",
    "guidance": "How strongly each picture follows its rows.",
    "at_most": "The share of its pictures that may show the concept.",
}
"""What these keys mean, in the order in which `editc explain` prints them."""
QUICK: Mapping[str, Any] = {"pictures": 8, "denoise": 8}
"""What every attack does under `quick`. Eight pictures tell an edit that gives way at once. Eight denoising steps paint
the demo model's objects as well as 25 (16 of 16 seen with 25, 12, 10, 8 and 6); the controls show it for others."""
LABEL = "`attacks`"
"""What messages call the key."""


def read_attacks(node: Node, faults: Faults) -> tuple[AttackCheck, ...]:
    """The attacks that a manifest asks for, each once, in its order."""
    if isinstance(node, Leaf):
        return _read_word(node, faults)
    if isinstance(node, Items):
        found = [_read_named(item, None, faults) for item in node.items]
    elif isinstance(node, Pairs):
        found = [_read_named(key, value, faults) for key, value in node.pairs]
    else:
        report_wrong_type(node, LABEL, value_kinds.AttacksValue().expects, faults)
        return ()
    return tuple(_each_once([one for one in found if one is not None], faults))


def parse_attacks(text: str) -> tuple[AttackCheck, ...]:
    """The attacks of `--attacks TEXT`, written as in a manifest. Raises EditcError."""
    faults = Faults(Source("--attacks", text))
    try:
        node = TreeBuilder(text, faults).build()
    except UnreadableError:
        node = None
    found = read_attacks(node, faults) if node is not None else ()
    if faults.found or not found:
        help = "name one as in a manifest, such as quick or {inversion: {words: 4}}"
        raise EditcError(*faults.found) if faults.found else fail("E130", "--attacks names no attack", help=help)
    return tuple(replace(one, spans={}) for one in found)


def preset(name: str, span: Span | None = None) -> tuple[AttackCheck, ...]:
    """Every attack of editc's own with the budget of a preset."""
    spans = {} if span is None else {"": span}
    attacks = [one for one in ATTACKS.in_order("image") if ATTACKS.module(one)]
    given = QUICK if name == "quick" else {}
    return tuple(
        AttackCheck(name=one, options=dict(getattr(ATTACKS.resolve(one), name)), spans=spans, **given)
        for one in attacks
    )


def _read_word(node: Leaf, faults: Faults) -> tuple[AttackCheck, ...]:
    """A preset, or the name of one attack."""
    if node.text in PRESETS:
        return preset(node.text, node.span)
    known = (*PRESETS, *ATTACKS.names())
    name = read_scalar(node, value_kinds.OneOf(known), LABEL, faults)
    return () if name is None else (AttackCheck(name=str(name), spans={"": node.span}),)


def _read_named(key: Node, value: Node | None, faults: Faults) -> AttackCheck | None:
    """One attack: its name, and the block of its options; None where the name cannot be read."""
    name = read_scalar(key, value_kinds.Text(), "the name of an attack", faults)
    if name is None:
        return None
    if name not in ATTACKS.names():
        message, help = f"no attack is called {tick(str(name))}", suggest_name(str(name), ATTACKS.names(), "attacks")
        faults.add("E130", message, key.span, help=help)
        return None
    spans: dict[str, Span] = {"": key.span}
    values = _read_block(str(name), value, spans, faults)
    own = {key: value for key, value in values.items() if key not in COMMON}
    common: Mapping[str, Any] = {key: value for key, value in values.items() if key in COMMON}
    return AttackCheck(name=str(name), options=own, spans=spans, **common)


def _read_block(name: str, node: Node | None, spans: dict[str, Span], faults: Faults) -> dict[str, Any]:
    """The keys of one attack's block. Their places are added to `spans`. Raises E139 for a plugin that is broken."""
    known = {option.name: option for option in options_of(ATTACKS.resolve(name))}
    if node is None or (isinstance(node, Leaf) and node.empty):
        return {}
    if not isinstance(node, Pairs):
        report_wrong_type(node, tick(name), f"a block of keys ({list_words((*COMMON, *known), 'and')})", faults)
        return {}
    found: dict[str, Any] = {}
    for key, value in node.pairs:
        kind = COMMON.get(key.text) or _option_kind(known.get(key.text))
        if kind is None:
            help = suggest_name(key.text, (*COMMON, *known), "known keys")
            faults.add("E102", f"unknown key {tick(key.text)} in {tick(name)}", key.span, help=help)
            continue
        spans[key.text] = value.span
        read = read_scalar(value, kind, tick(key.text), faults)
        found |= {} if read is None else {key.text: read}
    return found


def _option_kind(option: Option | None) -> Any:
    return None if option is None else value_kinds.option_kind(option.type)


def _each_once(found: list[AttackCheck], faults: Faults) -> Iterator[AttackCheck]:
    """The attacks without those named twice. E124 for these."""
    seen: dict[str, AttackCheck] = {}
    for one in found:
        if one.name in seen:
            related = [(seen[one.name].at(), "the other")]
            faults.warn("E124", f"the attack {tick(one.name)} is named twice", one.at(), related=related)
            continue
        seen[one.name] = one
        yield one
