"""Read the value of `detector`: a name, `NAME:PLACE`, or a block with name, place and further keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from editc.core.diagnostics import EditcError, fail
from editc.core.image_check import DetectorOptions
from editc.core.places import Source, Span
from editc.manifests import schema, value_kinds
from editc.manifests.faults import Faults, list_words, suggest_name, tick
from editc.manifests.fields import read_strict_block
from editc.manifests.scalars import read_scalar, report_wrong_type
from editc.manifests.tree import Leaf, Node, Pairs, TreeBuilder, UnreadableError
from editc.registry.detectors import DETECTORS

if TYPE_CHECKING:
    from editc.backends.detectors.kind import DetectorKind

LABEL = "`detector`"
"""What messages call the key."""


def read_detector(node: Node, faults: Faults) -> tuple[str, DetectorOptions]:
    """The name of the detector, and what the manifest says besides. An empty name: it could not be read."""
    if isinstance(node, Pairs):
        return _read_block(node, faults)
    if not isinstance(node, Leaf):
        report_wrong_type(node, LABEL, value_kinds.DetectorValue().expects, faults)
        return "", DetectorOptions()
    text = read_scalar(node, value_kinds.Text(), LABEL, faults)
    if text is None:
        return "", DetectorOptions()
    name, place = _split(str(text))
    return _with_place(name, place, node.span, DetectorOptions(spans={"": node.span}), faults)


def parse_detector(text: str) -> tuple[str, DetectorOptions]:
    """The detector of `--detector TEXT`. Its place is relative to the working folder. Raises EditcError."""
    faults = Faults(Source("--detector", text))
    try:
        node = TreeBuilder(text, faults).build()
    except UnreadableError:
        node = None
    name, options = read_detector(node, faults) if node is not None else ("", DetectorOptions())
    if faults.found or not name:
        help = "name one as in a manifest, such as none or {clip: FOLDER}"
        raise EditcError(*faults.found) if faults.found else fail("E135", "--detector names no detector", help=help)
    return name, replace(options, place=str(Path(options.place).absolute()) if options.place else "", spans={})


def _split(text: str) -> tuple[str, str]:
    """`clip:FOLDER` as name and place, if the detector has a place. Any other text is a name alone."""
    head, _, rest = text.partition(":")
    whole = text in DETECTORS.names() or head not in DETECTORS.names()
    return (text, "") if whole or not _kind_of(head).place else (head, rest.strip())


def _read_block(node: Pairs, faults: Faults) -> tuple[str, DetectorOptions]:
    """A detector as a block: one key is its name, with its place as value; the other keys are its options."""
    known = {field.name for field in schema.DETECTOR.fields}
    named = [(key, value) for key, value in node.pairs if key.text in DETECTORS.names()]
    if len(named) != 1:
        return _report_names(node, [key for key, _ in named], known, faults)
    (key, value), rest = named[0], [pair for pair in node.pairs if pair[0] is not named[0][0]]
    block = read_strict_block(replace(node, pairs=tuple(rest)), schema.DETECTOR, faults)
    options = DetectorOptions(**block.values, spans={**block.spans, "": key.span}) if block else DetectorOptions()
    kind = _kind_of(key.text)
    for other, _ in rest:
        if other.text in known and other.text not in kind.keys:
            takes = f"it takes {list_words(kind.keys, 'and')}" if kind.keys else "it takes nothing"
            message = f"{tick(other.text)} is not for the detector {tick(key.text)}"
            faults.add("E135", message, other.span, help=f"{takes}: remove this")
    place = read_scalar(value, value_kinds.Text(), tick(key.text), faults) if kind.place else ""
    if not kind.place:
        message = f"the detector {tick(key.text)} is not in a file or folder, so nothing may follow its name"
        faults.add("E135", message, value.span, help=f"write `detector: {key.text}`")
        return "", options
    return ("", options) if place is None else _with_place(key.text, str(place), value.span, options, faults)


def _report_names(node: Pairs, named: list[Leaf], known: set[str], faults: Faults) -> tuple[str, DetectorOptions]:
    """Report a block that names no detector, or two."""
    names = DETECTORS.names()
    strange = [key for key, _ in node.pairs if key.text not in known and key not in named]
    if named:
        message = f"{list_words([key.text for key in named], 'and')} are two detectors, and a block names one"
        faults.add("E135", message, named[1].span, help="keep one of them", related=[(named[0].span, "the other")])
    elif strange:
        message = f"no detector is called {tick(strange[0].text)}"
        faults.add("E130", message, strange[0].span, help=suggest_name(strange[0].text, names, "known detectors"))
    elif not node.broken:
        faults.add("E135", "the block names no detector", node.span, help="add one, such as `clip: FOLDER`")
    return "", DetectorOptions()


def _with_place(
    name: str, place: str, span: Span, options: DetectorOptions, faults: Faults
) -> tuple[str, DetectorOptions]:
    """The name and options with the place. A place of the form `FILE:NAME` is split."""
    names = DETECTORS.names()
    if name not in names:
        faults.add(
            "E130", f"no detector is called {tick(name)}", span, help=suggest_name(name, names, "known detectors")
        )
        return "", options
    kind = _kind_of(name)
    if kind.place and not place:
        help = f"write `detector: {{{name}: {kind.place}}}`"
        faults.add("E135", f"the detector {tick(name)} needs a {kind.place}", span, help=help)
        return "", options
    member = ""
    if ":NAME" in kind.place:
        place, _, member = place.rpartition(":")
        if not place or not member:
            help = f"write `detector: {name}:{kind.place}`, such as {name}:mine.py:Detector"
            faults.add("E135", f"the detector {tick(name)} needs a {kind.place}", span, help=help)
            return "", options
    return name, replace(options, place=place, member=member, spans={**options.spans, "place": span})


def _kind_of(name: str) -> DetectorKind:
    """The kind of a detector. Its module is imported only when a manifest names a detector."""
    from editc.backends.detectors import lookup

    return lookup.detector_kind(name)
