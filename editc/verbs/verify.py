"""`editc verify`: derive a delta's problem again on a model, and measure every claim with the delta's factors."""

from __future__ import annotations

from pathlib import Path

from editc.cache.disk import without_imported
from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic
from editc.core.ports import Progress, announce
from editc.formats.apply.plan import plan_apply
from editc.formats.apply.target import ApplyPlan
from editc.formats.delta.parts import is_linked, parts
from editc.formats.diff.diff import refuse_to_verify
from editc.formats.exports.read import read_delta
from editc.formats.models.model import Model, open_model
from editc.opening.default_list import default_prompts
from editc.opening.recorded import recorded_manifest
from editc.verbs import link
from editc.verbs.open import kind_of, open_decoded
from editc.verbs.recheck import (
    derive_recorded,
    detector_warnings,
    disagreements,
    measure_solution,
    recorded_solution,
)
from editc.verbs.results import Again


def verify(
    path: Path, model: str, allow_finetune: bool = False, progress: Progress | None = None, detector: str = ""
) -> Again:
    """Measure every claim of the delta at `path` again, on `model`. `detector`, if given, judges the pictures."""
    delta, opened = read_delta(path), open_model(model)
    plan = plan_apply([delta], opened, allow_finetune)
    if plan.status == "already":
        return Again(delta, "already", None, (_already_fault(plan),))
    refuse_to_verify(delta)
    if is_linked(delta):
        return _verify_parts(delta, path, opened, plan.tier, progress, detector)
    manifest = recorded_manifest(delta, path, detector)
    kind = kind_of(manifest)
    ctx = without_imported(kind.open_ports(open_decoded(manifest, opened), progress))
    announce(progress, "derive")
    problem = derive_recorded(delta, manifest, opened.place, default_prompts(opened, manifest, ctx), ctx)
    announce(progress, "verify")
    verified = measure_solution(recorded_solution(delta, problem), ctx)
    differing = disagreements(delta, verified) if plan.tier == "exact" else ()
    warnings = (*kind.warnings(verified), *detector_warnings(delta, verified))
    return Again(delta, plan.tier, verified, (*kind.failures(verified), *differing), warnings=warnings)


def _already_fault(plan: ApplyPlan) -> Diagnostic:
    """E512: the model already contains the edit, so there is nothing to compare with."""
    total = len(plan.targets)
    message = f"nothing was measured: the model contains this edit already ({total} of {total} tensors, bit for bit)"
    help_text = "give the unedited base to measure the claims again; `editc status` tells which edits a model has"
    return Diagnostic("E512", message, place=plan.model.place, help=help_text)


def _verify_parts(delta: Delta, path: Path, model: Model, tier: str, progress: Progress | None, detector: str) -> Again:
    """Measure each part of a linked delta."""
    labels = {part.delta_id: f"{path} part {number}" for number, part in enumerate(parts(delta))}
    measured = link.measure_parts(delta, labels, model, progress, detector)
    found: list[Diagnostic] = []
    for part in measured:
        if part.verified is not None:
            found += kind_of(part.verified.solution.problem.plan.manifest).failures(part.verified)
            found += disagreements(part.delta, part.verified) if tier == "exact" else ()
    return Again(delta, tier, None, tuple(found), measured)
