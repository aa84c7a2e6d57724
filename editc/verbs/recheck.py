"""A delta taken at its word: the problem, the solution and the claims that it records, to be measured again."""

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
from editc.verbs.kinds import kind_of

TOLERANCE = 1e-6
"""Claims are sums in float64 over equal weights: machines may differ in their last digits and no more."""
RUN_TOLERANCE, SHARE_TOLERANCE, RUN_FLOOR = 0.02, 0.05, 1e-4
"""Of a claim by running a language model in float32: relative, or absolute of a share that is not one of prompts but of
tokens or columns; nats below the floor are rounding."""
PICTURE_CLAIMS = frozenset({"attacked", "bystander_loss", "erased", "kept_loss", "shown_before"})
"""Claims by pictures: painting in float32 differs between machines, so these only answer to their bounds."""


def recorded_plan(delta: Delta, manifest: Manifest, model: str, ctx: Context | None = None) -> Plan:
    """The plan that the delta's sites are; with `ctx`, in the sentences of its model."""
    if delta.family not in FAMILIES.names():
        raise fail("E201", f"the delta's family `{delta.family}` is not one of this version's", place=model)
    sites = tuple(record.site for record in delta.sites)
    why, family = {site.name: "recorded" for site in sites}, FAMILIES.resolve(delta.family)
    family = family if ctx is None else ctx.speaking(family)
    stages = kind_of(manifest).recorded_stages(manifest, family, len(sites))
    return Plan(manifest, family, model, sites, why, stages=stages)


def derive_recorded(delta: Delta, manifest: Manifest, model: str, corpus: Sequence[str], ctx: Context) -> Problem:
    """The delta's own problem on a model; of a language model without what was learned, which its factors hold."""
    return kind_of(manifest).derive_again(recorded_plan(delta, manifest, model, ctx), ctx, corpus)


def measure_solution(solution: Solution, ctx: Context, others: Sequence[str] = ()) -> Verified:
    """Every claim of a solution, measured; `others` are names that other deltas edit in the same model."""
    found: Verified = kind_of(solution.problem.plan.manifest).verify_pass(others)(solution, ctx)
    return found


def recorded_solution(delta: Delta, problem: Problem) -> Solution:
    """The delta's factors as the solution of `problem`; what the solve said of itself is taken from its claims."""
    edits = {group: _edit(part, _stats(delta, _rank(delta, part))) for group, part in delta.factors.items()}
    return _solution(delta, problem, edits)


def solution_of_part(part: Delta, linked: Delta, problem: Problem) -> Solution:
    """What `linked` does to the sites of one of its parts, as a solution of the part's own `problem`.

    The rank and what the solve said of itself are the part's: they are facts of its own edit. What a language model
    says depends on all that was changed, so all sites of `linked` are measured there.
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
    found = tuple(
        moderate.from_json(index, edit["shares"]) for index, edit in enumerate(delta.edits) if "shares" in edit
    )
    problem = replace(problem, systems=moderate.at(problem.systems, {one.index: one.pulls for one in found}))
    methods = tuple({"method": edit["method"], "options": edit["options"]} for edit in delta.edits)
    return Solution(problem, edits, methods, tuple(float(edit["strength"]) for edit in delta.edits), found)


def _edit(part: Factors, stats: Stats) -> Edit:
    return Edit(part.form, *_strip_padding(part), stats)


def _strip_padding(part: Factors) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Left and right in float64, without the zeros that exports pad low-rank pairs with."""
    left, right = (tuple(np.asarray(f, np.float64) for f in side) for side in (part.left, part.right))
    if part.form != "low-rank" or len(left) != len(right):
        return left, right
    used = [one.any(axis=0) | other.any(axis=1) for one, other in zip(left, right, strict=True)]
    lefts = tuple(one[:, mask] for one, mask in zip(left, used, strict=True))
    return lefts, tuple(other[mask] for other, mask in zip(right, used, strict=True))


def _rank(delta: Delta, part: Factors) -> int:
    """The largest rank of a pair; of a dense edit, which has none, the one that was claimed."""
    claimed = next((int(claim["value"]) for claim in delta.claims if claim["name"] == "rank"), 0)
    return max((len(right) for right in _strip_padding(part)[1]), default=claimed)


def _stats(delta: Delta, rank: int) -> Stats:
    said = {claim["name"]: float(claim["value"]) for claim in delta.claims}
    condition, residual = said.get("condition", float("nan")), said.get("solve_residual", float("nan"))
    return Stats(condition, residual, rank, said.get("discarded", 0.0))


def counts_pictures(name: str) -> bool:
    """True for a claim that a detector counts on pictures."""
    return name in PICTURE_CLAIMS or name.startswith(("toward", "kept"))


def allowed_difference(claim: Mapping[str, Any], prompts: int = 0) -> float:
    """By how much a recorded claim may differ from what is measured again; inf for those by pictures, and by words that
    a model goes on with, which only answer to their bounds.

    A share of n `prompts` is a count: where two answers are about as likely, another machine's float32 may turn one
    prompt over, and the share moves by 1/n, whether n is 1 or 100. Two prompts at once are no rounding. The little more
    is for the digits to which a share is recorded.
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
    """E507 for every claim of numbers that does not come out as the delta records it."""
    measured = {(claim.name, claim.subject): claim for claim in verified.report.claims}
    return tuple(_claim_faults(delta, measured))


def detector_warnings(delta: Delta, verified: Verified) -> tuple[Diagnostic, ...]:
    """E508, a warning, where the pictures were judged by another detector than the delta records."""
    recorded, now = delta.extra.get("detector"), verified.report.detector
    if not isinstance(recorded, Mapping) or not now or recorded.get("sha256") == now.get("sha256"):
        return ()
    names = [f"`{one.get('name')}` ({str(one.get('sha256'))[:12]})" for one in (recorded, now)]
    message = f"the delta's pictures were judged by {names[0]}, and now by {names[1]}"
    help_text = "its bounds on pictures were held against another judge: use the same files, prompts and threshold"
    return (Diagnostic("E508", message, place=delta.delta_id[:12], help=help_text, severity="warning"),)


def _claim_faults(delta: Delta, measured: Mapping[tuple[str, str], Claim]) -> Iterator[Diagnostic]:
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
