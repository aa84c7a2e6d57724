"""What the command line shows of language models only: each edit on one line, and how many of its prompts hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from editc.cli.show.output import bystander_lines, claim_lines

if TYPE_CHECKING:
    from editc.core.language_edits import LanguageEdit
    from editc.core.manifest import Manifest
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
"""Purpose of a prompt -> heading of its column, in the order of the columns. A purpose without prompts has no column; a
purpose that is not listed here comes last, under its own name."""
FIRST_CLAIMS = frozenset(
    {"efficacy", "paraphrase", "neighbourhood", "spread", "retain_kl", "retain_top1", "rank", "changed"}
)
"""Claims that are shown on the terminal even without a bound. The rest are in the report."""
TEXT_CLAIMS = frozenset(
    {"present_nll", "absent_nll", "forgotten_nll_before", "forgotten_nll_after"}
    | {"learned_nll_before", "learned_nll_after", "retained", "retained_nll_before", "retained_nll_after"}
)
"""Claims about the texts of an ablated concept, and about the rows of a set that is forgotten."""
MANY_EDITS = 8
"""With more edits than this, claims about single edits are not shown. Chosen by hand."""
NAME_WIDTH = 44
"""The most characters of an edit's name in the table; a longer name loses its middle. Chosen by hand."""


def answer_lines(manifest: Manifest, answers: Sequence[Answer]) -> Iterator[str]:
    """A table of how many prompts hold: a row for each edit, a column for each purpose. Empty if no prompt was
    asked."""
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
        rows.append(("(no single edit)", _correct_counts(answers, None, purposes, len(names))))
    width = max(len(name) for name, _ in rows)
    yield f"  {'prompts that hold':<{width}}" + "".join(f"  {head:>10}" for head in heads)
    for name, counts in rows:
        cells = (f"  {cell:>{max(10, len(head))}}" for cell, head in zip(counts, heads, strict=True))
        yield f"  {name:<{width}}" + "".join(cells)


def titles(manifest: Manifest) -> list[str]:
    """What each edit is about, in the order of the manifest."""
    return [title(edit) for edit in manifest.language_edits]


def sites_text(count: int, share: float) -> str:
    """What `sites: auto` will choose. The model must run to know more."""
    return "the layers that `sites: auto` chooses"


def measured_lines(verified: Verified) -> Iterator[str]:
    """The most important claims, how many prompts of each edit hold, and the bystanders that lost something."""
    manifest, report = verified.solution.problem.plan.manifest, verified.report
    shown = general_claims(manifest, report.claims)
    yield from claim_lines(shown, {"spread": form_shares(report.claims)})
    if left := len(report.claims) - len(shown):
        yield f"  and {left} more measurements (--json shows all)"
    if report.answers:
        yield ""
        yield from answer_lines(manifest, report.answers)
    yield from bystander_lines(report.bystanders)


def general_claims(manifest: Manifest, claims: Sequence[Claim]) -> list[Claim]:
    """The claims to show: those with a bound, FIRST_CLAIMS of the whole build, and TEXT_CLAIMS if there are few edits.

    Ablated concepts have no prompts, so they have no row in the table of answers.
    """
    few = len(manifest.language_edits) <= MANY_EDITS
    return [
        one
        for one in claims
        if one.bound is not None or (one.name in FIRST_CLAIMS and not one.subject) or (one.name in TEXT_CLAIMS and few)
    ]


def form_shares(claims: Sequence[Claim]) -> str:
    """The share of edits that hold in each form, such as `cloze 1, chat 0.5`."""
    return ", ".join(f"{one.subject} {one.value:.2g}" for one in claims if one.name == "form")


def title(edit: LanguageEdit) -> str:
    """What an edit is about: `Eiffel Tower -> Rome`, `Nintendo -> noise`, `French`."""
    found = {"concept": edit.names[0], **{name: getattr(edit, name, "") for name in ("answer", "to", "toward")}}
    return headline({"kind": edit.kind, **found})


def headline(edit: Mapping[str, Any]) -> str:
    """The same for an edit as a delta or a report records it. A recorded value may have any type."""
    concept = str(edit.get("concept") or "?")
    toward = edit.get("toward")
    end = edit.get("answer") or edit.get("to") or (toward if toward in ("noise", "refusal") else "")
    return _clean(f"{concept} -> {end}" if end and edit.get("kind") != "ablate" else concept)


def is_language(edit: Mapping[str, Any]) -> bool:
    """True for the record of a language model's edit. The `toward` of an image model's edit is a block of shares."""
    return edit.get("kind") in ("fact", "redirect", "ablate", "forget", "learn") or isinstance(edit.get("toward"), str)


def edit_line(edit: Mapping[str, Any]) -> str:
    """A recorded edit on one line: kind, title, method with options, strength, prompt of a fact, other names."""
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
    """The options of a method in parentheses. Empty if there are none."""
    texts = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in options.items())
    return f" ({', '.join(texts)})" if options else ""


def _correct_counts(answers: Sequence[Answer], index: int | None, purposes: Sequence[str], edits: int = 0) -> list[str]:
    """For each purpose, how many answers of one edit hold, such as `3/4`; `-` if nothing was asked.

    `index` is the number of the edit. None: answers that belong to none of the `edits` edits.
    """
    chosen = [one for one in answers if (one.edit == index if index is not None else not 0 <= one.edit < edits)]
    found = [[one.holds for one in chosen if one.purpose == purpose] for purpose in purposes]
    return [f"{sum(holds)}/{len(holds)}" if holds else "-" for holds in found]


def _clean(text: str) -> str:
    """Replace characters that could control a terminal by `?`. A delta may come from anybody."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _cut(text: str) -> str:
    """A name of at most NAME_WIDTH characters."""
    half = (NAME_WIDTH - 3) // 2
    return text if len(text) <= NAME_WIDTH else f"{text[:half]}...{text[-half:]}"
