"""Read prompts and numbers of layers of a language model's manifest. None: it failed, and the faults say why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from editc.core.language_edits import PromptAnswer
from editc.core.places import Span
from editc.manifests.faults import Faults, tick
from editc.manifests.scalars import read_scalar, report_wrong_type
from editc.manifests.tree import Items, Leaf, Node, Pairs
from editc.manifests.value_kinds import AUTO, Layers, PromptList, Text

MAX_LAYERS = 10_000
"""Numbers of layers must be below this. Chosen by hand: no model has as many."""
PlacedPrompts: TypeAlias = list[tuple[str | PromptAnswer, Span]]
"""Prompts, with or without answers, each with its place."""


@dataclass(frozen=True)
class PromptFile:
    """Prompts in a file, which `attached` reads later."""

    name: str
    """The file's name, relative to the manifest."""
    kind: PromptList
    """The rules for its lines."""


def read_prompts(node: Items | Pairs, kind: PromptList, label: str, faults: Faults) -> PlacedPrompts | None:
    """The prompts of a list or block, each with its place. None for a block if the prompts have no answers."""
    if isinstance(node, Pairs) and not kind.answers:
        report_wrong_type(node, label, kind.expects, faults)
        return None
    what = f"a prompt in {label}"
    pairs: Sequence[tuple[Node, Node | None]]
    pairs = node.pairs if isinstance(node, Pairs) else [(item, None) for item in node.items]
    if not pairs:
        faults.add("E107", f"{label} is an empty list", node.span, help="remove it, or name some prompts")
    good: PlacedPrompts = []
    for key, value in pairs:
        prompt = read_scalar(key, Text(role="text"), what, faults)
        answer = (
            None
            if value is None
            else read_scalar(value, Text(role="phrase"), f"the answer to {tick(str(prompt))}", faults)
        )
        if not isinstance(prompt, str) or (value is not None and answer is None):
            continue
        if kind.slot and prompt.count("{}") != 1:
            found = prompt.count("{}") or "none"
            message = f"{what} needs exactly one `{{}}` for the concept, this has {found}"
            faults.add("E114", message, key.span, help="such as: The capital of {} is")
            continue
        good.append(
            (PromptAnswer(prompt, None if answer is None else str(answer)) if kind.answers else prompt, key.span)
        )
    return good


def read_layers(node: Node, label: str, faults: Faults) -> list[tuple[int, Span]] | str | None:
    """The numbers of the layers, sorted, each with its place; or `auto`."""
    kind = Layers()
    if isinstance(node, Leaf) and node.text == AUTO:
        return AUTO
    items = node.items if isinstance(node, Items) else (node,)
    if not items:
        faults.add("E107", f"{label} is an empty list", node.span, help="remove it to take the default")
        return None
    found: dict[int, Span] = {}
    for item in items:
        numbers = tuple(_numbers(item.text)) if isinstance(item, Leaf) and item.plain else ()
        if not numbers:
            report_wrong_type(item, label, kind.expects, faults)
        for number in numbers:
            found.setdefault(number, item.span)
    return sorted(found.items()) or None


def _numbers(text: str) -> Iterator[int]:
    """The numbers in `5` or `4-8`, both ends included. Empty for other texts, backward ranges and too large numbers."""
    match = re.fullmatch(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?", text)
    if match is None or max(int(part or 0) for part in match.groups()) >= MAX_LAYERS:
        return
    yield from range(int(match[1]), int(match[2] or match[1]) + 1)
