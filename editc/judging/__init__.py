"""What a report comes to: the reasons of each line of the verdict, from claims, pictures, answers and bystanders.

A bound decides where there is one. A share without a bound is green from GOOD on, red below POOR, and amber between.
What was not measured is amber and says so: a report must not be green where nothing was checked. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Claim, Report
from editc.core.solution import Solution, Verified
from editc.core.verdict import QUESTIONS, Reason, Verdict, make_judgement
from editc.judging.access import judge_access
from editc.judging.bystanders import judge_bystanders
from editc.judging.images import (
    judge_erasures,
    judge_preserve,
    judge_recoverable,
    judge_shares,
    list_unattacked,
    list_unpainted,
)
from editc.judging.language import (
    judge_ablations,
    judge_answers,
    judge_beginnings,
    judge_neighbours,
    judge_paraphrases,
    list_unasked,
    list_untried,
)

WORKS_CLAIMS = ("erase_residual", "erased", "toward_fitted", "toward_gap", "efficacy")
"""Claims whose bounds belong to the line `Works?`."""
ROBUST_CLAIMS = ("recoverable", "paraphrase", "brought_back")
"""Claims whose bounds belong to the line `Robust?`. All other bounds belong to `Costs?`."""
PICTURE_BOUNDS: Mapping[str, str] = {
    "erased": "erased_at_most",
    "kept_loss": "kept_loss_at_most",
    "toward_gap": "share_gap_at_most",
}
"""Claim -> the field of `verify.images` that bounds it."""
Rule = Callable[[Report, Manifest], Iterator[Reason]]
"""Yields the reasons that a report gives for one line of the verdict."""


def judge(report: Report, manifest: Manifest) -> Verdict:
    """The verdict on the report of a build of this manifest."""
    return Verdict(*(make_judgement(question, _reasons(RULES[question], report, manifest)) for question in QUESTIONS))


def conclude(solution: Solution, report: Report) -> Verified:
    """A solution with its report and the verdict on it."""
    return Verified(solution, report, judge(report, solution.problem.plan.manifest))


def unanswered_claims(report: Report, manifest: Manifest) -> tuple[str, ...]:
    """The claims that the manifest bounds and that nothing measured."""
    measured = {claim.name for claim in report.claims}
    return tuple(name for name in _bounded_claims(manifest) if name not in measured)


def _reasons(rules: Sequence[Rule], report: Report, manifest: Manifest) -> Iterator[Reason]:
    """The reasons of all these rules, in order."""
    for rule in rules:
        yield from rule(report, manifest)


def _bounds(mine: Callable[[str], bool]) -> Rule:
    """A rule for every bound of the claims that `mine` picks, where no other rule judges it, and for every such bound
    that nothing answered."""

    def bounds(report: Report, manifest: Manifest) -> Iterator[Reason]:
        """Reasons for these bounds."""
        for claim in report.claims:
            if claim.bound is not None and mine(claim.name) and claim.name not in OWN_RULE_CLAIMS:
                yield _bound_reason(claim)
        for name in unanswered_claims(report, manifest):
            if mine(name):
                yield Reason("amber", f"{name} was not measured: whether its bound holds is unknown", name)

    return bounds


def _bound_reason(claim: Claim) -> Reason:
    """The reason for one claim with a bound: plain if it holds, red if not."""
    side = ("at least" if claim.holds else "below") if claim.least else "at most" if claim.holds else "above"
    subject = f" of {claim.subject}" if claim.name in WORKS_CLAIMS and claim.subject else ""
    text = f"{claim.name}{subject} {claim.value:.3g}, {side} {claim.bound:.3g}"
    return Reason("plain" if claim.holds else "red", text, claim.name, claim.subject, claim.value)


def _bounded_claims(manifest: Manifest) -> Iterator[str]:
    """The names of the claims that the manifest bounds."""
    bounds = manifest.constraints
    yield from (
        one.name for one in fields(Constraints) if one.name != "spans" and getattr(bounds, one.name) is not None
    )
    if manifest.images is not None:
        yield from (name for name, bound in PICTURE_BOUNDS.items() if getattr(manifest.images, bound) is not None)


OWN_RULE_CLAIMS = frozenset(
    {
        *("erased", "toward_gap", "efficacy", "bystander_loss", "kept_loss", "neighbourhood", "recoverable"),
        *("paraphrase", "brought_back"),
    }
)
"""Claims that a rule of their own judges."""
RULES: Mapping[str, tuple[Rule, ...]] = {
    "Works?": (
        judge_erasures,
        judge_shares,
        judge_answers,
        judge_ablations,
        list_unpainted,
        list_unasked,
        _bounds(lambda name: name in WORKS_CLAIMS),
    ),
    "Costs?": (
        judge_bystanders,
        judge_preserve,
        judge_neighbours,
        _bounds(lambda name: name not in WORKS_CLAIMS + ROBUST_CLAIMS),
    ),
    "Robust?": (
        judge_access,
        list_unattacked,
        judge_recoverable,
        judge_paraphrases,
        judge_beginnings,
        list_untried,
        _bounds(lambda name: name in ROBUST_CLAIMS),
    ),
}
"""Question -> the rules for its line, in the order in which their reasons are shown."""
