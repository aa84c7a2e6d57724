"""Emit: turn a verified edit into a delta, with a hash of every edited matrix before and after."""

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
from editc.core.storage.caching import environments_elsewhere
from editc.numerics.bits.dtypes import are_halves

CLAIM_DIGITS = 7
"""Significant digits of a recorded claim. The last digits of sums in float64 depend on the number of threads; seven
digits do not, and `editc verify` allows larger differences."""
SOLVE_DIGITS: Mapping[str, int] = {"condition": 2, "solve_residual": 2, "discarded": 4}
"""Significant digits of what a solve says of itself, by claim: fewer, because an ill-conditioned system magnifies
rounding in these figures. Chosen by hand; tests/passes/test_emit.py has values from one thread and from two."""
RUN_DIGITS = 4
"""Significant digits of claims from a model that runs in float32 (`measurements.RUN` and `GENERATED`). Chosen by
hand."""
SMALLEST = 1e-12
"""A smaller value other than 0 is recorded as this: it is rounding. Chosen by hand, above the rounding of float64."""
SMALLEST_OF_A_RUN = 1e-6
"""The same for claims from a model that runs in float32. Chosen by hand, above the rounding of float32."""


@dataclass(frozen=True)
class Emit:
    """The pass Verified -> Delta."""

    tool: str
    """This program and its version, recorded in the delta."""
    record: Callable[[Solution], Iterable[Mapping[str, Any]]]
    """Makes the record of each edit, in the order of the manifest. Each kind of model has its own."""
    name: ClassVar[str] = "emit"
    """The name of the pass in progress output."""

    def __call__(self, verified: Verified, ctx: Context) -> Delta:
        """Return the delta: factors rounded to float32, and a record of every site in the order of the plan."""
        plan, solution = verified.solution.problem.plan, verified.solution
        factors = {group: _factors(plan, group, edit) for group, edit in solution.edits.items()}
        return Delta(
            family=plan.family.name,
            sites=tuple(_records(verified, factors, ctx)),
            factors=factors,
            encoder=solution.problem.encoder,
            manifest=plan.manifest.source.text,
            manifest_digest=plan.manifest.digest,
            edits=tuple(self.record(solution)),
            claims=tuple(claim_as_json(claim) for claim in verified.report.claims),
            tool=self.tool,
            version=_version(factors),
            extra=_extra(verified, ctx),
        )


def claim_as_json(claim: Claim) -> Mapping[str, Any]:
    """Return the claim as a delta records it: as JSON values, with its value by `round_claim`."""
    return claim_fields(replace(claim, value=round_claim(claim)))


def round_claim(claim: Claim) -> float:
    """Round the claim's value to the digits that are the same on all machines.

    A value other than 0 becomes at least SMALLEST. The value stays exact where rounding would change whether its bound
    holds.
    """
    if not claim.value or not isfinite(claim.value):
        return claim.value
    run = claim.name in RUN_CLAIMS | GENERATED_CLAIMS
    size = max(abs(claim.value), SMALLEST_OF_A_RUN if run else SMALLEST)
    digits = RUN_DIGITS if run else SOLVE_DIGITS.get(claim.name, CLAIM_DIGITS)
    rounded = copysign(float(f"{size:.{digits - 1}e}"), claim.value)
    return rounded if replace(claim, value=rounded).holds == claim.holds else claim.value


def _factors(plan: Plan, group: str, edit: Edit) -> Factors:
    """Return the edit of one group as the delta stores it: in float32, with the numbers of its sites in the plan."""
    sites = tuple(index for index, site in enumerate(plan.sites) if site.group == group)
    left, right = (tuple(part.astype(np.float32) for part in side) for side in (edit.left, edit.right))
    return Factors(edit.form, sites, left, right)


def _version(factors: Mapping[str, Factors]) -> int:
    """Return the format version: 2 where it stores some factor in half the bytes, else 1, which every editc reads."""
    parts = (part for one in factors.values() for part in (*one.left, *one.right))
    return 2 if any(part.any() and are_halves(part) for part in parts) else 1


def _records(verified: Verified, factors: Mapping[str, Factors], ctx: Context) -> Iterator[SiteRecord]:
    """Yield the record of every site in the order of the plan: verify's, else by reading one weight at a time."""
    plan = verified.solution.problem.plan
    places = {index: (part, k) for part in factors.values() for k, index in enumerate(part.sites)}
    steps = ctx.progress("emit", plan.sites) if ctx.progress else plan.sites
    for index, site in enumerate(steps):
        part, k = places[index]
        known = verified.records.get(plan.sites[index].name)
        yield known or site_record(plan.sites[index], ctx.weights.read(plan.sites[index].name), part, k)
        del site


def _extra(verified: Verified, ctx: Context) -> Mapping[str, Any]:
    """Return the rest of the delta's description, without empty entries.

    A later `verify` derives the same problem from it: the values given by `--set`, the preserved prompts that files
    held, the deltas named under `after`, the hashes of the text encoders, and attached files. It also says which
    detector judged the pictures, where imported cache entries were computed, what each attack made of the concepts,
    what is left of earlier deltas and, where evidence chose the sites, why each candidate was chosen or left out.
    """
    manifest = verified.solution.problem.plan.manifest
    plan = verified.solution.problem.plan
    why = plan.evidence if plan.ranking else {}
    every: dict[str, Any] = {
        "set": list(manifest.source.overrides),
        "kept": list(manifest.preserve_lines),
        "evidence": dict(why),
    }
    every |= {"after": list(ctx.earlier), "detector": dict(verified.report.detector)}
    every |= {"encoder_parts": dict(ctx.encoder_parts)}
    every |= {"computed_elsewhere": list(environments_elsewhere(ctx.cache))}
    every |= {"earlier": [dict(one) for one in verified.report.earlier]}
    every |= {"attacks": [one.as_recorded() for one in verified.report.attacks]}
    return {name: value for name, value in {**every, **attached_files(manifest)}.items() if value}


def attached_files(manifest: Manifest) -> Mapping[str, Any]:
    """Return the contents of the files that a language model's manifest names, for `manifests.decode` to read again. Of
    the corpus and of data sets only hashes."""
    files = {name: list(lines) for name, lines in manifest.files.items()}
    corpus = "" if manifest.corpus is None else manifest.corpus.sha256
    return {"files": files, "corpus": corpus, "data": data_hashes(manifest)}


def data_hashes(manifest: Manifest) -> Mapping[str, str]:
    """Return the sha256 of each data set of a manifest, by its name. A delta records no row of them: what must
    be forgotten would travel with it."""
    sets = (one for edit in manifest.on_rows for one in (edit.data, edit.retain) if one is not None)
    return {one.name: one.sha256 for one in sets}
