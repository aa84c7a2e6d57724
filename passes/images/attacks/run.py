"""Run the attacks that a manifest asks for on every erased concept, with their controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.image_check import AttackCheck, ImageCheck
from editc.core.manifest import Manifest, Request
from editc.core.measurements import AttackResult, Claim
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.passes.images.attacks.attack import Attack, Case
from editc.passes.images.attacks.cases import request_case
from editc.passes.images.attacks.jobs import Job, list_jobs, results
from editc.passes.images.edit_kind import part_of
from editc.passes.images.method import blind_attacks
from editc.registry.attacks import ATTACKS

MOST_OTHERS = 20
"""Other names whose answers the concept's own residual is measured against: with fewer, more of what is common to many
concepts counts as this one's own, and attacks aim at that (docs/reference/attacks.md). Each asks the model about every
latent."""


def run_attacks(
    plan: Plan, ctx: Context, changed: Mapping[str, Array], others: Sequence[str], harmless: Sequence[str]
) -> tuple[AttackResult, ...]:
    """What each attack makes of each erased concept; () where none is asked for, or the model cannot be attacked.

    `changed` has the edited weights by parameter name. `others` are names of concepts that the edit leaves alone, which
    the detector knows; `harmless` are prompts that name no edited concept.
    """
    manifest, check = plan.manifest, plan.manifest.images
    detector, open_workers = ctx.detector, ctx.open_workers
    if not manifest.attacks or check is None or detector is None or open_workers is None:
        return ()
    others = tuple(name for name in others if detector.knows(name))[: MOST_OTHERS + 1]
    if len(others) < 2:
        return ()
    steps = max(_picture_steps(one, check) for one in manifest.attacks)
    words = any(getattr(_attack(one), "needs_words", False) for one in manifest.attacks)
    erased = [(edit.concept, edit.names, plan.contexts(edit)) for edit in erasing_edits(manifest)]
    if not erased:
        return ()
    named = [(others[0], (others[0],), erased[0][2]), *erased]
    requests = [request_case(plan, check, *one, others[1:], harmless, steps, words) for one in named]
    with open_workers(changed) as work:
        unrelated, *cases = work("reference", requests)
        every: list[Job] = []
        for case in cases:
            every += _jobs(manifest.attacks, check, case, None if every else unrelated)
        # The costly attacks stand last in the registry: they begin, so that no core waits at the end.
        done = work("attack", every[::-1])[::-1]
    return results(done, detector, {one.name: _budget(one, check) for one in manifest.attacks})


def erasing_edits(manifest: Manifest) -> Iterator[Request]:
    """The edits whose concept is to be gone."""
    return (edit for edit in manifest.image_edits if edit.kind in ("erase", "replace"))


def claims(manifest: Manifest, found: Sequence[AttackResult]) -> Iterator[Claim]:
    """`brought_back`: the share of an attack's pictures that show an erased concept. Nothing for an attack that fails
    on the unedited model too, because its failure says nothing."""
    for one in found:
        asked = next(check for check in manifest.attacks if check.name == one.attack)
        if one.tells:
            subject = f"{one.concept}: {one.attack}"
            yield Claim("brought_back", one.share, asked.at_most, subject, asked.at("at_most"), "share", of=one.of)


def warnings(manifest: Manifest, found: Sequence[AttackResult]) -> Iterator[Diagnostic]:
    """E513 for each attack that brings an erased concept back in less than half of the unedited model's pictures, and
    for attacks that could not be run."""
    told = {(one.attack, one.concept): one for one in found}
    for check in manifest.attacks:
        for request in erasing_edits(manifest):
            one = told.get((check.name, request.concept))
            if one is None:
                message, help_ = _not_run(manifest, check.name, request.concept)
            elif not one.tells:
                shown = f"it shows `{one.concept}` in {one.control} of {one.of} pictures by the unedited model"
                message = f"the attack `{check.name}` says nothing: {shown}"
                help_ = "give it a larger budget (`editc explain` lists its options), or leave it out"
            else:
                continue
            yield Diagnostic("E513", message, check.at(), manifest.source, help=help_, severity="warning")


def _not_run(manifest: Manifest, attack: str, concept: str) -> tuple[str, str]:
    """The message and the help for an attack that could not be run on a concept."""
    why = "it needs a pipeline that reads the text encoder's rows alone, and a detector that knows others"
    help_ = "name a whole pipeline of Stable Diffusion 1 or 2 and a detector with more labels, or leave the attack out"
    if attack in blind_attacks(part_of(manifest)):
        why = "it reads edited keys and values, and the edit changes the text encoder"
        help_ = "leave it out: `inversion`, `prefix`, `p4d` and `ring` attack an edited text encoder"
    return f"the attack `{attack}` was not run on `{concept}`: {why}", help_


def _jobs(checks: Sequence[AttackCheck], images: ImageCheck, case: Case, unrelated: Case | None) -> Iterator[Job]:
    for check in checks:
        given: dict[str, Any] = {"pictures": check.pictures, "steps": _picture_steps(check, images)}
        given |= _own_guidance(check)
        control = None if unrelated is None else replace(unrelated, **given)
        yield from list_jobs({check.name: _attack(check)}, replace(case, **given), control)


def _budget(check: AttackCheck, images: ImageCheck) -> Mapping[str, Any]:
    """The attack's options, all of them."""
    common = {"pictures": check.pictures, "denoise": _picture_steps(check, images)}
    return {**vars(_attack(check)), **common, **_own_guidance(check)}


def _own_guidance(check: AttackCheck) -> Mapping[str, float]:
    """The guidance that the attack's block names, if it does; else that of `verify.images` holds."""
    return {} if check.guidance is None else {"guidance": check.guidance}


def _picture_steps(check: AttackCheck, images: ImageCheck) -> int:
    return check.denoise or images.steps


def _attack(check: AttackCheck) -> Attack:
    found: Attack = ATTACKS.resolve(check.name)(**check.options)
    return found
