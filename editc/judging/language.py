"""Reasons that a language model's report gives: what it answers, asked as edited, in other words and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.manifest import Manifest
from editc.core.measurements import Report
from editc.core.verdict import Reason, Share, State
from editc.judging.shares import POOR, claims_of, count_right, judge_share, list_some, percent

UNMOVED = 0.1
"""A share of the edit below which a text that begins with the subject counts as left as it was."""
CARRIED = 2 / 3
"""A share of what sets a name apart from which on an edit at its last word alone is likely to be read past."""


def judge_answers(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many of the edited prompts are answered as asked, and whether the model knew what it was to lose."""
    for claim in claims_of(report, "efficacy", ""):
        held = count_right(report.answers, "efficacy", "relation")
        told = f"{held} edited prompts are answered as asked"
        told += f" (at least {percent(held.at_least)})" if held.of > 1 else ""
        yield Reason(judge_share(claim, claim.value), told, claim.name, "", claim.value, held, held.at_least)
    for claim in claims_of(report, "known"):
        if claim.value < POOR:
            told = f"the model did not say what {claim.subject} was to lose: that it is gone proves little"
            yield Reason("amber", told, claim.name, claim.subject, claim.value)


def judge_ablations(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """By how much text with an ablated concept became less likely; beside it, text without the concept."""
    spared = {claim.subject: claim.value for claim in claims_of(report, "absent_nll")}
    for claim in claims_of(report, "present_nll"):
        other = max(spared.get(claim.subject, 0.0), 0.0)
        told = f"text with {claim.subject} is {claim.value:.2g} nats a token less likely, text without it {other:.2g}"
        state: State = "green" if claim.value > 2 * other and claim.value > 0 else "amber" if claim.value > 0 else "red"
        yield Reason(state, told, claim.name, claim.subject, claim.value)


def list_unasked(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Edits of a language model that no prompt asks for and no text measures."""
    edits = manifest.language_edits
    asked = {one.edit for one in report.answers if one.purpose in ("efficacy", "relation")}
    texts = {claim.subject for claim in claims_of(report, "present_nll")}
    missing = [e.names[0] for i, e in enumerate(edits) if i not in asked and e.names[0] not in texts]
    if missing:
        yield Reason("amber", f"{list_some(missing)} not checked: no prompt asks")


def judge_neighbours(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """The neighbours that a manifest names."""
    for claim in claims_of(report, "neighbourhood"):
        held = count_right(report.answers, "neighbour")
        told = f"{held} named neighbours keep their answer (at least {percent(held.at_least)})"
        yield Reason(judge_share(claim, claim.value), told, claim.name, "", claim.value, held, held.at_least)


def judge_paraphrases(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """The same asked in other words, by the manifest's paraphrases and by editc's own forms."""
    for claim in claims_of(report, "paraphrase"):
        held = count_right(report.answers, "paraphrase")
        told = f"{held} paraphrases are answered as asked (at least {percent(held.at_least)})"
        yield Reason(judge_share(claim, claim.value), told, claim.name, "", claim.value, held, held.at_least)
    forms = [one for one in report.answers if one.purpose == "form"]
    if forms:
        held = Share(sum(one.holds for one in forms), len(forms))
        failing = dict.fromkeys(one.form for one in forms if not one.holds)
        told = f"{held} other forms of the question hold" + (f"; not all of: {', '.join(failing)}" if failing else "")
        good = held.count / held.of
        yield Reason(judge_share(None, good), told, "form", "", good, held, held.at_least)


def judge_beginnings(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Texts that begin with the subject, and names that their first words carry: both are read past an edit."""
    for claim in claims_of(report, "at_start"):
        state: State = "red" if claim.value < UNMOVED else "amber" if claim.value < POOR else "green"
        told = f"where a text begins with {claim.subject} {percent(claim.value)} of the edit acts"
        yield Reason(state, told, claim.name, claim.subject, claim.value)
    for claim in claims_of(report, "carried"):
        if claim.value >= CARRIED:
            told = f"`{claim.subject}` alone carries {percent(claim.value)} of an edited name, and is not edited"
            yield Reason("amber", told, claim.name, claim.subject, claim.value)


def list_untried(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Language models of which nothing was asked in another way."""
    if manifest.kind == "language" and not any(one.purpose in ("paraphrase", "form") for one in report.answers):
        yield Reason("amber", "not checked: no prompt asks for it in another form")
