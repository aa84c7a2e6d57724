"""Put `--set KEY=VALUE` from the command line into the tree of a manifest, before it is decoded.

A key is a path of keys and item numbers, such as `edits.0.strength`. A value is YAML, such as `[a, b]` or `auto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from editc.core.places import Source, Span
from editc.manifests.faults import Faults, tick
from editc.manifests.tree import MAX_DEPTH, Items, Leaf, Node, Origin, Pairs, TreeBuilder, UnreadableError

_INDEX = re.compile(r"\[(\d+)\]")
"""An item number in brackets, which the command line does not read."""
_PREFIX = len("--set ")
"""Characters before the key in an override's line of the source."""


def add_overrides(source: Source, overrides: Iterable[str]) -> Source:
    """The source with more overrides. `apply_overrides` puts them into the tree later, and reports their mistakes."""
    return replace(source, overrides=(*source.overrides, *overrides))


def apply_overrides(root: Node | None, faults: Faults) -> Node | None:
    """The tree with all overrides of the source, in their order. The last one for a key counts."""
    source = faults.source
    first = len(source.lines) - len(source.overrides)
    for i, override in enumerate(source.overrides):
        root = _apply_one(root, override, first + i, faults)
    return root


def _apply_one(root: Node | None, override: str, line: int, faults: Faults) -> Node | None:
    """The tree with one override. `line` is the number of lines before it in the source."""
    key, equals, text = override.partition("=")
    path = _path(key, line)
    if not equals or any(not leaf.text for leaf in path) or len(override.splitlines()) > 1 or len(path) > MAX_DEPTH:
        whole = Span(line + 1, _PREFIX + 1, max(1, len(override)))
        faults.add("E116", f"{tick(override)} is not KEY=VALUE", whole, help="such as: --set constraints.rank=8")
        return root
    if found := _INDEX.search(key):
        dotted = _INDEX.sub(r".\1", key)
        place = Span(line + 1, _PREFIX + 1 + found.start(), len(found[0]))
        faults.add(
            "E116", f"{tick(key)}: an item of a list is named by its number alone", place, help=f"say `{dotted}`"
        )
        return root
    text = "".join(text.splitlines())  # at most one line break, at the end: YAML would see an empty line after it
    value = _value(text, Origin(line, _PREFIX + len(key) + 1), path[-1].span, faults)
    return root if value is None else _insert(root, path, value, faults)


def _path(key: str, line: int) -> tuple[Leaf, ...]:
    """The parts of the key, each with its place in the override."""
    leaves, column = [], _PREFIX + 1
    for part in key.split("."):
        leaves.append(Leaf(part.strip(), True, Span(line + 1, column, max(1, len(part)))))
        column += len(part) + 1
    return tuple(leaves)


def _value(text: str, origin: Origin, key: Span, faults: Faults) -> Node | None:
    """The value as a node; an empty one has the place of its key. None if it cannot be read."""
    try:
        value = TreeBuilder(text, faults, origin).build()
    except UnreadableError:
        return None
    return Leaf("", True, key) if value is None or (isinstance(value, Leaf) and value.empty) else value


def _insert(node: Node | None, path: tuple[Leaf, ...], value: Node, faults: Faults) -> Node:
    """`node` with `value` at the end of `path`. Missing blocks on the way are made."""
    if not path:
        return value
    if node is None or (isinstance(node, Leaf) and node.empty):
        node = Pairs((), path[0].span)
    head, rest = path[0], path[1:]
    if isinstance(node, Pairs):
        return _insert_key(node, head, rest, value, faults)
    if isinstance(node, Items):
        return _insert_item(node, head, rest, value, faults)
    faults.add(
        "E116",
        f"{tick(node.text)} is not a block, so it has no key {tick(head.text)}",
        head.span,
        related=[(node.span, "here")],
    )
    return node


def _insert_key(node: Pairs, head: Leaf, rest: tuple[Leaf, ...], value: Node, faults: Faults) -> Node:
    """A block with the value under a key."""
    old = next((child for key, child in node.pairs if key.text == head.text), None)
    new = _insert(old, rest, value, faults)
    if old is None:
        return replace(node, pairs=(*node.pairs, (head, new)))
    return replace(node, pairs=tuple((key, new if key.text == head.text else child) for key, child in node.pairs))


def _insert_item(node: Items, head: Leaf, rest: tuple[Leaf, ...], value: Node, faults: Faults) -> Node:
    """A list with the value in place of an item. E116 if it has no such item."""
    count = len(node.items)
    if not (head.text.isascii() and head.text.isdigit() and len(head.text) < 10 and int(head.text) < count):
        known = (
            "the list is empty" if not count else "the only item is 0" if count == 1 else f"items are 0 to {count - 1}"
        )
        faults.add(
            "E116",
            f"there is no item {tick(head.text)} in this list",
            head.span,
            help=known,
            related=[(node.span, "this list")],
        )
        return node
    items = list(node.items)
    items[int(head.text)] = _insert(items[int(head.text)], rest, value, faults)
    return replace(node, items=tuple(items))
