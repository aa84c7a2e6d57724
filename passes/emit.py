"""Emit: the verified edit as a delta, with the hashes of every base and result it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import copysign, isfinite
from typing import Any, ClassVar

import numpy as np

from editc.core.delta import Delta, Factors, SiteRecord
from editc.core.manifest import Manifest
from editc.core.measurements import GENERATED_CLAIMS, RUN_CLAIMS, Claim, claim_fields
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.site_bytes import site_record
from editc.core.solution import Edit, Solution, Verified

CLAIM_DIGITS = 7
"""Significant digits of a recorded claim. Sums in float64 depend on the number of threads in their last ones; seven are
well within what `editc verify` allows two machines to differ by."""
SOLVE_DIGITS: Mapping[str, int] = {"condition": 2, "solve_residual": 2, "discarded": 4}
"""Fewer for what a solve says of itself: by as much as G is ill-conditioned, rounding is magnified in these."""
RUN_DIGITS = 4
"""As many for what a model that runs in float32 says (`measurements.RUN` and `GENERATED`)."""
SMALLEST = 1e-12
"""What any smaller number but 0 is recorded as: that it is rounding is all that it says."""
SMALLEST_OF_A_RUN = 1e-6
"""The same for what a model in float32 says."""


@dataclass(frozen=True)
class Emit:
    """Verified -> Delta."""

    tool: str
    """This program and its version, as the file names it."""
    record: Callable[[Solution], Iterable[Mapping[str, Any]]]
    """What the file says of each edit, in the order of the manifest; that of the kind of model."""
    name: ClassVar[str] = "emit"

    def __call__(self, verified: Verified, ctx: Context) -> Delta:
        """Factors rounded to float32, and a record of every site in the order of the plan."""
        plan, solution = verified.solution.problem.plan, verified.solution
        factors = {group: _factors(plan, group, edit) for group, edit in solution.edits.items()}
        return Delta(
            family=plan.family.name,
            sites=tuple(_records(plan, factors, ctx)),
            factors=factors,
            encoder=solution.problem.encoder,
            manifest=plan.manifest.source.text,
            manifest_digest=plan.manifest.digest,
            edits=tuple(self.record(solution)),
            claims=tuple(claim_as_json(claim) for claim in verified.report.claims),
            tool=self.tool,
            extra=_extra(verified, ctx),
        )


def claim_as_json(claim: Claim) -> Mapping[str, Any]:
    """Return the claim as a delta records it: with its value by `round_claim`."""
    return claim_fields(replace(claim, value=round_claim(claim)))


def round_claim(claim: Claim) -> float:
    """The claim's value to DIGITS or its COARSE digits, at least ROUNDING where it is not 0; as it is where that would
    change whether the bound holds."""
    if not claim.value or not isfinite(claim.value):
        return claim.value
    run = claim.name in RUN_CLAIMS | GENERATED_CLAIMS
    size = max(abs(claim.value), SMALLEST_OF_A_RUN if run else SMALLEST)
    digits = RUN_DIGITS if run else SOLVE_DIGITS.get(claim.name, CLAIM_DIGITS)
    rounded = copysign(float(f"{size:.{digits - 1}e}"), claim.value)
    return rounded if replace(claim, value=rounded).holds == claim.holds else claim.value


def _factors(plan: Plan, group: str, edit: Edit) -> Factors:
    sites = tuple(index for index, site in enumerate(plan.sites) if site.group == group)
    left, right = (tuple(part.astype(np.float32) for part in side) for side in (edit.left, edit.right))
    return Factors(edit.form, sites, left, right)


def _records(plan: Plan, factors: Mapping[str, Factors], ctx: Context) -> Iterator[SiteRecord]:
    places = {index: (part, k) for part in factors.values() for k, index in enumerate(part.sites)}
    steps = ctx.progress("emit", plan.sites) if ctx.progress else plan.sites
    for index, site in enumerate(steps):
        part, k = places[index]
        yield site_record(plan.sites[index], ctx.weights.read(plan.sites[index].name), part, k)
        del site


def _extra(verified: Verified, ctx: Context) -> Mapping[str, Any]:
    """What a later `verify` needs to derive the same problem: the overrides, and the kept prompts that files held; and
    where sites were chosen by evidence, why each candidate was kept or left out; the deltas that came before; and who
    judged the pictures."""
    manifest = verified.solution.problem.plan.manifest
    plan = verified.solution.problem.plan
    why = plan.evidence if plan.ranking else {}
    every = {"set": list(manifest.source.overrides), "kept": list(manifest.preserve_lines), "evidence": dict(why)}
    every |= {"after": list(ctx.earlier), "detector": dict(verified.report.detector)}
    every |= {"encoder_parts": dict(ctx.encoder_parts)}
    return {name: value for name, value in {**every, **attached_files(manifest)}.items() if value}


def attached_files(manifest: Manifest) -> Mapping[str, Any]:
    """The files of a language model's manifest, as `manifests.decode` takes them back."""
    files = {name: list(lines) for name, lines in manifest.files.items()}
    return {"files": files, "corpus": "" if manifest.corpus is None else manifest.corpus.sha256}
