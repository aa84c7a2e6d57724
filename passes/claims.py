"""Claims about the solve that every build makes, and the diagnostics of broken bounds, for all kinds of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.measurements import Claim
from editc.core.places import ManifestBlock
from editc.core.solution import Edit, Solution, Verified
from editc.core.text import count

_OF_CONCEPTS = frozenset(
    {"erase_residual", "recoverable", "erased", "toward_fitted", "toward_gap", "bystander_loss", "brought_back"}
)
"""Names of claims whose subject is a concept. The message of a broken bound then names the concept."""


@dataclass(frozen=True)
class Advice:
    """What to do about a broken bound."""

    help: str
    """One sentence, as the diagnostic's help; '' where nothing is known to help."""
    notes: tuple[str, ...] = ()
    """Further lines of the diagnostic: what was measured, such as the questions whose answers changed."""


def broken_bounds(verified: Verified, advise: Callable[[Claim, Verified], Advice]) -> tuple[Diagnostic, ...]:
    """Return one E501 for every broken bound; empty when all hold.

    Each points at its own bound in the manifest. `advise` gives the help and notes for a claim.
    """
    manifest = verified.solution.problem.plan.manifest
    found = (claim for claim in verified.report.claims if not claim.holds)
    return tuple(_broken(claim, manifest, advise(claim, verified)) for claim in found)


def claims_of_solve(solution: Solution, changed: int) -> tuple[Claim, ...]:
    """Return the claims about the solve: rank, changed sites, condition, residual, and what the lower rank lost.

    `changed` is the number of sites with at least one stored element that differs. Nothing is solved where an edit is
    trained: the last three are left out then.
    """
    asked = solution.problem.plan.manifest.constraints
    stats = [edit.stats for edit in solution.edits.values()]
    rank = float(max(rank_of(edit) for edit in solution.edits.values()))
    size = (Claim("rank", rank, asked.rank, span=asked.at("rank")), Claim("changed", float(changed), unit="sites"))
    if not all(one.solved for one in stats):
        return size
    return (
        *size,
        Claim("condition", max(one.condition for one in stats)),
        Claim("solve_residual", max(one.residual for one in stats)),
        Claim("discarded", max(one.discarded for one in stats), asked.discarded, span=asked.at("discarded")),
    )


def rank_of(edit: Edit) -> int:
    """Return the largest rank at any site. For a dense edit it is the rank that the solve recorded."""
    return edit.stats.rank if edit.form == "dense" else max((len(right) for right in edit.right), default=0)


def no_change(first: ManifestBlock, manifest: Manifest, sites: int, differs: str) -> EditcError:
    """Make the E502 of an edit that changes no stored element of its `sites` sites.

    It points at the `strength` of `first`, the first edit. `differs` completes the help: what must differ.
    """
    return EditcError(
        Diagnostic(
            "E502",
            f"the edit changes nothing: no stored element of {count(sites, 'matrix')} differs",
            first.at("strength"),
            manifest.source,
            help=f"check that `strength` is above 0 and that {differs}; in a half precision file a change below half a "
            "unit in the last place is lost",
        )
    )


def _broken(claim: Claim, manifest: Manifest, advice: Advice) -> Diagnostic:
    """Make the E501 of one claim whose bound is broken."""
    what = f"{claim.name} of `{claim.subject}`" if claim.name in _OF_CONCEPTS else claim.name
    what = claim.subject if claim.name == "suite" else what
    worst = f" (worst site: {claim.subject})" if claim.name.endswith("_drift") else ""
    value, bound = _distinct_texts(claim.value, float(claim.bound or 0))
    return Diagnostic(
        "E501",
        f"{what} is {value}, {'below' if claim.least else 'above'} {bound}{worst}",
        claim.span,
        manifest.source,
        help=advice.help,
        notes=advice.notes,
    )


def _distinct_texts(value: float, bound: float) -> tuple[str, str]:
    """Write both numbers with the fewest significant digits, at least two, that show which is greater."""
    texts = ((_short(value, digits), _short(bound, digits)) for digits in range(2, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (repr(value), repr(bound)))


def _short(value: float, digits: int) -> str:
    """Write a whole number in full, and any other number with `digits` significant digits."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.{digits}g}"
