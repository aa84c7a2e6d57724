"""YAML text as a tree of nodes with places. Every scalar keeps its characters and its span; nothing is interpreted.

The tree is built from PyYAML's events and not from its nodes. So there is no recursion (a thousand brackets cannot
exhaust the stack), and an alias counts as all that it stands for before anything walks over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import yaml

from editc.core.places import Span
from editc.manifests.faults import Faults, tick

MAX_DEPTH = 64
"""The deepest nesting that is read. Chosen by hand: a manifest needs 5, and reading the tree recurses once a level."""
MAX_NODES = 50_000
"""The most values that are read, with aliases written out, because aliases can multiply a short text to any size.
Chosen by hand."""
Node: TypeAlias = "Leaf | Items | Pairs"
"""A scalar, a list or a block."""


@dataclass(frozen=True)
class Leaf:
    """A scalar as it is written in the manifest."""

    text: str
    """Its characters, without quotes."""
    plain: bool
    """False if it stood in quotes or in a `|` block, so that it can only be text."""
    span: Span
    """Its place; the anchor's place if an alias stands for it."""
    size: int = 1
    """The number of nodes, which is 1."""
    alias_span: Span | None = None
    """The place of the alias that stands for it. None: it is written out."""
    broken: bool = False
    """True if a fault about it is recorded already, so that no second one is."""

    @property
    def empty(self) -> bool:
        """True for a value that was left out (`also:` and nothing), and for YAML's words for none."""
        return self.plain and (not self.text or self.null)

    @property
    def null(self) -> bool:
        """True for `null` and `~`, which some programs write for a missing value."""
        return self.plain and self.text in ("~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Items:
    """A list of the manifest."""

    items: tuple[Node, ...]
    """Its items, in order."""
    span: Span
    """Its place; the anchor's place if an alias stands for it."""
    size: int = 1
    """The number of nodes in it, itself too, with aliases written out."""
    alias_span: Span | None = None
    """The place of the alias that stands for it. None: it is written out."""


@dataclass(frozen=True)
class Pairs:
    """A block of keys of the manifest."""

    pairs: tuple[tuple[Leaf, Node], ...]
    """Its keys and their values, in order, each key once."""
    span: Span
    """Its place; the anchor's place if an alias stands for it."""
    size: int = 1
    """The number of nodes in it, itself too, with aliases written out."""
    alias_span: Span | None = None
    """The place of the alias that stands for it. None: it is written out."""
    broken: bool = False
    """True if keys were lost, so that no key is reported as missing."""


@dataclass(frozen=True)
class Origin:
    """Where a text begins in its source: an override is one line of it."""

    line: int = 0
    """The number of lines before the text."""
    column: int = 0
    """The number of characters before the text on its first line."""


class UnreadableError(Exception):
    """Reading cannot go on. The reason is in the faults."""


@dataclass
class _Open:
    """A list or block whose end has not been read yet."""

    event: yaml.CollectionStartEvent
    """The event of PyYAML that began it."""
    children: list[Node] = field(default_factory=list)
    """Its nodes so far; of a block keys and values by turns."""


@dataclass
class TreeBuilder:
    """Builds the tree of one text from its YAML events."""

    text: str
    """The text to read."""
    faults: Faults
    """What is found wrong is added here."""
    origin: Origin = Origin()
    """Where the text stands in the source."""
    stack: list[_Open] = field(default_factory=list)
    """The lists and blocks that are not closed yet, the outermost first."""
    anchors: dict[str, Node] = field(default_factory=dict)
    """Anchor -> the node that it names."""
    root: Node | None = None
    """The root of the tree. None: no node has been completed."""
    count: int = 0
    """The number of nodes so far, with aliases written out."""
    documents: int = 0
    """The number of YAML documents so far."""

    def build(self) -> Node | None:
        """The root, or None for a text without content. Raises UnreadableError if reading cannot go on."""
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self._second_document(event)
                    break
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(event)
            elif isinstance(event, yaml.NodeEvent):
                self._open(event)
        return self.root

    def _events(self) -> Iterator[yaml.Event]:
        """The events of the text. Raises UnreadableError after adding E101 if it is not YAML."""
        loader: yaml.SafeLoader | None = None
        try:
            loader = yaml.SafeLoader(self.text)
            while loader.check_event():
                yield loader.get_event()  # type: ignore[no-untyped-call]
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML raises ValueError for `"\UFFFFFFFF"`
            from editc.manifests.syntax import report_syntax

            mark = None if loader is None else loader.get_mark()
            report_syntax(error, self.text, mark, self._place, self.faults)
            raise UnreadableError from error

    def _place(self, line: int, column: int, length: int = 1) -> Span:
        """The place in the source of a line and column of the text, both counted from 0."""
        right = self.origin.column if line == 0 else 0
        return Span(line + 1 + self.origin.line, column + 1 + right, max(1, length))

    def _span(self, first: yaml.Event, last: yaml.Event | None = None) -> Span:
        """From the start of one event to the end of another, or to the end of the first line."""
        start, end = first.start_mark, (last or first).end_mark
        assert start is not None and end is not None
        if start.line == end.line:
            return self._place(start.line, start.column, end.column - start.column)
        place = self._place(start.line, start.column)
        rest = self.faults.source.line(place.line)[place.column - 1 :]
        return Span(place.line, place.column, max(1, len(rest.rstrip())))

    def _open(self, event: yaml.NodeEvent) -> None:
        """Attach a scalar, or begin a list or block."""
        span = self._span(event)
        self._grow(1, span)
        if isinstance(event, yaml.ScalarEvent):
            self._no_tag(event.tag, span)
            self._attach(Leaf(event.value, event.style is None, span), event.anchor)
            return
        assert isinstance(event, yaml.CollectionStartEvent)
        if len(self.stack) >= MAX_DEPTH:
            self.faults.add(
                "E109", f"nested more than {MAX_DEPTH} deep", span, help=f"a {self.faults.text} is at most 5 deep"
            )
            raise UnreadableError
        self._no_tag(event.tag, span)
        self.stack.append(_Open(event))

    def _no_tag(self, tag: str | None, span: Span) -> None:
        """E108 if a value has a tag."""
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self.faults.add("E108", f"the tag {tick(short)} is not allowed", span, help="remove it")

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        """Attach the list or block that ends here."""
        opened = self.stack.pop()
        span = self._span(opened.event, event)
        size = 1 + sum(child.size for child in opened.children)
        node: Node
        if isinstance(opened.event, yaml.MappingStartEvent):
            pairs = self._pairs(opened.children)
            if not opened.event.flow_style and pairs:
                span = _first_line(pairs[0][0].span, pairs[0][1].span)
            lost = not all(isinstance(key, Leaf) and not _is_merge(key) for key in opened.children[::2])
            node = Pairs(pairs, span, size, broken=lost)
        else:
            if not opened.event.flow_style and opened.children:
                span = _first_line(Span(span.line, span.column), opened.children[0].span)
            node = Items(tuple(opened.children), span, size)
        self._attach(node, opened.event.anchor)

    def _attach(self, node: Node, anchor: str | None) -> None:
        """Add a finished node to the list or block that it stands in, and remember its anchor."""
        if anchor is not None:
            self.anchors[anchor] = node
        if self.stack:
            self.stack[-1].children.append(node)
        else:
            self.root = node

    def _alias(self, event: yaml.AliasEvent) -> None:
        """Attach the node that an alias stands for. E101 if there is none, E109 if it would contain itself."""
        span = self._span(event)
        node = self.anchors.get(str(event.anchor))
        if any(opened.event.anchor == event.anchor for opened in self.stack):
            self.faults.add("E109", f"`*{event.anchor}` is inside its own anchor, so it never ends", span)
            raise UnreadableError
        if node is None:
            self.faults.add(
                "E101",
                f"`*{event.anchor}` refers to `&{event.anchor}`, which is not defined above",
                span,
                help=f"quote it if it is text: '*{event.anchor}'",
            )
            node = Leaf("", True, span, broken=True)
        self._grow(node.size, span)
        self._attach(replace(node, alias_span=span), None)

    def _grow(self, size: int, span: Span) -> None:
        """Count nodes. Raises UnreadableError after adding E109 if there are too many."""
        self.count += size
        if self.count > MAX_NODES:
            self.faults.add(
                "E109", f"more than {MAX_NODES} values, aliases written out", span, help=f"split the {self.faults.text}"
            )
            raise UnreadableError

    def _pairs(self, children: list[Node]) -> tuple[tuple[Leaf, Node], ...]:
        """Keys and values, from nodes by turns. E103 for a repeated key, E108 for one that is not a text."""
        kept: dict[str, tuple[Leaf, Node]] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Leaf):
                self.faults.add(
                    "E108", "a key must be text, not a list or a block", key.span, help="quote it if it is text"
                )
            elif _is_merge(key):
                self.faults.add(
                    "E108",
                    "merge keys `<<` are not allowed",
                    key.span,
                    help="write the fields out, or alias single values",
                )
            elif key.text in kept:
                first = kept[key.text][0].span
                message = f"key {tick(key.text)} is given twice"
                self.faults.add(
                    "E103", message, key.span, related=[(first, "first given here")], help="keep one of the two"
                )
            else:
                kept[key.text] = (key, _with_place(value, key.span))
        return tuple(kept.values())

    def _second_document(self, event: yaml.Event) -> None:
        """E108 for a second document in the text."""
        span = self._span(event)
        self.faults.add(
            "E108",
            "a second document begins here",
            span,
            help=f"one file is one {self.faults.text}: remove `---`, or split the file",
        )


def _is_merge(key: Leaf) -> bool:
    """True for YAML's merge key `<<`."""
    return key.plain and key.text == "<<"


def _with_place(value: Node, key: Span) -> Node:
    """The value. One that was left out gets the place of its key, because it has no characters to underline."""
    if isinstance(value, Leaf) and value.empty and not value.null and not value.broken:
        return Leaf("", True, key)
    return value


def _first_line(start: Span, end: Span) -> Span:
    """From the start of one span to the end of the other if both are on one line, else the first span alone."""
    same = start.line == end.line and end.column >= start.column
    return Span(start.line, start.column, end.column + end.length - start.column) if same else start
