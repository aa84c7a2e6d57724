"""Bounds and attacks that a trained edit has no figure for: they are refused, so that no bound is silently ignored."""

from __future__ import annotations

from collections.abc import Iterator

from editc.core.diagnostics import Diagnostic
from editc.core.family import TEXT_ENCODER
from editc.core.places import Span
from editc.core.plan import Plan
from editc.passes.images.method import blind_attacks

KEYS = "reads edited keys and values, and `method: {}` edits the text encoder"
"""Why a figure of keys and values says nothing of an edited text encoder."""
OF_ROWS = ("recoverable", "preserve_drift", "unconditional_drift")
"""Bounds on what matrices that read the text make of rows."""
SOLVED = {"discarded": "says what a solve dropped to lower the rank, and `method: {}` is trained at its own rank"}
"""A bound on the solve alone, and why a trained edit has no figure for it."""


def find_unmeasurable(plan: Plan) -> Iterator[Diagnostic]:
    """Yield E247 for each bound of the manifest without a figure, and where it asks for no attack but those that cannot
    see the edit. The sites of the plan are those that are edited."""
    bounds = plan.manifest.constraints
    for bound, why in _reasons(plan).items():
        if getattr(bounds, bound) is not None:
            yield _unmeasurable(plan, f"`{bound}`", why, bounds.at(bound))
    asked, blind = plan.manifest.attacks, blind_attacks(plan.family.component)
    unseeing = [one for one in asked if one.name in blind]
    for one in unseeing:
        if one.at_most is not None or len(unseeing) == len(asked):
            yield _unmeasurable(plan, f"the attack `{one.name}`", KEYS, one.at("at_most") or one.at())


def _reasons(plan: Plan) -> dict[str, str]:
    """Bound -> why it has no figure, with a `{}` for the method."""
    if plan.family.component == TEXT_ENCODER:
        return {**SOLVED, "recoverable": KEYS, "erase_residual": KEYS}
    unsent = "says how far rows are from their targets, and `method: {}` sends no row to a target"
    found = {**SOLVED, "erase_residual": unsent}
    if not any(plan.family.reads_text(site.group) for site in plan.sites):
        found |= dict.fromkeys(OF_ROWS, "is measured where layers read the text, and `method: {}` edits none of these")
    return found


def _unmeasurable(plan: Plan, what: str, why: str, span: Span | None) -> Diagnostic:
    """Make an E247."""
    manifest = plan.manifest
    help_ = "leave it out; bound pictures (`erased_at_most`, `bystander_loss`) and attacks, such as `inversion`"
    return Diagnostic("E247", f"{what} {why.format(manifest.method)}", span, manifest.source, help=help_)
