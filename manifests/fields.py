"""Read blocks and lists as their tables declare. A result of None means that it failed; the faults say why."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from editc.core.places import Span
from editc.manifests import value_kinds
from editc.manifests.faults import Faults, suggest_name, tick
from editc.manifests.scalars import read_scalar, report_wrong_type
from editc.manifests.tree import Items, Leaf, Node, Pairs

if TYPE_CHECKING:
    from editc.manifests.prompts import PromptFile


@dataclass(frozen=True)
class BlockValues:
    """What could be read of one block of keys."""

    values: dict[str, Any] = field(default_factory=dict)
    """Attribute -> value, for each key whose value could be read."""
    spans: dict[str, Span] = field(default_factory=dict)
    """Attribute -> place of its value, for each key that was given. `name:` is the place of the key itself, `name.0`
    that of the first item, and '' that of the block."""
    unknown: tuple[tuple[Leaf, Node], ...] = ()
    """The keys that the table does not have, with their values."""


def read_block(node: Node, table: value_kinds.KeyTable, faults: Faults) -> BlockValues | None:
    """Read the block of `table`. Unknown keys are returned too: those of an edit may be options of its method."""
    if not isinstance(node, Pairs):
        label = "the manifest" if table.name == "manifest" else tick(table.name)
        report_wrong_type(node, label, value_kinds.InnerBlock(table).expects, faults, help=_list_hint(node, table))
        return None
    block, unknown = BlockValues(spans={"": node.span}), []
    for key, value in node.pairs:
        known = table.field(key.text)
        if known is None:
            unknown.append((key, value))
        elif known.required or not (isinstance(value, Leaf) and value.null):
            block.spans[f"{known.attribute}:"] = key.span
            _store(
                block,
                known.attribute,
                read_value(value, known.kind, tick(known.name), faults, known.required),
                value.span,
            )
    _report_missing(node, table, faults)
    return BlockValues(block.values, block.spans, tuple(unknown))


def read_strict_block(node: Node, table: value_kinds.KeyTable, faults: Faults) -> BlockValues | None:
    """Read the block of `table`. Every unknown key is a mistake (E102)."""
    block = read_block(node, table, faults)
    for key, _ in block.unknown if block else ():
        message = f"unknown key {tick(key.text)}{_in_block(table)}"
        faults.add("E102", message, key.span, help=suggest_name(key.text, table.names, "known keys"))
    return block


def _store(block: BlockValues, name: str, value: Any, span: Span) -> None:
    """Put a value and its place into the block. The place of an item of a list is `name.0`."""
    block.spans[name] = span
    if isinstance(value, ListValue):
        block.spans.update({f"{name}.{i}": place for i, place in enumerate(value.spans)})
        value = value.values
    if value is not None:
        block.values[name] = value


def _list_hint(node: Node, table: value_kinds.KeyTable) -> str:
    """How to write names that stand where a block is expected, if the block has a list of names. Else empty."""
    lists = [one.name for one in table.fields if isinstance(one.kind, value_kinds.ListOf) and one.kind.lists_names]
    first = "" if any(one.required for one in table.fields) else next(iter(lists), "")
    items = node.items if isinstance(node, Items) else (node,)
    names = [item.text for item in items if isinstance(item, Leaf) and item.text]
    return f"write {table.name}: {{{first}: [{', '.join(names)}]}}" if first and len(names) == len(items) else ""


def _report_missing(node: Pairs, table: value_kinds.KeyTable, faults: Faults) -> None:
    """E104 for each required key that is missing."""
    given = {key.text for key, _ in node.pairs}
    for known in table.fields:
        if known.required and known.name not in given and not node.broken:
            message = f"key {tick(known.name)} is missing{_in_block(table)}"
            faults.add("E104", message, node.span, help=f"add `{known.name}: ...` ({known.doc})")


def _in_block(table: value_kinds.KeyTable) -> str:
    """` in BLOCK` for messages; empty for the manifest itself."""
    return "" if table.name == "manifest" else f" in {tick(table.name)}"


@dataclass(frozen=True)
class ListValue:
    """The items of a list that could be read."""

    values: tuple[Any, ...]
    """The items, in the order of the manifest."""
    spans: tuple[Span, ...]
    """The place of each item, in the same order."""


def read_value(node: Node, kind: value_kinds.ValueKind, label: str, faults: Faults, required: bool = False) -> Any:
    """Read the value of `node` as `kind`. `label` is what messages call it."""
    match kind:
        case value_kinds.ListOf():
            return _read_list(node, kind, label, faults)
        case value_kinds.PromptList():
            return _read_lines(node, kind, label, faults)
        case value_kinds.Layers():
            return _read_layers(node, label, faults)
        case value_kinds.Shares():
            return _read_shares(node, label, faults)
        case value_kinds.InnerBlock():
            return _read_inner(node, kind, faults)
        case (
            value_kinds.Edits()
            | value_kinds.DetectorValue()
            | value_kinds.AttacksValue()
            | value_kinds.SuiteValue()
            | value_kinds.WorstValue()
            | value_kinds.NodeValue()
        ):
            return node
        case value_kinds.Wordings():
            return _read_wordings(node, label, faults)
        case _:
            return read_scalar(node, kind, label, faults, required)


def _read_list(node: Node, kind: value_kinds.ListOf, label: str, faults: Faults) -> ListValue | None:
    """A list of scalars."""
    if isinstance(node, Leaf) and node.broken:
        return None
    if not isinstance(node, Items):
        empty = isinstance(node, Leaf) and node.empty
        help = (
            f"write {label[1:-1]}: [{node.text}]"
            if isinstance(node, Leaf) and not empty and len(node.text) < 40
            else ""
        )
        if empty:
            faults.add("E107", f"{label} is empty", node.span, help="give it a list, or remove it")
        else:
            report_wrong_type(node, label, kind.expects, faults, help=help)
        return None
    if len(node.items) < kind.min_items:
        faults.add("E107", f"{label} is an empty list", node.span, help="remove it to take the default")
        return None
    read_items = [(read_scalar(item, kind.item, f"an item of {label}", faults), item.span) for item in node.items]
    good = [(value, span) for value, span in read_items if value is not None]
    return ListValue(tuple(value for value, _ in good), tuple(span for _, span in good))


def _read_lines(node: Node, kind: value_kinds.PromptList, label: str, faults: Faults) -> ListValue | PromptFile | None:
    """Prompts as a list, or the file that has them."""
    from editc.manifests.prompts import PromptFile, read_prompts

    if isinstance(node, Leaf):
        name = read_scalar(node, value_kinds.Text(), label, faults)
        return PromptFile(name, kind) if isinstance(name, str) else None
    return _as_list_value(read_prompts(node, kind, label, faults))


def _read_layers(node: Node, label: str, faults: Faults) -> ListValue | str | None:
    """Numbers of layers, or the word `auto`."""
    if isinstance(node, Leaf) and (node.empty or node.broken):
        read_scalar(node, value_kinds.Text(), label, faults)
        return None
    from editc.manifests.prompts import read_layers

    found = read_layers(node, label, faults)
    return found if isinstance(found, str) else _as_list_value(found)


def _as_list_value(found: Iterable[tuple[Any, Span]] | None) -> ListValue | None:
    """The values and places as `ListValue`. None if there are none."""
    good = tuple(found or ())
    return ListValue(tuple(value for value, _ in good), tuple(span for _, span in good)) if good else None


def _read_shares(node: Node, label: str, faults: Faults) -> ListValue | None:
    """Concepts with their shares. E115 if these add up to more than 1."""
    if not isinstance(node, Pairs):
        report_wrong_type(node, label, value_kinds.Shares().expects, faults)
        return None
    if not node.pairs:
        faults.add("E107", f"{label} is empty", node.span, help=f"name {value_kinds.Shares().expects}")
        return None
    good: dict[str, tuple[float, Span]] = {}
    for key, value in node.pairs:
        name = read_scalar(key, value_kinds.NAME, f"a concept in {label}", faults)
        share = read_scalar(value, value_kinds.Number(0.0, 1.0), f"the share of {tick(key.text)}", faults)
        if isinstance(name, str) and isinstance(share, float):
            good[name] = (share, key.span)
    total = math.fsum(share for share, _ in good.values())
    if total > 1 + 1e-9:
        faults.add(
            "E115",
            f"the shares add up to {total:.6g}, which is more than 1",
            node.span,
            help="make them add up to 1 or less",
        )
    return ListValue(
        tuple((name, share) for name, (share, _) in good.items()), tuple(span for _, span in good.values())
    )


def _read_wordings(node: Node, label: str, faults: Faults) -> dict[str, tuple[str, ...]] | None:
    """Concepts with one or more texts each."""
    if not isinstance(node, Pairs):
        report_wrong_type(node, label, value_kinds.Wordings().expects, faults)
        return None
    good: dict[str, tuple[str, ...]] = {}
    for key, value in node.pairs:
        name = read_scalar(key, value_kinds.Text(), f"a concept in {label}", faults)
        items = value.items if isinstance(value, Items) else (value,)
        if not items:
            faults.add("E107", f"{tick(key.text)} has no text in {label}", key.span, help="give it one, or remove it")
        texts = [read_scalar(item, value_kinds.Text(), f"a text of {tick(key.text)}", faults) for item in items]
        good[str(name)] = tuple(str(text) for text in texts if text is not None)
    return good


def _read_inner(node: Node, kind: value_kinds.InnerBlock, faults: Faults) -> BlockValues | None:
    """A block with a table of its own, or the word that stands for one."""
    if isinstance(node, Leaf):
        if node.broken:
            return None
        if kind.word and node.text == kind.word:
            values = {} if kind.meaning is None else {kind.word: kind.meaning}
            return BlockValues(values, {"": node.span, kind.word: node.span})
        if node.empty:
            help = f"add keys below it ({', '.join(kind.table.names)}), or remove it"
            faults.add("E107", f"{tick(kind.table.name)} is empty", node.span, help=help)
            return None
        if kind.word:
            report_wrong_type(node, tick(kind.table.name), kind.expects, faults)
            return None
    return read_strict_block(node, kind.table, faults)
