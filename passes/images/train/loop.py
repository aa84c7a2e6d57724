"""The loop of training on an image model: what its terms ask about are latents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from editc.core.ports import Diffusion, Progress
from editc.core.solution import Training
from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.subject import Subject
from editc.passes.training import loop
from editc.passes.training.loop import Progressed, Save, Watched
from editc.passes.training.scheme import Scheme, State, Term


def train(
    model: Diffusion,
    scheme: Scheme,
    subjects: Sequence[Subject],
    begun: Progressed,
    progress: Progress | None,
    save: Save | None = None,
    watch: Watched | None = None,
) -> Training:
    """Train the factors of `begun` to the end, as `passes.training.loop.train` does."""
    return loop.train(scheme, subjects, begun, partial(_ask, model, begun), progress, save, watch)


def _ask(model: Diffusion, begun: Progressed, term: Term, subject: Subject, state: State) -> Ask:
    """Latents of a term's feed, about which both models can be asked."""
    pool, index = term.feed.draw(model, begun.factors, subject, term.latents, begun.generator)
    return Ask(model, begun.factors, pool, index, begun.generator, state=state)
