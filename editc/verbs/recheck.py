"""Measure a delta again: rebuild the problem and the solution that it records, and compare its claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isinf
from typing import Any

import numpy as np

from editc.core.delta import Array, Delta, Factors
from editc.core.diagnostics import Diagnostic, fail
from editc.core.manifest import Manifest
from editc.core.measurements import GENERATED_CLAIMS, RUN_CLAIMS, Claim
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.core.solution import (
    Edit,
    LinkedEdit,
    Solution,
    Stats,
    Verified,
)
from editc.passes.images.solve import moderate
from editc.registry.families import FAMILIES
from editc.verbs.open import kind_of

TOLERANCE = 1e-6
"""Claims are sums in float64 over equal weights, which machines may round differently in the last digits. Chosen by
hand: a recorded claim has seven digits (`passes.emit.DIGITS`)."""
RUN_TOLERANCE, SHARE_TOLERANCE, RUN_FLOOR = 0.02, 0.05, 1e-4
"""For claims from running a language model in float32: the relative difference; the difference of a share of tokens or
columns; and a floor, in nats, below which a difference is rounding. Chosen by hand."""
PICTURE_CLAIMS = frozenset({"attacked", "brought_back", "bystander_loss", "erased", "kept_loss", "shown_before"})
"""Claims that a detector counts on pictures, besides those whose names begin with `toward` or `kept`. Painting in
float32 differs between machines, so these claims only answer to their bounds."""


def recorded_plan(delta: Delta, manifest: Manifest, model: str, ctx: Context | None = None) -> Plan:
    """The plan that a delta records. With `ctx`, its family uses the sentences of that model.

    Raises E201 if this version does not have the family.
    """
    if delta.family not in FAMILIES.names():
        message = f"this editc does not know the delta's family `{delta.family}`"
        raise fail("E201", message, place=model, help="install the version, or the package, that built the delta")
    sites = tuple(record.site for record in delta.sites)
    why, family = {site.name: "recorded" for site in sites}, FAMILIES.resolve(delta.family)
    family = family if ctx is None else ctx.with_own_contexts(family)
    stages = kind_of(manifest).recorded_stages(manifest, family, len(sites))
    return Plan(manifest, family, model, sites, why, stages=stages)


def derive_recorded(delta: Delta, manifest: Manifest, model: str, corpus: Sequence[str], ctx: Context) -> Problem:
    """Derive the problem of a delta again on a model. Learned values are left out: the delta's factors contain them.

    `corpus` is the default list of preserved prompts.
    """
    return kind_of(manifest).derive_again(recorded_plan(delta, manifest, model, ctx), ctx, corpus)


def measure_solution(solution: Solution, ctx: Context, others: Sequence[str] = ()) -> Verified:
    """Measure every claim of a solution. `others` are names that other deltas edit in the same model."""
    verified: Verified = kind_of(solution.problem.plan.manifest).verify_pass(others)(solution, ctx)
    return verified


def recorded_solution(delta: Delta, problem: Problem) -> Solution:
    """The delta's factors as the solution of `problem`. Statistics of the solve come from the delta's claims."""
    edits = {group: _edit(part, _stats(delta, _rank(delta, part))) for group, part in delta.factors.items()}
    return _solution(delta, problem, edits)


def solution_of_part(part: Delta, linked: Delta, problem: Problem) -> Solution:
    """What `linked` does to the sites of one of its parts, as a solution of the part's own `problem`.

    Rank and statistics of the solve are those of the part, because they describe its own edit. For a language model all
    sites of `linked` are measured, because what it says depends on every change.
    """
    problem = kind_of(problem.plan.manifest).problem_of_part(problem, part, linked)
    stats = _stats(part, next((int(claim["value"]) for claim in part.claims if claim["name"] == "rank"), 0))
    places = {}
    for factors in linked.factors.values():
        edit = _edit(factors, stats)
        for k, index in enumerate(factors.sites):
            site = linked.sites[index].site
            places[site.component, site.name] = edit, k
    edits = {}
    for group in dict.fromkeys(site.group for site in problem.plan.sites):
        own = problem.plan.sites_of(group)
        edits[group] = LinkedEdit("dense", (), (), stats, tuple(places[site.component, site.name] for site in own))
    return _solution(part, problem, edits)


def _solution(delta: Delta, problem: Problem, edits: Mapping[str, Edit]) -> Solution:
    """The solution with the pulls, methods and strengths that the delta records."""
    found = tuple(
        moderate.from_json(index, edit["shares"]) for index, edit in enumerate(delta.edits) if "shares" in edit
    )
    problem = replace(problem, systems=moderate.with_pulls(problem.systems, {one.index: one.pulls for one in found}))
    methods = tuple({"method": edit["method"], "options": edit["options"]} for edit in delta.edits)
    return Solution(problem, edits, methods, tuple(float(edit["strength"]) for edit in delta.edits), found)


def _edit(part: Factors, stats: Stats) -> Edit:
    """Factors as an edit, in float64."""
    return Edit(part.form, *_strip_padding(part), stats)


def _strip_padding(part: Factors) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Left and right factors in float64. Low-rank pairs lose the zero columns and rows that exports pad them with."""
    left, right = (tuple(np.asarray(f, np.float64) for f in side) for side in (part.left, part.right))
    if part.form != "low-rank" or len(left) != len(right):
        return left, right
    used = [one.any(axis=0) | other.any(axis=1) for one, other in zip(left, right, strict=True)]
    lefts = tuple(one[:, mask] for one, mask in zip(left, used, strict=True))
    return lefts, tuple(other[mask] for other, mask in zip(right, used, strict=True))


