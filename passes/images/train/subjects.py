"""Making the subjects of a training from a manifest: names, targets, other names, and prompts that must stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.text import mentions
from editc.passes.images.keys import mined_names
from editc.passes.images.schemes.subject import Subject

OTHERS = 20
"""Other names whose answers the concept's own residual is measured against, and which stay at the concept's own
latents. The experiment that found the recipe had the demo's other objects, as many (docs/explanation/forget.md)."""
CONTEXTS = 6
"""Contexts in which names are compared. On the demo model, names rank in six contexts as they do in all."""


def make_subjects(plan: Plan, ctx: Context, prompts: Sequence[str], steps: int, guidance: float) -> tuple[Subject, ...]:
    """One subject for each edit of the manifest. `prompts` are the preserved ones."""
    every = [name for request in plan.manifest.image_edits for name in (*request.names, request.to or "") if name]
    preserved = tuple(one for one in prompts if not any(mentions(one, name) for name in every))
    return tuple(
        Subject(
            concept=request.concept,
            names=request.names,
            target=request.to or plan.family.neutral,
            others=find_others(plan, ctx, request, every, prompts),
            contexts=plan.contexts(request),
            preserved=preserved,
            seed=int(np.random.default_rng([plan.manifest.seed, *request.concept.encode()]).integers(2**31)),
            steps=steps,
            guidance=guidance,
        )
        for request in plan.manifest.image_edits
    )


def find_others(
    plan: Plan, ctx: Context, request: Request, edited: Sequence[str], prompts: Sequence[str]
) -> tuple[str, ...]:
    """The concepts that the manifest preserves, then the words and phrases of the preserved prompts that the text
    encoder reads most like the concept, without other names of it."""
    assert ctx.encoder is not None
    named = [one for one in plan.manifest.preserve.concepts if one not in edited]
    free = [one for one in mined_names.candidates(prompts) if not any(_overlap(one, name) for name in edited)]
    contexts = plan.contexts(request)[:CONTEXTS]
    found = mined_names.neighbours(ctx.encoder, request.concept, free, contexts, 4 * OTHERS)
    mined = [one.name for one in found if one.score < mined_names.ALIKE]
    return tuple(dict.fromkeys([*named, *mined]))[:OTHERS]


def _overlap(one: str, other: str) -> bool:
    """True where one of two names has the other in it."""
    return mentions(one, other) or mentions(other, one)
