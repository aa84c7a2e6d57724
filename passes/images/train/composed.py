"""Prompts of several words at once, which a training keeps beside the preserved ones of a model that brings no list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.text import plain_words
from editc.passes.images.rows.phrases import fill_context
from editc.passes.images.rows.vocabulary import MOST_WORDS, readable_contexts, tell_apart

WORDS = 3
"""Words of a composed prompt: as many as say a thing, what it is like, and where. Chosen by hand."""
DRAWS = 4
"""A number for the seed, so that these draws are others than those of a subject."""


def composed_prompts(plan: Plan, ctx: Context, count: int) -> tuple[str, ...]:
    """Return at most `count` prompts of WORDS words that the text encoder tells apart, in contexts that it can read.

    They say what no word says alone: what becomes of a colour where there is a thing beside it. A model with prompts of
    its own has such sentences in them and gets none, and so does a manifest without the default list.
    """
    if not ctx.words or plan.manifest.preserve.corpus != "default":
        return ()
    assert ctx.encoder is not None
    contexts = readable_contexts(ctx.with_own_contexts(plan.family).contexts, ctx.words)
    edited = tuple(dict.fromkeys(_edited_words(plan.manifest)))
    known = tell_apart(ctx.words[:MOST_WORDS], edited, contexts[0], ctx.encoder, ctx.cache, ctx.progress)
    return compose([one for one in known if one not in edited], contexts, count, plan.manifest.seed)


def compose(words: Sequence[str], contexts: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Return at most `count` prompts, each once: WORDS words drawn from `words`, in any order, in contexts by turns."""
    if len(words) < WORDS:
        return ()
    rng = np.random.default_rng([seed, DRAWS])
    drawn = (rng.choice(len(words), WORDS, replace=False) for _ in range(count))
    phrases = (" ".join(words[int(one)] for one in each) for each in drawn)
    return tuple(dict.fromkeys(fill_context(contexts[i % len(contexts)], one) for i, one in enumerate(phrases)))


def _edited_words(manifest: Manifest) -> Iterator[str]:
    """Yield what no composed prompt may name: the names that are edited, each of their words, which would say such a
    name in another order, and the thing that an attribute is taken from."""
    for request in manifest.image_edits:
        if request.kind != "moderate":
            for name in request.names:
                yield from (name, *plain_words(name))
            if request.attribute is not None:
                yield request.attribute.thing
