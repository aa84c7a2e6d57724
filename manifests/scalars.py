"""Read one scalar as the kind that its field declares. None means that it failed; the faults say why."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TypeAlias

from editc.core.diagnostics import EditcError
from editc.core.places import Scalar
from editc.manifests import value_kinds
from editc.manifests.faults import Faults, list_words, suggest_name, tick
from editc.manifests.tree import Items, Leaf, Node, Pairs
from editc.manifests.wording import doubts
from editc.registry.table import Table as NameTable
from editc.registry.table import nearest

ScalarKind: TypeAlias = (
    value_kinds.Text
    | value_kinds.Number
    | value_kinds.WholeNumber
    | value_kinds.Flag
    | value_kinds.OneOf
    | value_kinds.ListedName
    | value_kinds.RegistryName
)
"""The kinds of values that are one scalar."""

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""A number in decimal notation, with or without an exponent."""
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")
"""A whole number that surely fits: at most 20 digits."""


def read_scalar(node: Node, kind: ScalarKind, label: str, faults: Faults, required: bool = False) -> Scalar | None:
    """A text, number, flag or word. `label` is what messages call it. `required`: help does not advise to remove it."""
    if not isinstance(node, Leaf):
        report_wrong_type(node, label, kind.expects, faults)
        return None
    if node.broken:
        return None
    if node.empty or (isinstance(kind, value_kinds.Text) and not node.text.strip()):
        help = f"give it {kind.expects}" + ("" if required else ", or remove it")
        if node.null and isinstance(kind, value_kinds.Text):
            help += f', or write "{node.text}" in quotes if the word is meant'
        faults.add("E107", f"{label} is {'null, and needs a value' if node.null else 'empty'}", node.span, help=help)
        return None
    match kind:
        case value_kinds.Text():
            return _read_text(node, kind, label, faults)
        case value_kinds.Number():
            return _read_number(node, kind, label, faults)
        case value_kinds.WholeNumber():
            return _read_whole(node, kind, label, faults)
        case value_kinds.Flag():
            return _read_flag(node, label, faults)
        case value_kinds.OneOf() | value_kinds.ListedName():
            return _read_word(node, kind, label, faults)
        case value_kinds.RegistryName():
            return _read_name(node, kind, faults)


def _read_text(node: Leaf, kind: value_kinds.Text, label: str, faults: Faults) -> str | None:
    """A text that is on one line, has its slot, and is not doubtful (`wording`)."""
    text = node.text.rstrip("\n") if kind.verbatim else node.text.strip()
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            what = (
                "a line break"
                if character in "\n\r\x85\u2028\u2029"
                else f"the control character U+{ord(character):04X}"
            )
            faults.add("E106", f"{label} contains {what}", node.span, help="write it on one line, as plain characters")
            return None
    if kind.slot and text.count("{}") != 1:
        found = text.count("{}") or "none"
        faults.add(
            "E114", f"a context needs exactly one `{{}}`, this has {found}", node.span, help="such as: a photo of {}"
        )
        return None
    doubtful = [*doubts(text, kind.role, node.plain)]
    for one in doubtful:
        faults.add(one.code, f"{label} {one.says}", node.span, help=one.help, severity=one.severity)
    return None if any(one.severity == "error" for one in doubtful) else text


def _read_number(node: Leaf, kind: value_kinds.Number, label: str, faults: Faults) -> float | str | None:
    """A number within its bounds, or one of its words."""
    if node.text in kind.words:
        return node.text
    if not node.plain or not _NUMBER.fullmatch(node.text):
        report_wrong_type(node, label, kind.expects, faults)
        return None
    value = float(node.text)
    low = -math.inf if kind.low is None else kind.low
    high = math.inf if kind.high is None else kind.high
    if math.isfinite(value) and low <= value <= high and not (kind.above and value == low):
        return value
    report_out_of_bounds(node, label, kind.expects, faults)
    return None


def _read_whole(node: Leaf, kind: value_kinds.WholeNumber, label: str, faults: Faults) -> int | None:
    """A whole number within its bounds."""
    if not node.plain or not re.fullmatch(r"[-+]?[0-9]+", node.text):
        report_wrong_type(node, label, kind.expects, faults)
        return None
    if _WHOLE.fullmatch(node.text):
        value = int(node.text)
        if (kind.low is None or value >= kind.low) and (kind.high is None or value <= kind.high):
            return value
    report_out_of_bounds(node, label, kind.expects, faults)
    return None


def _read_flag(node: Leaf, label: str, faults: Faults) -> bool | None:
    """`true` or `false`."""
    if node.plain and node.text in ("true", "false"):
        return node.text == "true"
    report_wrong_type(node, label, value_kinds.Flag().expects, faults)
    return None


