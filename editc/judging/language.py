"""Reasons from the report of a language model: what it answers to the edited prompts, to other forms of them, and
elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.manifest import Manifest
from editc.core.measurements import Report
from editc.core.verdict import Reason, Share, State
from editc.judging.shares import POOR, claims_of, count_right, judge_share, list_some, percent, sure_of_least

UNMOVED = 0.1
"""Below this share of the edit, a text that begins with the subject counts as unchanged. Chosen by hand."""
CARRIED = 2 / 3
"""From this share on, the first words of a name alone identify it, so that an edit at its last word is likely to be
passed over. Chosen by hand."""


def judge_answers(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many edited prompts are answered as asked, and whether the model knew what it was to lose."""
    for claim in claims_of(report, "efficacy", ""):
        right = count_right(report.answers, "efficacy", "relation")
        text = f"{right} edited prompts are answered as asked"
        text += f" ({sure_of_least(right)})" if right.of > 1 else ""
        yield Reason(judge_share(claim, claim.value), text, claim.name, "", claim.value, right, right.at_least)
    for claim in claims_of(report, "known"):
        if claim.value < POOR:
            text = f"the unedited model did not give the old answer for {claim.subject}: its absence proves little"
            yield Reason("amber", text, claim.name, claim.subject, claim.value)


def judge_ablations(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How much less likely text with an ablated concept became, against text without it."""
    absent = {claim.subject: claim.value for claim in claims_of(report, "absent_nll")}
    for claim in claims_of(report, "present_nll"):
        other = max(absent.get(claim.subject, 0.0), 0.0)
        text = f"text with {claim.subject} is {claim.value:.2g} nats per token less likely, text without it {other:.2g}"
        state: State = "green" if claim.value > 2 * other and claim.value > 0 else "amber" if claim.value > 0 else "red"
        yield Reason(state, text, claim.name, claim.subject, claim.value)


def list_unasked(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Edits of a language model that no prompt asks about and no text measures."""
    edits = manifest.language_edits
    asked = {one.edit for one in report.answers if one.purpose in ("efficacy", "relation")}
    texts = {claim.subject for claim in claims_of(report, "present_nll")}
    missing = [e.names[0] for i, e in enumerate(edits) if i not in asked and e.names[0] not in texts]
    if missing:
        yield Reason("amber", f"{list_some(missing)} not checked: no prompt asks about it")


def judge_neighbours(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many of the neighbours that the manifest names keep their answer."""
    for claim in claims_of(report, "neighbourhood"):
        right = count_right(report.answers, "neighbour")
        text = f"{right} named neighbours keep their answer ({sure_of_least(right)})"
        yield Reason(judge_share(claim, claim.value), text, claim.name, "", claim.value, right, right.at_least)


def judge_paraphrases(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many questions in other words are answered as asked: the manifest's paraphrases, and editc's own forms."""
    for claim in claims_of(report, "paraphrase"):
        right = count_right(report.answers, "paraphrase")
        text = f"{right} paraphrases are answered as asked ({sure_of_least(right)})"
        yield Reason(judge_share(claim, claim.value), text, claim.name, "", claim.value, right, right.at_least)
    forms = [one for one in report.answers if one.purpose == "form"]
    if forms:
        right = Share(sum(one.holds for one in forms), len(forms))
        failing = dict.fromkeys(one.form for one in forms if not one.holds)
        text = f"{right} questions in other forms hold" + (f"; some fail: {', '.join(failing)}" if failing else "")
        good = right.count / right.of
        yield Reason(judge_share(None, good), text, "form", "", good, right, right.at_least)


def judge_beginnings(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Two ways to get past an edit: a text that begins with the subject, and a name that its first words alone
    identify."""
    for claim in claims_of(report, "at_start"):
        state: State = "red" if claim.value < UNMOVED else "amber" if claim.value < POOR else "green"
        text = f"if a text begins with {claim.subject}, {percent(claim.value)} of the edit acts"
        yield Reason(state, text, claim.name, claim.subject, claim.value)
    for claim in claims_of(report, "carried"):
        if claim.value >= CARRIED:
            text = f"`{claim.subject}` alone gives {percent(claim.value)} of an edited name and is not edited itself"
            yield Reason("amber", text, claim.name, claim.subject, claim.value)


def list_untried(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """A reason for language models that no question in other words was put to."""
    if manifest.kind == "language" and not any(one.purpose in ("paraphrase", "form") for one in report.answers):
        yield Reason("amber", "not checked: no prompt asks for it in another form")
