"""What a command prints: text and JSON; and claims and bystanders as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editc.core.measurements import Bystander, Claim

MAX_BYSTANDERS = 5
"""The most bystanders that are shown. Chosen by hand; the report has all."""


@dataclass(frozen=True)
class Output:
    """The result of a command, before it is printed."""

    text: str
    """What is printed to stdout without `--json`. Empty: nothing."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the JSON object, besides `status` and `diagnostics`."""
    status: str = "done"
    """The key `status` of the JSON object, unless the command fails."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Pattern -> the colour, on a terminal, of what its first group matches."""


def claim_colours() -> Mapping[str, str]:
    """Colours for the results of claims and the states of a verdict: pattern -> colour, for `Output.colours`."""
    from editc.core.verdict import ANSI

    states = {rf"(?m)^ *\w+\? +({state})\b": colour for state, colour in ANSI.items()}
    return {
        r"(?m)^ +\S.*  (NOT MET)(?:  |$)": "red",
        r"(?m)^ +\S.* [\d.e+-]+  (met)(?:  |$)": "green",
        **states,
    }


def claim_lines(claims: Sequence[Claim], notes: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """One line for each claim: name, value, bound, result, subject. `notes` are texts by a claim's name that end its
    line."""
    width = max((len(claim.name) for claim in claims), default=0)
    for claim in claims:
        side = "at least" if claim.least else "at most"
        bound = "" if claim.bound is None else f"  {side} {claim.bound:g}  {'met' if claim.holds else 'NOT MET'}"
        subject = f"  {claim.subject}" if claim.subject and len(claim.subject) < 40 else ""
        note = f"  {notes[claim.name]}" if notes.get(claim.name) else ""
        yield f"  {claim.name:<{width}}  {claim.value:>10.4g}{bound}{subject}{note}"


def claim_record(claim: Claim) -> Mapping[str, Any]:
    """A claim as `--json` prints it: with whether it holds, without unit and line."""
    from editc.core.measurements import claim_fields

    fields = {name: value for name, value in claim_fields(claim).items() if name not in ("unit", "line")}
    return fields | {"holds": claim.holds}


def bystander_lines(bystanders: Sequence[Bystander]) -> Iterator[str]:
    """The bystanders that lost something, worst first, at most MAX_BYSTANDERS. A concept has counts of pictures, a
    question has the answers before and after."""
    suffered = sorted((one for one in bystanders if one.loss > 0), key=lambda one: -one.loss)
    if not suffered:
        return
    yield ""
    yield f"  {len(suffered)} of {len(bystanders)} bystanders (not named in the manifest) lost something:"
    width = min(max(len(one.name) for one in suffered[:MAX_BYSTANDERS]), 64)
    for one in suffered[:MAX_BYSTANDERS]:
        before, after = (" ".join(text.split()) for text in one.said)
        now = f"{before[:40]} -> {after[:40]}" if before or after else ""
        counts = now or f"{round(one.before * one.of)} of {one.of} pictures before, {round(one.after * one.of)} after"
        yield f"  {one.name:<{width}}  {counts}"
