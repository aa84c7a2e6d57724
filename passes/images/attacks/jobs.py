"""Attacks as jobs: each attack three times, on the edited model and on its two controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.measurements import AttackCurve, AttackResult
from editc.core.ports import Detector, Diffusion
from editc.passes.images.attacks.attack import Attack, Case, Outcome

Role: TypeAlias = Literal["edited", "unedited", "unrelated"]
"""What is attacked. `edited`: the erased concept in the edited model. `unedited`: the same in the model as it was; an
attack that fails here says nothing. `unrelated`: another concept in the edited model, which must come as before."""


@dataclass(frozen=True)
class Job:
    """One run of one attack: a task of a process."""

    name: str
    """The attack's name in the registry."""
    attack: Attack
    """The attack with its budget."""
    role: Role
    """What is attacked."""
    case: Case
    """The concept that is attacked; its `model` is not read."""

    def run(self, model: Diffusion, changed: Mapping[str, Array]) -> Done:
        """Run the attack in `model`; `changed` holds the edited weights by parameter name."""
        begun = process_time()
        with model.use_weights({} if self.role == "unedited" else changed):
            case = replace(self.case, model=model, recorded=self.role == "edited")
            outcome = self.attack.run(case)
        return Done(self, outcome, process_time() - begun)


@dataclass(frozen=True)
class Done:
    """A job with what it made."""

    job: Job
    """The job."""
    outcome: Outcome
    """What the attack made."""
    seconds: float
    """Processor time that it took."""


def list_jobs(attacks: Mapping[str, Attack], erased: Case, unrelated: Case | None) -> tuple[Job, ...]:
    """The runs of every attack on one concept, and on another that was not edited."""
    found: list[Job] = []
    for name, attack in attacks.items():
        found += [Job(name, attack, "edited", erased), Job(name, attack, "unedited", erased)]
        if unrelated is not None:
            found.append(Job(name, attack, "unrelated", unrelated))
    return tuple(found)


def results(
    done: Sequence[Done], detector: Detector, budgets: Mapping[str, Mapping[str, Any]]
) -> tuple[AttackResult, ...]:
    """What a detector says of each attack on each concept, in the order of the jobs."""
    found = []
    for one in done:
        if one.job.role != "edited":
            continue
        mine = {other.job.role: other for other in done if _same(other.job, one.job)}
        control, unrelated = mine.get("unedited"), mine.get("unrelated")
        found.append(
            AttackResult(
                attack=one.job.name,
                access=one.job.attack.access,
                concept=one.job.case.concept,
                shown=_shown(one, detector),
                of=len(one.outcome.pictures),
                control=_shown(control, detector) if control else 0,
                unrelated=unrelated.job.case.concept if unrelated else "",
                unrelated_shown=_shown(unrelated, detector) if unrelated else 0,
                unrelated_of=len(unrelated.outcome.pictures) if unrelated else 0,
                budget=budgets[one.job.name],
                seed=one.job.case.seed,
                says=one.outcome.says,
                curve=_count_curve(one, detector),
                seconds=sum(other.seconds for other in mine.values()),
            )
        )
    return tuple(found)


def _same(one: Job, edited: Job) -> bool:
    """True for the jobs of one attack; the control on another concept is shared by every erased one."""
    return one.name == edited.name and (one.role == "unrelated" or one.case.concept == edited.case.concept)


def _shown(done: Done, detector: Detector) -> int:
    return _count(done.job.case.concept, done.outcome.pictures, detector)


def _count(concept: str, pictures: NDArray[np.uint8], detector: Detector) -> int:
    return int(detector.shows(concept, pictures).sum()) if len(pictures) else 0


def _count_curve(done: Done, detector: Detector) -> AttackCurve | None:
    curve, concept = done.outcome.curve, done.job.case.concept
    if curve is None:
        return None
    counted = tuple((at, _count(concept, pictures, detector), len(pictures)) for at, pictures in curve.points)
    return AttackCurve(curve.axis, counted)
