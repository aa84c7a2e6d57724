"""Measure an edit on the weights exactly as they will be stored, and hold every measurement against its bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.ir import Edit, Solution, Verified
from editc.core.manifest import Manifest, Placed
from editc.core.measurements import Claim, Report
from editc.core.ports import Context
from editc.core.text import count
from editc.judging import conclude
from editc.numerics import drift
from editc.passes.images.certificate import certificate
from editc.passes.images.measure.measure import Measured, Stored, measure
from editc.passes.images.painting import attacks, pictures
from editc.passes.images.solve import moderate
from editc.passes.images.verify import bystanders
from editc.passes.language.verify import warnings as advice


@dataclass(frozen=True)
class Verify:
    """Measure one site at a time, then, where the manifest asks, paint before and after and let a detector judge.

    W' = round(W + (W left) right): the factors in float32, the sum in float64, the result in the stored dtype. All
    figures are of outputs `W c`, root mean square, so that none depends on how a weight is scaled.

    batch: pictures painted at a time.
    others: names that others edit, in a link of several deltas: they are no bystanders.
    """

    batch: int = 16
    others: tuple[str, ...] = ()
    name: ClassVar[str] = "verify"

    def __call__(self, solution: Solution, ctx: Context) -> Verified:
        """The solution with its report; raises E502, E503 or E504. A broken bound does not raise: see `failures`."""
        manifest = solution.problem.plan.manifest
        shots = pictures.shots(solution.problem.plan, ctx.detector) if ctx.painter else ()
        sums = certificate.Sums(solution)
        measured = tuple(measure(solution, ctx.progress, sums.add))
        if not any(one.elements for one in measured):
            raise nothing(manifest.edits[0], manifest, len(measured), "`to` is another concept")
        after = Stored(solution, frozenset(one.site.name for one in measured if one.elements))
        prints = pictures.painted(shots, after, ctx, self.batch)
        found = sums.certificates()
        attacked = attacks.painted(prints, found, after, ctx, self.batch)
        unnamed = bystanders.measured(bystanders.Choice(solution, ctx, self.others), after, self.batch, prints)
        claims = (
            *_claims(solution, measured),
            *moderate.claims(solution),
            *certificate.claims(manifest, found),
            *pictures.claims(manifest, prints),
            *bystanders.claims(manifest, unnamed),
            *attacks.claims(attacked),
        )
        albums = (*pictures.albums(prints), *attacks.albums(attacked))
        rows, by = tuple(_row(one) for one in measured), ctx.judged_by if prints else {}
        return conclude(solution, Report(claims, rows, albums, found, detector=by, bystanders=unnamed))


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound, each underlining its own bound in the manifest; empty when all hold."""
    manifest = verified.solution.problem.plan.manifest
    return tuple(_broken(claim, manifest, verified.report) for claim in verified.report.claims if not claim.holds)


def warnings(verified: Verified) -> tuple[Diagnostic, ...]:
    """What makes the report prove less than it seems: E505 (the concept was hardly there), E506 (nothing painted),
    E510 (no proof for this encoder), E511 (nothing certified); of a language model those of `advice`."""
    manifest, report = verified.solution.problem.plan.manifest, verified.report
    if manifest.language is not None:
        return tuple(advice.warnings(verified))
    return (
        *pictures.weak(manifest, report),
        *pictures.unpainted(manifest, report),
        *bystanders.unmeasured(manifest, report),
        *certificate.warnings(manifest, report),
    )


def _row(one: Measured) -> Mapping[str, Any]:
    """A site as the report shows it; `residual` is over all requests together."""
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


def _claims(solution: Solution, measured: Sequence[Measured]) -> tuple[Claim, ...]:
    asked = solution.problem.plan.manifest.constraints
    stats = [edit.stats for edit in solution.edits.values()]
    rank = float(max(rank_of(edit) for edit in solution.edits.values()))
    return (
        *_residuals(solution, measured),
        *_drifts(solution, measured),
        Claim("rank", rank, asked.rank, span=asked.at("rank")),
        Claim("changed", float(sum(one.elements > 0 for one in measured)), unit="sites"),
        Claim("condition", max(one.condition for one in stats)),
        Claim("solve_residual", max(one.residual for one in stats)),
        Claim("discarded", max(one.discarded for one in stats)),
        *solution.problem.leaks,
    )


def _drifts(solution: Solution, measured: Sequence[Measured]) -> Iterator[Claim]:
    """Of the worst site, among those that read the text: an adapter may change others too. `preserve_drift` is the
    larger one of the default list and of what is named; where there are both, each stands beside it."""
    asked, systems = solution.problem.plan.manifest.constraints, solution.problem.systems
    reading = [one for one in measured if systems[one.site.group].kept.empty.size]
    figures = {"preserve_drift": "drift", "unconditional_drift": "unconditional"}
    if any(systems[one.site.group].kept.named for one in reading):
        figures |= {"default_drift": "default", "named_drift": "named"}
    for name, of in figures.items() if reading else ():
        worst = max(reading, key=lambda one: getattr(one, of))
        yield Claim(name, getattr(worst, of), getattr(asked, name, None), worst.site.name, asked.at(name))


