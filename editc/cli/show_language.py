"""A language model's edits as text: what each one is, and how many of its prompts hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from editc.cli.output import bystander_lines, claim_lines

if TYPE_CHECKING:
    from editc.core.manifest import Ablation, Fact, Manifest, Redirect
    from editc.core.measurements import Answer, Claim
    from editc.core.solution import Verified

COLUMN_HEADS: Mapping[str, str] = {
    "efficacy": "prompt",
    "paraphrase": "paraphrase",
    "relation": "relation",
    "form": "form",
    "neighbour": "neighbour",
    "retain": "retain",
}
"""Purpose -> head of its column; those that nothing was asked for are left out, and others follow by their own name."""
FIRST_CLAIMS = frozenset(
    {"efficacy", "paraphrase", "neighbourhood", "spread", "retain_kl", "retain_top1", "rank", "changed"}
)
"""Claims that the terminal shows without a bound; the others are in the report."""
TEXT_CLAIMS = frozenset({"present_nll", "absent_nll"})
"""Claims of an ablated concept's texts."""
MANY_EDITS = 8
"""Of more edits the claims of single ones are not shown."""
NAME_WIDTH = 44
"""Letters of an edit's name in the table; a longer one loses its middle."""


def answer_lines(manifest: Manifest, answers: Sequence[Answer]) -> Iterator[str]:
    """A table with a line an edit: of the prompts of each purpose, how many hold. Nothing where none was asked."""
    if not answers:
        return
    asked = dict.fromkeys(one.purpose for one in answers)
    purposes = [
        *(name for name in COLUMN_HEADS if name in asked),
        *(name for name in asked if name not in COLUMN_HEADS),
    ]
    heads = [COLUMN_HEADS.get(name, name) for name in purposes]
    names = [_cut(title(edit)) for edit in manifest.language_edits]
    rows = [(name, _correct_counts(answers, index, purposes)) for index, name in enumerate(names)]
    if any(not 0 <= one.edit < len(names) for one in answers):
        rows.append(("of no single edit", _correct_counts(answers, None, purposes, len(names))))
    width = max(len(name) for name, _ in rows)
    yield f"  {'prompts that hold':<{width}}" + "".join(f"  {head:>10}" for head in heads)
    for name, held in rows:
        cells = (f"  {cell:>{max(10, len(head))}}" for cell, head in zip(held, heads, strict=True))
        yield f"  {name:<{width}}" + "".join(cells)


def titles(manifest: Manifest) -> list[str]:
    """What each edit is about."""
    return [title(edit) for edit in manifest.language_edits]


def sites_text(count: int, share: float) -> str:
    """Which matrices `sites: auto` will choose."""
    return "the layers that the model itself names"


def measured_lines(verified: Verified) -> Iterator[str]:
    """The claims to look at first, how many prompts of each edit hold, and what became of the bystanders."""
    manifest, report = verified.solution.problem.plan.manifest, verified.report
    shown = general_claims(manifest, report.claims)
    yield from claim_lines(shown, {"spread": form_shares(report.claims)})
    if left := len(report.claims) - len(shown):
        yield f"  and {left} more measurements (all with --json)"
    if report.answers:
        yield ""
        yield from answer_lines(manifest, report.answers)
    yield from bystander_lines(report.bystanders)


def general_claims(manifest: Manifest, claims: Sequence[Claim]) -> list[Claim]:
    """The claims to show of a build: those with a bound and what is looked at FIRST; of few ablated concepts, which
    have no prompts and so no line in the table, also what became of their texts."""
    few = len(manifest.language_edits) <= MANY_EDITS
    return [
        one
        for one in claims
        if one.bound is not None or (one.name in FIRST_CLAIMS and not one.subject) or (one.name in TEXT_CLAIMS and few)
    ]


def form_shares(claims: Sequence[Claim]) -> str:
    """`cloze 1, chat 0.5`: the share that holds in each form, for the line of their spread."""
    return ", ".join(f"{one.subject} {one.value:.2g}" for one in claims if one.name == "form")


def title(edit: Fact | Redirect | Ablation) -> str:
    """`Eiffel Tower -> Rome`, `Nintendo -> noise`, `French`."""
    found = {"concept": edit.names[0], **{name: getattr(edit, name, "") for name in ("answer", "to", "toward")}}
    return headline({"kind": edit.kind, **found})


def headline(edit: Mapping[str, Any]) -> str:
    """The same of an edit as a delta or a report records it, whatever its values are."""
    concept = str(edit.get("concept") or "?")
    toward = edit.get("toward")
    end = edit.get("answer") or edit.get("to") or (toward if toward in ("noise", "refusal") else "")
    return _clean(f"{concept} -> {end}" if end and edit.get("kind") != "ablate" else concept)


def is_language(edit: Mapping[str, Any]) -> bool:
    """True for a recorded edit of a language model; an image model's `toward` has shares."""
    return edit.get("kind") in ("fact", "redirect", "ablate") or isinstance(edit.get("toward"), str)


def edit_line(edit: Mapping[str, Any]) -> str:
    """One line: kind, what leads where, the method with its options, the prompt of a fact, other names."""
    strength, also, options = edit.get("strength"), edit.get("also"), edit.get("options")
    parts = [
        str(edit.get("kind")),
        headline(edit),
        str(edit.get("method") or "?") + _options_text(options if isinstance(options, Mapping) else {}),
        f"strength {strength}" if strength not in (None, 1, 1.0) else "",
        f'"{edit["prompt"]}"' if edit.get("prompt") else "",
        f"also {', '.join(map(str, also))}" if isinstance(also, list) and also else "",
    ]
    return _clean("  ".join(part for part in parts if part))


def _options_text(options: Mapping[str, Any]) -> str:
    said = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in options.items())
    return f" ({', '.join(said)})" if options else ""


def _correct_counts(answers: Sequence[Answer], index: int | None, purposes: Sequence[str], edits: int = 0) -> list[str]:
    """`3/4` of each purpose, a dash where nothing was asked; `index` None: of the answers that belong to no edit."""
    mine = [one for one in answers if (one.edit == index if index is not None else not 0 <= one.edit < edits)]
    found = [[one.holds for one in mine if one.purpose == purpose] for purpose in purposes]
    return [f"{sum(holds)}/{len(holds)}" if holds else "-" for holds in found]


def _clean(text: str) -> str:
    """A delta is anybody's: what would steer a terminal is shown as `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _cut(text: str) -> str:
    half = (NAME_WIDTH - 3) // 2
    return text if len(text) <= NAME_WIDTH else f"{text[:half]}...{text[-half:]}"
