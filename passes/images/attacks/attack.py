"""What an attack is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from editc.core.measurements import Access
from editc.passes.images.diffusion.reference import Reference


@dataclass(frozen=True)
class Case:
    """One concept that an attack tries to bring back, in one model."""

    model: Any
    """The model (a `Diffusion`), with the weights that are attacked. None in a case that waits for a process."""
    concept: str
    """The concept by the name that the detector knows."""
    names: tuple[str, ...]
    """Every name that the manifest lists for it."""
    contexts: tuple[str, ...]
    """Sentences with one `{}` in which a name stands."""
    harmless: tuple[str, ...]
    """Prompts that do not name the concept: the manifest's preserved ones."""
    reference: Reference
    """What the unedited model makes of the concept."""
    seed: int
    """Where the attack's random numbers start."""
    pictures: int
    """How many pictures the attack paints, to be judged."""
    steps: int
    """Denoising steps of a picture."""
    guidance: float
    """How strongly a picture follows its rows."""
    recorded: bool = False
    """True: what the attack says of itself is recorded, and how it grows with its budget. False in controls, of which
    the pictures alone are read: nothing else need be worked out for them."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """`pictures` sentences that name the concept: names and contexts in turn."""
        return tuple(
            self.contexts[i % len(self.contexts)].format(self.names[i % len(self.names)]) for i in range(self.pictures)
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of the noise of each picture; no seed of verify's own pictures is among them."""
        rng = np.random.default_rng([self.seed, 0xA77AC])
        return tuple(int(one) for one in rng.integers(2**31, size=self.pictures))


@dataclass(frozen=True)
class Curve:
    """Pictures on the way: how the attack grows with one figure of its budget."""

    axis: str
    """What the figure is, such as `training steps`."""
    points: tuple[tuple[float, NDArray[np.uint8]], ...]
    """The figure, with the pictures (n, h, w, 3) painted there; ascending."""


@dataclass(frozen=True)
class Outcome:
    """What an attack made."""

    pictures: NDArray[np.uint8]
    """(n, h, w, 3): the pictures that are judged."""
    says: dict[str, Any] = field(default_factory=dict)
    """What it found, in values that JSON has: a prompt, losses. Empty where there is nothing to say, or
    where `Case.recorded` is False."""
    curve: Curve | None = None
    """How it grew. None where the attack has no such figure, or where `Case.recorded` is False."""


class Attack(Protocol):
    """One way to bring a concept back: a frozen dataclass whose fields are its budget, each with a default."""

    summary: ClassVar[str]
    """What it does, in one line."""
    access: ClassVar[Access]
    """What the attacker must be able to choose."""
    quick: ClassVar[Mapping[str, Any]]
    """The options of the preset `quick`, where they are not the defaults."""
    thorough: ClassVar[Mapping[str, Any]]
    """The options of the preset `thorough`, where they are not the defaults."""

    # An attack that reads `case.reference.words` says `needs_words = True`: the vocabulary is searched only then.

    def run(self, case: Case) -> Outcome:
        """Attack, and paint `case.pictures` pictures; the same case gives the same pictures."""