def _rank(delta: Delta, part: Factors) -> int:
    """The largest rank of any pair of factors. A dense edit has no pairs: then the rank that the delta claims."""
    claimed = next((int(claim["value"]) for claim in delta.claims if claim["name"] == "rank"), 0)
    return max((len(right) for right in _strip_padding(part)[1]), default=claimed)


def _stats(delta: Delta, rank: int) -> Stats:
    """The statistics of the solve that the delta claims. NaN where it claims none."""
    claimed = {claim["name"]: float(claim["value"]) for claim in delta.claims}
    condition, residual = claimed.get("condition", float("nan")), claimed.get("solve_residual", float("nan"))
    return Stats(condition, residual, rank, claimed.get("discarded", 0.0))


def counts_pictures(name: str) -> bool:
    """True for a claim that a detector counts on pictures."""
    return name in PICTURE_CLAIMS or name.startswith(("toward", "kept"))


def allowed_difference(claim: Mapping[str, Any], prompts: int = 0) -> float:
    """How far a recorded claim may differ from a new measurement. Infinite for claims from pictures and from
    continuations.

    A share of n `prompts` is a count. If two answers are about equally likely, float32 on another machine may turn one
    prompt over, which moves the share by 1/n. Two prompts at once are more than rounding. RUN_FLOOR is added because a
    share is recorded with few digits.
    """
    name, size = claim["name"], abs(float(claim["value"]))
    if counts_pictures(name) or name in GENERATED_CLAIMS:
        return float("inf")
    if name not in RUN_CLAIMS:
        return TOLERANCE * max(1.0, size)
    if claim.get("unit") != "share":
        return RUN_TOLERANCE * size + RUN_FLOOR
    return 1 / prompts + RUN_FLOOR if prompts else SHARE_TOLERANCE


def disagreements(delta: Delta, verified: Verified) -> tuple[Diagnostic, ...]:
    """E507 for each claim of numbers that is measured differently from what the delta records."""
    measured = {(claim.name, claim.subject): claim for claim in verified.report.claims}
    return tuple(_claim_faults(delta, measured))


def detector_warnings(delta: Delta, verified: Verified) -> tuple[Diagnostic, ...]:
    """E508, a warning, if another detector judged the pictures than the delta records."""
    recorded, now = delta.extra.get("detector"), verified.report.detector
    if not isinstance(recorded, Mapping) or not now or recorded.get("sha256") == now.get("sha256"):
        return ()
    names = [f"`{one.get('name')}` ({str(one.get('sha256'))[:12]})" for one in (recorded, now)]
    message = f"the detector has changed: {names[0]} judged the delta's pictures, now {names[1]} does"
    help_text = "for comparable results use the same detector: the same files, prompts and threshold"
    return (Diagnostic("E508", message, place=delta.delta_id[:12], help=help_text, severity="warning"),)


def _claim_faults(delta: Delta, measured: Mapping[tuple[str, str], Claim]) -> Iterator[Diagnostic]:
    """E507 for each claim whose new measurement differs too much or is missing. `measured` is by name and subject."""
    for claim in delta.claims:
        name, subject = claim["name"], claim.get("subject", "")
        again = measured.get((name, subject))
        most = allowed_difference(claim, again.of if again else 0)
        if isinf(most):
            continue
        value = again.value if again else None
        if value is None or abs(value - claim["value"]) > most:
            what = f"{name} of `{subject}`" if subject else name
            found = "cannot be measured" if value is None else f"is {value:.9g}"
            yield Diagnostic(
                "E507",
                f"the delta claims that {what} is {claim['value']:.9g}; on this model it {found}",
                place=delta.delta_id[:12],
                help="do not ship it: build it again from its manifest",
            )
