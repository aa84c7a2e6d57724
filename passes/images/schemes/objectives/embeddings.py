"""DES, distorting embedding space (Ahn and Jung, NeurIPS 2025, arXiv 2501.18877): losses on a prompt's rows alone.

All rows of a prompt are one vector. u are the unedited encoder's rows of a sentence of the concept, s those of a safe
sentence, n those of the concept's name alone; a tilde marks the edited encoder's. d is 1 - cos. The published shift is
200 n / |n|; here its length is a share of |n|, because that of other encoders' rows is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.divergences.cosine import Cosine

SHIFT = 0.8
"""The length of the shift as a share of |n|. SD 1.5 has 77 rows that are some 28 long each, so |n| is some 245 and 200
is 0.8 of it: estimated from the width of its rows, not measured."""


@dataclass(frozen=True)
class ToOpposite:
    """mean d(u~, s* - shift n), s* the safe sentence least like u by cosine: of those with the target's name or with
    other names."""

    shift: float = SHIFT
    """How far from the concept beyond s*, as a share of |n|."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the sentences."""
        return Cosine()(ask.told("own", ask.index), self.targets(ask)).mean()

    def targets(self, ask: Ask) -> Any:
        """(k, t, d): s* - shift n for each sentence."""
        import torch

        pool = ask.pool
        safe = torch.cat([pool.rows[name] for name in ("target", *pool.others)])
        unit = torch.nn.functional.normalize(safe.flatten(1), dim=1)
        own = torch.nn.functional.normalize(pool.told("own", ask.index).flatten(1), dim=1)
        return safe[(own @ unit.T).argmin(1)] - self.shift * name_rows(ask)


@dataclass(frozen=True)
class StayAtEmbeddings:
    """mean [d(s~, s) + d(s~ + shift n, s + shift n)] / 2 of safe sentences s: a safe sentence stays, and its place
    beside the concept too."""

    condition: str
    """Which sentences of the pool are safe: `own` of preserved prompts, or `target`."""
    shift: float = SHIFT
    """How far towards the concept, as a share of |n|."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the sentences and both places."""
        now, before = ask.told(self.condition, ask.index), ask.pool.told(self.condition, ask.index)
        shift, distance = self.shift * name_rows(ask), Cosine()
        return (distance(now, before) + distance(now + shift, before + shift)).mean() / 2


@dataclass(frozen=True)
class NameToEmpty:
    """d(n~, e), e the unedited encoder's rows of the empty prompt: the name alone says nothing."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the concept's names."""
        now = ask.encoded(ask.pool.names)
        return Cosine()(now, ask.pool.rows["empty"][:1].expand_as(now)).mean()


def name_rows(ask: Ask) -> Any:
    """(1, t, d): n, the unedited encoder's rows of the concept's first name alone."""
    with ask.factors.switched(False):
        return ask.pool.derive("name", lambda: ask.model.rows(ask.pool.names[:1]))


@dataclass(frozen=True)
class StayAtRows:
    """mean |s~ - s|^2 / mean |s|^2 over the rows of preserved prompts."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the sentences, their rows and entries."""
        before = ask.pool.told("own", ask.index)
        return (ask.told("own", ask.index) - before).square().mean() / before.square().mean()