def _residuals(solution: Solution, measured: Sequence[Measured]) -> Iterator[Claim]:
    """One claim a request, over every site; systems list the requests in one and the same order."""
    asked = solution.problem.plan.manifest.constraints
    blocks = next(iter(solution.problem.systems.values())).blocks
    totals = np.sqrt(np.sum([one.errors for one in measured], axis=0))
    for block, (left, whole) in zip(blocks, totals, strict=True):
        value = drift.ratio(float(left), float(whole))
        yield Claim("erase_residual", value, asked.erase_residual, block.request.concept, asked.at("erase_residual"))


def rank_of(edit: Edit) -> int:
    """The largest rank at a site; of a dense edit what the solve said of itself."""
    return edit.stats.rank if edit.form == "dense" else max((len(right) for right in edit.right), default=0)


_HELP: Mapping[str, str] = {
    "erase_residual": "raise `strength` towards 1, or lower `preserve.weight`; `strength: auto` looks for a value that "
    "meets every bound",
    "recoverable": "erase harder: a `strength` nearer to 1, a lower `preserve.weight`, `method: rece` with "
    "`keys: span`; what is only moved elsewhere, another embedding finds there",
    "preserve_drift": "choose a `to` of the same kind as the concept, preserve more prompts near it or give `preserve` "
    "more weight; `strength: auto` looks for a value that meets every bound",
    "unconditional_drift": "give `preserve` more `weight`, which the empty prompt has too, or choose another `to`",
    "rank": "edit fewer names at once, or use `keys: last`, which has one key a context; then raise the bound",
    "erased": "name what the pictures still show in `also`, or use `method: rece` with more `epochs`",
    "toward_fitted": "allow more `rounds`, give contexts or words in which the model can show what is wanted, or want "
    "shares nearer to those it shows now",
    "toward_gap": "raise `pictures` of `shares`: a search over few pictures fits those few; and "
    "`prompts_per_concept`, for few are counted inexactly",
    "bystander_loss": "choose another `to` (`editc suggest` compares them), preserve `{subject}` by name, or lower "
    "`strength`; `constraints: {bystander_loss: ...}` allows more",
    "kept_already": "choose another `to` (`editc suggest` compares them), raise `preserve.weight`, or lower "
    "`strength`; `constraints: {bystander_loss: ...}` allows more",
    "kept_loss": "preserve the concepts that suffered by name, choose a nearer `to`, or lower `strength`",
}


_OF_CONCEPTS = frozenset({"erase_residual", "recoverable", "erased", "toward_fitted", "toward_gap", "bystander_loss"})


def _broken(claim: Claim, manifest: Manifest, report: Report) -> Diagnostic:
    what = f"{claim.name} of `{claim.subject}`" if claim.name in _OF_CONCEPTS else claim.name
    worst = f" (worst site: {claim.subject})" if claim.name.endswith("_drift") else ""
    value, bound = _told_apart(claim.value, float(claim.bound or 0))
    return Diagnostic(
        "E501",
        f"{what} is {value}, {'below' if claim.least else 'above'} {bound}{worst}",
        claim.span,
        manifest.source,
        help=advice.help_with(claim.name, manifest.language, claim.subject)
        if manifest.language
        else _help(claim, manifest),
        notes=advice.moved(report, claim.subject) if claim.name == "bystander_loss" and manifest.language else (),
    )


def _help(claim: Claim, manifest: Manifest) -> str:
    if claim.name == "bystander_loss" and claim.subject in manifest.preserve.concepts:
        return _HELP["kept_already"]
    return _HELP.get(claim.name, "").replace("{subject}", claim.subject)


def _told_apart(value: float, bound: float) -> tuple[str, str]:
    """Both numbers with as few digits, two or more, as still show which is greater."""
    texts = ((_short(value, digits), _short(bound, digits)) for digits in range(2, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (repr(value), repr(bound)))


def _short(value: float, digits: int) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value:.{digits}g}"


def nothing(first: Placed, manifest: Manifest, sites: int, differs: str) -> EditcError:
    """E502 at the first edit, whose `strength` or `differs` may be why."""
    return EditcError(
        Diagnostic(
            "E502",
            f"the edit changes nothing: no stored element of {count(sites, 'matrix')} differs",
            first.at("strength"),
            manifest.source,
            help=f"see that `strength` is above 0 and that {differs}; in a half precision file a change below half a "
            "unit in the last place is lost",
        )
    )
