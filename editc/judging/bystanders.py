"""Reasons from bystanders (what the manifest does not name), for either kind of model."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.manifest import Manifest
from editc.core.measurements import Bystander, Claim, Report
from editc.core.verdict import Reason, Share
from editc.judging.shares import POOR, claims_of, doubt, judge_share, sure_of_least

COUNTED = {"image": "pictures of bystanders show them", "language": "questions not in the manifest are answered"}
"""Kind of model -> what is counted of bystanders, in words."""


def judge_bystanders(report: Report, manifest: Manifest) -> Iterator[Reason]:
    """How many bystanders are as they were before the edit, and which one lost most."""
    every = report.bystanders
    shown = sum(round(one.before * one.of) for one in every)
    if not shown:
        yield Reason("amber", "bystanders (not named in the manifest): not checked")
        return
    unchanged = Share(shown - sum(max(0, round(one.loss * one.of)) for one in every), shown)
    worst = max(every, key=lambda one: one.loss)
    claims = claims_of(report, "bystander_loss")
    claim = max(claims, key=lambda one: (not one.holds, one.value), default=Claim("bystander_loss", worst.loss))
    what = COUNTED[manifest.kind]
    few = unchanged.count == unchanged.of and unchanged.at_least < POOR
    text = f"{unchanged} {what} as before ({sure_of_least(unchanged)}){_worst(worst, claim)}"
    text += ": too few to tell" if few else ""
    yield Reason(
        doubt(judge_share(claim, 1 - claim.value), few),
        text,
        claim.name,
        claim.subject,
        claim.value,
        unchanged,
        unchanged.at_least,
    )


def _worst(worst: Bystander, claim: Claim) -> str:
    """What lost most, in words, with the bound that it broke. Both numbers are of the same few pictures or
    questions."""
    if worst.loss <= 0:
        return ""
    if claim.of and not claim.holds:
        changed = round(claim.value * claim.of)
        return (
            f"; worst: {claim.subject}, {changed} of {claim.of} changed, the bound allows {_allowance(claim, claim.of)}"
        )
    name = f"; worst: {worst.name}"
    if worst.of > 1:
        name += f", {round(worst.after * worst.of)} of {worst.of}, {round(worst.before * worst.of)} before"
    return name + ("" if claim.holds else f", the bound allows {_allowance(claim, worst.of)} lost")


def _allowance(claim: Claim, of: int) -> str:
    """How many of `of` the bound lets change, in words."""
    most = sum((count + 1) / of <= (claim.bound or 0.0) for count in range(of))
    return f"at most {most}" if most else "none"
