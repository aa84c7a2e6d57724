"""Making the subjects of a training from a manifest: names, targets, other names, and prompts that must stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.core.ports import Context, Diffusion
from editc.core.text import mentions
from editc.passes.images.keys import mined_names
from editc.passes.images.schemes.feeds.trajectories import concept_pool
from editc.passes.images.schemes.subject import Subject

OTHERS = 20
"""Other names whose answers the concept's own residual is measured against, and which stay at the concept's own
latents. The experiment that found the recipe had the demo's other objects, as many (docs/explanation/forget.md)."""
CANDIDATES = 40
"""Words of the preserved prompts among which other names are looked for. Chosen by hand."""
CONTEXTS = 6
"""Contexts in which names are compared. On the demo model, names rank in six contexts as they do in all."""
SENTENCES = 6
"""Sentences at whose latents the model is asked what a name has of the concept. Chosen by hand."""
FAR = 0.7
"""Where a name's answers are this share of the target's distance from the concept's, or more, it is another thing."""
APART = 0.25
"""A nearer name is another thing too where this much of the distance is left at the least noise. A name that has the
concept in it follows the picture: on the demo model `animal` comes from 0.44 to 0.01 at pictures of fish, `plant` from
0.45 to 0.06 at trees, `photo` from 0.49 to 0.05 at houses. Another thing does not: `flower` goes from 0.51 to 0.32 at
houses, `square` from 0.37 to 0.41 at circles. Chosen on these and sword, by looking at answers and at no edit."""


def make_subjects(
    plan: Plan,
    ctx: Context,
    model: Diffusion,
    prompts: Sequence[str],
    steps: int,
    guidance: float,
    composed: Sequence[str] = (),
) -> Iterator[Subject]:
    """Yield one subject for each edit of the manifest. `prompts` are the preserved ones. `composed` are kept beside
    them, and no other names are looked for in these."""
    every = [name for request in plan.manifest.image_edits for name in _own_names(request) if name]
    preserved = tuple(one for one in (*prompts, *composed) if not any(mentions(one, name) for name in every))
    named = [one for one in plan.manifest.preserve.concepts if one not in every][:OTHERS]
    for request in plan.manifest.image_edits:
        others = tuple(dict.fromkeys([*named, *_find_others(plan, ctx, request, every, prompts)]))
        subject = Subject(
            concept=request.concept,
            names=request.names,
            target=request.to or plan.family.neutral,
            others=others,
            contexts=plan.contexts(request),
            preserved=(*preserved, *_say_of_others(plan, request, others)),
            seed=int(np.random.default_rng([plan.manifest.seed, *request.concept.encode()]).integers(2**31)),
            steps=steps,
            guidance=guidance,
            label=request.label or request.concept,
            **_judge(ctx, request.concept),
        )
        yield sift(model, subject, frozenset(named))


def _own_names(request: Request) -> tuple[str, ...]:
    """The names of an edit that must not stay. The target of `from` must: it is the thing, which stays elsewhere."""
    return request.names if request.attribute else (*request.names, request.to or "")


def _find_others(
    plan: Plan, ctx: Context, request: Request, edited: Sequence[str], prompts: Sequence[str]
) -> Iterator[str]:
    """Yield names that an edit must leave, found among the words of the preserved prompts. An attribute must stay with
    other things: these are like the thing, not like both."""
    part = request.attribute
    if part is None:
        yield from find_candidates(plan, ctx, request, edited, prompts)
        return
    thing = replace(request, concept=part.thing)
    for name in find_candidates(plan, ctx, thing, [*edited, part.thing, part.name], prompts):
        yield part.of(name)[0]


def _say_of_others(plan: Plan, request: Request, others: Sequence[str]) -> Iterator[str]:
    """Yield prompts of other things with the attribute: each name in some contexts. None for a whole concept."""
    contexts = plan.contexts(request) if request.attribute else ()
    for i, name in enumerate(others if contexts else ()):
        yield from (contexts[(i + j) % len(contexts)].format(name) for j in range(min(SENTENCES, len(contexts))))


def _judge(ctx: Context, concept: str) -> Mapping[str, Any]:
    """The detector as fields of a subject; none where it does not know the concept's label."""
    detector = ctx.detector
    if detector is None or not detector.knows(concept):
        return {}
    judged_by = json.dumps(dict(ctx.detector_identity), sort_keys=True)
    return {"judged_by": judged_by, "judge": partial(detector.shows, concept)}


def find_candidates(
    plan: Plan, ctx: Context, request: Request, edited: Sequence[str], prompts: Sequence[str]
) -> tuple[str, ...]:
    """The words and phrases of the preserved prompts that the text encoder reads most like the concept."""
    assert ctx.encoder is not None
    free = [one for one in mined_names.candidates(prompts) if not any(_overlap(one, name) for name in edited)]
    contexts = plan.contexts(request)[:CONTEXTS]
    return tuple(one.name for one in mined_names.neighbours(ctx.encoder, request.concept, free, contexts, CANDIDATES))


def sift(model: Diffusion, subject: Subject, named: frozenset[str]) -> Subject:
    """The subject without names that have the concept in them, as `animal` has `fish`, and without preserved prompts
    that mention these. Names that the manifest preserves, `named`, all stay; and so do prompts that mention a word of
    the contexts: `photo` has every thing in it, and `a photo of a boat` only a boat."""
    pool = concept_pool(model, subject, SENTENCES)
    own, toward = pool.answers(model, "own"), pool.answers(model, "target")
    whole, late = (own - toward).flatten(1).square().sum(1), pool.times == pool.times.min()

    def is_unlike(condition: str) -> bool:
        apart = (pool.answers(model, condition) - own).flatten(1).square().sum(1) / whole
        return float(apart.median()) >= FAR or float(apart[late].median()) >= APART

    asked = dict(zip(subject.others, pool.others, strict=True))
    others = [name for name, condition in asked.items() if name in named or is_unlike(condition)]
    same = [one for one in asked if one not in others and not any(mentions(text, one) for text in subject.contexts)]
    preserved = tuple(one for one in subject.preserved if not any(mentions(one, name) for name in same))
    return replace(subject, others=tuple(others[:OTHERS]), preserved=preserved)


def _overlap(one: str, other: str) -> bool:
    """True where one of two names has the other in it."""
    return mentions(one, other) or mentions(other, one)
