"""What is to be forgotten, in sentences: one concept with its target, other names, and prompts that must stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Subject:
    """One concept to forget."""

    concept: str
    """Its name, the first of `names`."""
    names: tuple[str, ...]
    """Every name that the manifest lists for it."""
    target: str
    """The name whose answers take its place; '' for the empty prompt."""
    others: tuple[str, ...]
    """Names of other things, which do not have the concept in them."""
    contexts: tuple[str, ...]
    """Sentences with one `{}`."""
    preserved: tuple[str, ...]
    """Prompts that must stay as they are."""
    seed: int
    """Where random numbers of this concept start."""
    steps: int
    """Denoising steps of a picture."""
    guidance: float
    """How strongly pictures of training follow their sentence."""
    label: str = ""
    """What a detector looks for in its pictures."""
    judged_by: str = ""
    """What tells the detector from another; '' where there is none that knows the label."""
    judge: Callable[[NDArray[np.uint8]], NDArray[np.bool_]] | None = field(default=None, compare=False, repr=False)
    """The detector: for pictures (n, h, w, 3), whether each shows the concept, (n,). None where there is none."""

    def sentences(self, count: int) -> tuple[str, ...]:
        """`count` contexts in a random order, repeated where there are fewer."""
        order = np.random.default_rng([self.seed, 1]).permutation(len(self.contexts))
        return tuple(self.contexts[int(order[i % len(order)])] for i in range(count))

    def kept(self, count: int) -> tuple[str, ...]:
        """At most `count` of the preserved prompts, drawn."""
        order = np.random.default_rng([self.seed, 2]).permutation(len(self.preserved))[:count]
        return tuple(self.preserved[int(i)] for i in order)

    def pictures_seeds(self, count: int, salt: int) -> list[int]:
        """Seeds for the noise of `count` pictures; `salt` tells one use from another."""
        return [int(one) for one in np.random.default_rng([self.seed, 3, salt]).integers(2**31, size=count)]
