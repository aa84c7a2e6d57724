"""Run the attacks that a manifest asks for on every erased concept, with their controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.image_check import AttackCheck, ImageCheck
from editc.core.manifest import Manifest, Request
from editc.core.measurements import AttackResult, Claim
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.passes.images.attacks.attack import Attack, Case
from editc.passes.images.attacks.jobs import Job, list_jobs, results
from editc.passes.images.attacks.names import other_words
from editc.passes.images.diffusion.reference import make_reference
from editc.registry.attacks import ATTACKS

SENTENCES = 12
"""Pictures that the unedited model paints of a concept for the attacks to aim at."""
EACH = 4
"""Noised versions of each picture."""
MOST_OTHERS = 12
"""Other names whose answers the concept's own residual is measured against. Chosen by hand: each asks the model about
every noised picture."""


def run_attacks(
    plan: Plan, ctx: Context, changed: Mapping[str, Array], others: Sequence[str], harmless: Sequence[str]
) -> tuple[AttackResult, ...]:
    """What each attack makes of each erased concept; () where none is asked for, or the model cannot be attacked.

    `changed` has the edited weights by parameter name. `others` are names of concepts that the edit leaves alone, which
    the detector knows; `harmless` are prompts that name no edited concept.
    """
    manifest, check = plan.manifest, plan.manifest.images
    model, detector, run = ctx.diffusion, ctx.detector, ctx.run_jobs
    if not manifest.attacks or check is None or model is None or detector is None or run is None:
        return ()
    others = tuple(name for name in others if detector.knows(name))[: MOST_OTHERS + 1]
    if len(others) < 2:
        return ()
    every: list[Job] = []
    unrelated = _case(plan, check, others[0], (others[0],), others[1:], harmless, ctx)
    for request in erasing_edits(manifest):
        case = _case(plan, check, request.concept, request.names, others[1:], harmless, ctx)
        every += _jobs(manifest.attacks, case, None if every else unrelated)
    budgets = {one.name: {**vars(_attack(one)), "pictures": one.pictures} for one in manifest.attacks}
    return results(run(every, changed), detector, budgets)


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
                why = "it needs a pipeline that reads the text encoder's rows alone, and a detector that knows others"
                message = f"the attack `{check.name}` was not run on `{request.concept}`: {why}"
            elif not one.tells:
                shown = f"it shows `{one.concept}` in {one.control} of {one.of} pictures by the unedited model"
                message = f"the attack `{check.name}` says nothing: {shown}"
            else:
                continue
            help_ = "give it a larger budget (`editc explain` lists its options), or leave it out"
            yield Diagnostic("E513", message, check.at(), manifest.source, help=help_, severity="warning")


def _jobs(checks: Sequence[AttackCheck], case: Case, unrelated: Case | None) -> Iterator[Job]:
    for check in checks:
        mine = replace(case, pictures=check.pictures)
        control = None if unrelated is None else replace(unrelated, pictures=check.pictures)
        yield from list_jobs({check.name: _attack(check)}, mine, control)


def _attack(check: AttackCheck) -> Attack:
    found: Attack = ATTACKS.resolve(check.name)(**check.options)
    return found


def _case(
    plan: Plan,
    check: ImageCheck,
    concept: str,
    names: tuple[str, ...],
    others: Sequence[str],
    harmless: Sequence[str],
    ctx: Context,
) -> Case:
    """A concept with what the unedited model makes of it."""
    model, seed = ctx.diffusion, plan.manifest.seed
    assert model is not None
    rng = np.random.default_rng([seed, *concept.encode()])
    contexts = [plan.contexts()[int(one)] for one in rng.permutation(len(plan.contexts()))]
    picked = [contexts[i % len(contexts)] for i in range(SENTENCES)]
    rest = [name for name in others if name != concept]
    sentences = [[one.format(name) for one in picked] for name in rest]
    named: Sequence[str] = [one.format(concept) for one in picked]
    options: dict[str, Any] = {"steps": check.steps, "guidance": check.guidance}
    reference = make_reference(model, named, sentences, rest, int(rng.integers(2**31)), EACH, **options)
    reference = replace(reference, words=other_words(model, reference, names, picked[0]))
    return Case(
        None,  # each process has a model of its own
        concept,
        names,
        tuple(contexts),
        tuple(one for one in harmless if not any(name in one for name in names)),
        reference,
        int(rng.integers(2**31)),
        check.prompts_per_concept,
        **options,
    )
