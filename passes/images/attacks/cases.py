"""Make cases: for each concept that is attacked, what the unedited model makes of it. Each is a task of a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.image_check import ImageCheck
from editc.core.plan import Plan
from editc.core.ports import Diffusion
from editc.passes.images.attacks.attack import Case
from editc.passes.images.attacks.names import near_words, other_words
from editc.passes.images.diffusion.reference import make_reference

SENTENCES = 12
"""Pictures that the unedited model paints of a concept for the attacks to aim at."""
EACH = 4
"""Latents on the way to each picture."""


@dataclass(frozen=True)
class CaseRequest:
    """A concept for which a case is to be made."""

    concept: str
    """The concept by the name that the detector knows."""
    names: tuple[str, ...]
    """Every name that the manifest lists for it."""
    others: tuple[str, ...]
    """Other names, against whose answers the concept's own residual is measured."""
    contexts: tuple[str, ...]
    """Sentences with one `{}`, in the order in which the attacks use them."""
    harmless: tuple[str, ...]
    """Prompts that do not name the concept."""
    seeds: tuple[int, int]
    """Where the random numbers of the reference and of the attacks start."""
    options: Mapping[str, Any]
    """`steps` of the reference's pictures, and `guidance` of the attacks'."""
    words: bool
    """True: the vocabulary is searched for words near the concept. It takes seconds."""

    def run(self, model: Diffusion, changed: Mapping[str, Array]) -> Case:
        """Ask the unedited `model` about the concept; the edited weights `changed` are not read."""
        picked = [self.contexts[i % len(self.contexts)] for i in range(SENTENCES)]
        sentences = [[one.format(name) for one in picked] for name in self.others]
        named = [one.format(self.concept) for one in picked]
        steps = self.options["steps"]
        reference = make_reference(model, named, sentences, self.others, self.seeds[0], EACH, steps)
        if self.words:
            near = near_words(model, self.names, picked[0])
            reference = replace(reference, near=near, words=other_words(model, reference, near, picked[0]))
        case = (self.concept, self.names, self.contexts, self.harmless, reference, self.seeds[1])
        return Case(None, *case, pictures=0, **self.options)


def request_case(
    plan: Plan,
    check: ImageCheck,
    concept: str,
    names: tuple[str, ...],
    contexts: Sequence[str],
    others: Sequence[str],
    harmless: Sequence[str],
    steps: int,
    words: bool,
) -> CaseRequest:
    """The request for one concept. `contexts` are sentences of the edit that erases it, `others` names of concepts that
    the edit leaves alone; `steps` are those of the reference's pictures."""
    rng = np.random.default_rng([plan.manifest.seed, *concept.encode()])
    return CaseRequest(
        concept,
        names,
        tuple(name for name in others if name != concept),
        tuple(contexts[int(one)] for one in rng.permutation(len(contexts))),
        tuple(one for one in harmless if not any(name in one for name in names)),
        (int(rng.integers(2**31)), int(rng.integers(2**31))),
        {"steps": steps, "guidance": check.guidance},
        words,
    )