def _report_broken_plugin(node: Leaf, table: NameTable, faults: Faults) -> bool:
    """E139 if the name is a plugin's that cannot be used. True if so."""
    try:
        if node.text in table.plugins():
            table.resolve(node.text)
    except EditcError as error:
        for one in error.diagnostics:
            faults.add(one.code, one.message, node.span, help=one.help)
        return True
    return False


def _read_word(node: Leaf, kind: value_kinds.OneOf | value_kinds.ListedName, label: str, faults: Faults) -> str | None:
    """One of a few words."""
    if isinstance(kind, value_kinds.ListedName) and _report_broken_plugin(node, kind.table, faults):
        return None
    if node.text in kind.words:
        return node.text
    near = nearest(node.text, kind.words)
    help = f"did you mean {tick(near)}?" if near else f"write {list_words(kind.words)}"
    faults.add("E106", f"{label} must be {kind.expects}, not {tick(node.text)}", node.span, help=help)
    return None


def _read_name(node: Leaf, kind: value_kinds.RegistryName, faults: Faults) -> str | None:
    """A name from a table of the registry."""
    known, noun = kind.table.names(kind.models), kind.table.noun
    if _report_broken_plugin(node, kind.table, faults):
        return None
    if node.text in known:
        return node.text
    if kind.models and (other := kind.table.models_of(node.text)):
        message = f"{tick(node.text)} is a {noun} for {other} models, and this edit is for another kind of model"
        faults.add("E187", message, node.span, help=f"{noun}s here: {list_words(known, 'and')}")
        return None
    help = suggest_name(node.text, known, f"known {noun}s")
    faults.add("E130", f"no {noun} is called {tick(node.text)}", node.span, help=help)
    return None


def report_wrong_type(node: Node, label: str, expected: str, faults: Faults, help: str = "") -> None:
    """E105, with what was expected and what is there."""
    if isinstance(node, Leaf) and node.broken:
        return
    message, help = f"{label} must be {expected}, not {_describe(node)}", help or _hint(node, expected, label)
    faults.add("E105", message, node.span, help=help, related=[(node.alias_span, "used here")])


def report_out_of_bounds(node: Leaf, label: str, expected: str, faults: Faults) -> None:
    """E106 for a number outside its bounds."""
    message = f"{label} must be {expected}, not {tick(node.text, 30)}"
    faults.add("E106", message, node.span, related=[(node.alias_span, "used here")])


def _describe(node: Node) -> str:
    """What a node is, for messages."""
    match node:
        case Items():
            return "a list"
        case Pairs():
            return "a block of keys"
        case Leaf(null=True):
            return "null"
        case Leaf(empty=True):
            return "nothing"
        case Leaf(plain=False):
            return f"the quoted text {tick(node.text, 40)}"
        case _:
            return tick(node.text, 40)


def _hint(node: Node, expected: str, label: str) -> str:
    """Help for a value of the wrong type."""
    if isinstance(node, Items) and len(node.items) == 1 and expected == "a text":
        return "remove the `- ` or the brackets"
    if isinstance(node, Items) and expected == "a text" and all(isinstance(one, Leaf) for one in node.items):
        return _several_texts_hint([one.text for one in node.items if isinstance(one, Leaf)], label)
    if isinstance(node, Pairs) and expected == "a text":
        return "put a text that contains `: ` in quotes"
    if not isinstance(node, Leaf):
        return ""
    if "number" in expected:
        return _number_hint(node, "whole" in expected)
    if expected == value_kinds.Flag().expects and node.text.lower() in ("yes", "no", "on", "off", "true", "false"):
        return f"write `{'true' if node.text.lower() in ('yes', 'on', 'true') else 'false'}`"
    return ""


def _several_texts_hint(texts: list[str], label: str) -> str:
    """Help for several texts where one is expected."""
    if label in ("`erase`", "`from`") and texts:
        return f"write {label[1:-1]}: {texts[0]} and also: [{', '.join(texts[1:])}], or an edit for each"
    return "give one; a concept with another target needs an edit of its own" if label == "`to`" else "give one"


def _number_hint(node: Leaf, whole: bool) -> str:
    """Help for a number in another notation: `1,5`, `10 %`, `1_000`, `1e3` for a whole number."""
    if _NUMBER.fullmatch(node.text) and not node.plain:
        return "remove the quotes"
    text = node.text.removesuffix("%").strip().replace("_", "").replace(",", ".")
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return ""
    value = float(text) / 100 if node.text.endswith("%") else float(text)
    if whole:
        return f"write {int(value)}" if value.is_integer() and abs(value) < 1e15 else ""
    return f"write {value:.10g}"
