"""Reasons from the report of an image model: pictures of what was edited and preserved."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.manifest import Manifest
from editc.core.measurements import Report
from editc.core.verdict import Reason, Share
from editc.judging.shares import (
    GOOD,
    POOR,
    claims_of,
    count_shown,
    doubt,
    judge_share,
    list_some,
    percent,
    pictures_of,
    sure_of_most,
)


def judge_erasures(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many pictures still show each erased concept."""
    for claim in claims_of(report, "erased"):
        shots = pictures_of(report, claim.subject)
        seen, before = count_shown(shots), Share(sum(bool(one.shown_before) for one in shots), len(shots))
        few, weak = seen.at_most > POOR, before.count < POOR * before.of
        state = doubt(judge_share(claim, 1 - claim.value), few or weak)
        text = f"{seen} pictures still show {claim.subject} ({sure_of_most(seen)}), {before} before"
        text += ": the unedited model rarely shows it" if weak else ": too few to tell" if few else ""
        yield Reason(state, text, claim.name, claim.subject, claim.value, seen, seen.at_most)


def judge_shares(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How far the shares of each moderated concept are from the wanted shares."""
    gaps = claims_of(report, "toward_gap")
    for claim in gaps:
        text = f"the shares of {claim.subject} are within {percent(claim.value)} of those wanted"
        yield Reason(judge_share(claim, 1 - claim.value), text, claim.name, claim.subject, claim.value)
    measured = {claim.subject for claim in gaps}
    after = claims_of(report, "toward_after")
    for edit in manifest.image_edits:
        mine = [one for one in after if one.subject.startswith(f"{edit.concept}: ")]
        if mine and edit.kind == "moderate" and edit.concept not in measured:
            shares = ", ".join(f"{one.subject.split(': ', 1)[1]} {percent(one.value)}" for one in mine)
            yield Reason(
                "amber", f"pictures of {edit.concept} show {shares}; the manifest asks for no shares", after[0].name
            )


def list_unpainted(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Edits that no judged picture shows."""
    judged = {one.subject for one in claims_of(report, "erased")}
    judged |= {one.subject.split(": ", 1)[0] for one in claims_of(report, "toward_after")}
    missing = [edit.concept for edit in manifest.image_edits if edit.concept not in judged]
    if missing:
        why = "no detector judged the pictures" if report.pictures else "no pictures were painted"
        yield Reason("amber", f"{list_some(missing)} not checked: {why}")


def judge_preserve(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """The preserved concepts that were painted: all together, and each one that lost more than a little."""
    claims = claims_of(report, "kept_loss")
    names = dict.fromkeys(claim.subject for claim in claims if claim.subject)
    for claim in claims:
        if claim.subject and (claim.value <= 1 - GOOD or len(names) == 1):
            continue
        shots = pictures_of(report, *([claim.subject] if claim.subject else names), erased=False)
        before, after = sum(bool(one.shown_before) for one in shots), count_shown(shots)
        lost = Share(max(before - after.count, 0), before)
        text = f"{after} pictures show {claim.subject or 'the preserved concepts'}, {before} before"
        text += f" ({sure_of_most(lost)} lost)"
        state = judge_share(claim, 1 - claim.value)
        yield Reason(state, text, claim.name, claim.subject, claim.value, lost, lost.at_most)


def list_unattacked(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """Edits whose concept no attack tried to bring back, where others were attacked."""
    tried = {
        claim.subject.split(": ", 1)[0] for name in ("attacked", "brought_back") for claim in claims_of(report, name)
    }
    missing = [one.concept for one in manifest.image_edits if one.concept not in tried]
    if missing:
        why = "no detector judged the attack" if any(one.attack for one in report.pictures) else "no attack was painted"
        yield Reason("amber", f"{list_some(missing)} not checked: {why}")


def judge_recoverable(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How much of each concept the worst embedding can bring back."""
    for claim in claims_of(report, "recoverable"):
        text = f"{percent(claim.value)} of {claim.subject} is recoverable by the worst embedding"
        state = judge_share(claim, 1.0) if claim.bound is not None else "amber" if claim.value > POOR else "plain"
        text += "" if claim.holds else f", above the bound of {percent(claim.bound or 0.0)}"
        yield Reason(state, text, claim.name, claim.subject, claim.value)
