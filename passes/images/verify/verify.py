"""Verify: measure an edit on the weights exactly as they will be stored, and compare each measurement with its
bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from editc.core.diagnostics import Diagnostic
from editc.core.measurements import Claim, Report
from editc.core.ports import Context
from editc.core.solution import Solution, Verified
from editc.judging import conclude
from editc.numerics import drift
from editc.passes.claims import Advice, broken_bounds, claims_of_solve, no_change
from editc.passes.images.attacks.run import claims as attack_claims
from editc.passes.images.attacks.run import warnings as attack_warnings
from editc.passes.images.edit_kind import is_trained
from editc.passes.images.measure import certificate
from editc.passes.images.measure.measure import SiteMeasurement, measure_sites
from editc.passes.images.measure.records import Recorder
from editc.passes.images.painting import certificate_attack, pictures
from editc.passes.images.solve import moderate
from editc.passes.images.verify import bystanders, text_drift
from editc.passes.images.verify.attacked import attack_solution
from editc.passes.images.verify.own import warn_little_own
from editc.passes.stored import StoredWeights


@dataclass(frozen=True)
class Verify:
    """The pass Solution -> Verified: measure every site, then paint and judge pictures where the manifest wants some.

    W' = round(W + (W left) right): the factors in float32, the sum in float64, the result in the stored dtype. Figures
    compare root mean squares of outputs `W c`, so they do not depend on the scale of a weight.
    """

    batch: int = 16
    """Pictures that are painted at a time."""
    others: tuple[str, ...] = ()
    """Names that the other deltas of a link edit. They are not bystanders."""
    records: bool = False
    """True: the records of the sites are made in the same pass over the weights, for emit."""
    name: ClassVar[str] = "verify"
    """The name of the pass in progress output."""

    def __call__(self, solution: Solution, ctx: Context) -> Verified:
        """Return the solution with its report.

        Raises E502 (nothing changes), E503 (a value does not fit a dtype) and E504 (the detector does not know a
        concept). A broken bound raises nothing: see `failures`.
        """
        manifest = solution.problem.plan.manifest
        tasks = pictures.plan_pictures(solution.problem.plan, ctx.detector) if ctx.painter else ()
        sums = certificate.LayerSums(solution)
        recorder = Recorder(ctx.cache) if self.records else None
        measured = tuple(measure_sites(solution, ctx.progress, sums.add, recorder))
        if not any(one.elements for one in measured):
            raise no_change(manifest.image_edits[0], manifest, len(measured), "`to` is another concept")
        after = StoredWeights(solution, frozenset(one.site.name for one in measured if one.elements))
        pairs = pictures.paint_pairs(tasks, after, ctx, self.batch)
        found = sums.certificates()
        attacked = certificate_attack.paint_attacks(pairs, found, after, ctx, self.batch)
        found_bystanders = bystanders.measure_bystanders(
            bystanders.BystanderChooser(solution, ctx, self.others), after, self.batch, pairs
        )
        attack_results = attack_solution(solution, ctx, self.others, after)
        claims = (
            *_claims(solution, measured),
            *text_drift.claims(solution, ctx, after),
            *moderate.claims(solution),
            *certificate.claims(manifest, found),
            *pictures.claims(manifest, pairs),
            *bystanders.claims(manifest, found_bystanders),
            *certificate_attack.claims(attacked),
            *attack_claims(manifest, attack_results),
        )
        painted = (*pictures.report_pictures(pairs), *certificate_attack.report_pictures(attacked))
        rows, judged_by = tuple(_report_row(one) for one in measured), ctx.detector_identity if pairs else {}
        report = Report(claims, rows, painted, found, detector=judged_by, bystanders=found_bystanders)
        verified = conclude(solution, replace(report, attacks=attack_results))
        return replace(verified, records=recorder.records) if recorder else verified


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """Return one E501 for every broken bound; empty when all hold."""
    return broken_bounds(verified, advise)


def warnings(verified: Verified) -> tuple[Diagnostic, ...]:
    """Return warnings of what the report does not prove.

    E505 (the base hardly showed the concept), E506 (no picture measured a bound), E510 (the certificate is no proof for
    this encoder), E511 (nothing was certified), E513 (an attack says nothing), E515 (a trained
    concept is nearly a mixture of others).
    """
    manifest, report = verified.solution.problem.plan.manifest, verified.report
    return (
        *pictures.warn_seldom_shown(manifest, report),
        *pictures.warn_unmeasured_bounds(manifest, report),
        *bystanders.warn_unmeasured(manifest, report),
        *certificate.warnings(manifest, report),
        *attack_warnings(manifest, report.attacks),
        *warn_little_own(verified.solution),
    )


def _report_row(one: SiteMeasurement) -> Mapping[str, Any]:
    """Return a site as the report shows it. `residual` is over all requests together."""
    left, whole = np.sqrt(one.errors.sum(axis=0))
    return {
        "component": one.site.component,
        "name": one.site.name,
        "role": one.site.role,
        "shape": list(one.site.shape),
        "dtype": one.site.dtype,
        "changed": one.elements,
        "relative_change": one.change,
        "residual": drift.ratio(float(left), float(whole)),
        "drift": one.drift,
        "unconditional_drift": one.unconditional,
    }


def _claims(solution: Solution, measured: Sequence[SiteMeasurement]) -> tuple[Claim, ...]:
    """Return all claims that are measured on weights. A trained edit maps no keys to targets, so it has no residual."""
    trained = is_trained(solution.problem.plan.manifest)
    return (
        *(() if trained else _residuals(solution, measured)),
        *_drifts(solution, measured),
        *claims_of_solve(solution, sum(one.elements > 0 for one in measured)),
        *solution.problem.leaks,
    )


def _drifts(solution: Solution, measured: Sequence[SiteMeasurement]) -> Iterator[Claim]:
    """Yield the largest drifts at any site that reads the text.

    `preserve_drift` is the larger of `default_drift` and `named_drift`; these two are claimed only where both lists
    are measured.
    """
    asked, systems = solution.problem.plan.manifest.constraints, solution.problem.systems
    reading = [one for one in measured if systems[one.site.group].preserved.empty.size]
    figures = {"preserve_drift": "drift", "unconditional_drift": "unconditional"}
    if any(systems[one.site.group].preserved.named for one in reading):
        figures |= {"default_drift": "default", "named_drift": "named"}
    for name, of in figures.items() if reading else ():
        worst = max(reading, key=lambda one: getattr(one, of))
        yield Claim(name, getattr(worst, of), getattr(asked, name, None), worst.site.name, asked.at(name))


def _residuals(solution: Solution, measured: Sequence[SiteMeasurement]) -> Iterator[Claim]:
    """Yield `erase_residual` of each request, over all sites. All systems list the requests in the same order."""
    asked = solution.problem.plan.manifest.constraints
    blocks = next(iter(solution.problem.systems.values())).blocks
    totals = np.sqrt(np.sum([one.errors for one in measured], axis=0))
    for block, (left, whole) in zip(blocks, totals, strict=True):
        value = drift.ratio(float(left), float(whole))
        yield Claim("erase_residual", value, asked.erase_residual, block.request.concept, asked.at("erase_residual"))


_HELP: dict[str, str] = {
    "erase_residual": "raise `strength` towards 1, or lower `preserve.weight`; `strength: auto` looks for a value that "
    "meets every bound",
    "recoverable": "erase more: a `strength` nearer to 1, a lower `preserve.weight`, `method: rece` with "
    "`keys: span`; another embedding still finds a concept that was only moved",
    "preserve_drift": "choose a `to` of the same kind as the concept, preserve more prompts near it or give `preserve` "
    "more weight; `strength: auto` looks for a value that meets every bound",
    "unconditional_drift": "give `preserve` more `weight`, which the empty prompt has too, or choose another `to`",
    "rank": "edit fewer names at once, or use `keys: last`, which has one key a context; then raise the bound",
    "discarded": "raise `rank`, or leave it out: a lower rank than the edit needs drops a part of it",
    "erased": "name under `also` what the pictures still show, or use `method: rece` with more `epochs`",
    "toward_fitted": "allow more `rounds`, give contexts or words in which the model can show what is wanted, or want "
    "shares nearer to those it shows now",
    "toward_gap": "raise `pictures` of `shares`, because a search over few pictures only fits those; and raise "
    "`prompts_per_concept`, because few pictures give an inexact count",
    "brought_back": "list in `also` the words that bring it back; an edit of keys and values hides a concept from "
    "prompts, and not from an attacker who chooses words, rows or noise (docs/reference/attacks.md)",
    "bystander_loss": "choose another `to` (`editc suggest` compares them), preserve `{subject}` by name, or lower "
    "`strength`; `constraints: {bystander_loss: ...}` allows more",
    "kept_already": "choose another `to` (`editc suggest` compares them), raise `preserve.weight`, or lower "
    "`strength`; `constraints: {bystander_loss: ...}` allows more",
    "kept_loss": "preserve the concepts that suffered by name, choose a nearer `to`, or lower `strength`",
}
"""Name of a claim -> what to do where its bound is broken."""
_TRAINED: dict[str, str] = {"erased": "name under `also` what the pictures still show, or train on: raise `steps`"}
"""The same where the edit was trained, if it differs."""


def advise(claim: Claim, verified: Verified) -> Advice:
    """Return what to do about a broken bound.

    `kept_already` in `_HELP` is for a bystander that is preserved by name.
    """
    solution = verified.solution
    manifest, help_ = solution.problem.plan.manifest, _HELP | (_TRAINED if solution.training else {})
    if claim.name == "bystander_loss" and claim.subject in manifest.preserve.concepts:
        return Advice(help_["kept_already"])
    return Advice(help_.get(claim.name, "").replace("{subject}", claim.subject))
