"""A trained method as a value: what pulls, what stays, who attacks, how gradients are joined, what may change.

What a term asks about, its `Ask`, differs between kinds of models: latents with sentences, or texts of tokens. The
pieces of a scheme are therefore typed by what they do, and each kind of model has its own feeds and objectives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Side: TypeAlias = Literal["erase", "keep"]
"""What a term of the loss is for."""
State: TypeAlias = Mapping[str, Any]
"""What an adversary remembers: name -> tensor. A checkpoint holds it."""


class Objective(Protocol):
    """What a term minimises."""

    def loss(self, ask: Any) -> Any:
        """The mean over what is asked about: a scalar with gradients."""


@dataclass(frozen=True)
class Drawn:
    """What an adversary found, as a training step uses it."""

    rows: Any
    """Image models: rows (k, t, d) for some latents. They ask for a gradient where the adversary follows it. Language
    models: parameter name -> what relearning adds to the factors."""
    which: Any
    """Image models: (k,), which of the adversary's rows each is; -1 for one that it does not move. Language models:
    what `rows` has where it is not what relearning adds, such as `common`; else None."""


class Adversary(Protocol):
    """Who looks for a way to bring back what is erased while the edit is trained."""

    @property
    def every(self) -> int:
        """Steps between two searches. 0: it never searches."""

    def search(self, state: State, ask: Any, generator: Any) -> tuple[State, tuple[float, ...]]:
        """The state after a search against the edited model, and what each search reached. `ask` is about everything
        that the first term's feed has."""

    def draw(self, state: State, ask: Any, generator: Any) -> Drawn | None:
        """What stands in place of the feed's own conditions. None: these are asked."""

    def follow(self, model: Any, state: State, drawn: Drawn) -> State:
        """The state after its rows moved up the gradient that the training step left on them."""


class Rule(Protocol):
    """How the gradients of both sides are joined."""

    def gradients(self, losses: Mapping[Side, Any], parameters: list[Any]) -> list[Any]:
        """One gradient for each parameter, from one scalar loss for each side that has terms."""


@dataclass(frozen=True)
class Bound:
    """A bound on a term, kept by a weight that follows it: a step of gradient ascent on the dual variable."""

    at_most: float
    """The value that is allowed."""
    rate: float
    """The weight becomes max(0, weight + rate (value - at_most)) after each step."""


@dataclass(frozen=True)
class Term:
    """One part of the loss."""

    name: str
    """Its name in curves."""
    side: Side
    """What it is for."""
    feed: Any
    """Where its latents or texts come from: a `Feed` of the kind of model."""
    objective: Objective
    """What it minimises."""
    weight: float
    """Its weight."""
    latents: int
    """Latents or texts a step."""
    attacked: bool = False
    """True: what the adversary found stands in place of the feed's own conditions."""
    bound: Bound | None = None
    """What its weight follows. None: the weight stays."""


@dataclass(frozen=True)
class Optimiser:
    """Adam, with a rate that falls in a line."""

    rate: float
    """The first rate."""
    floor: float = 0.15
    """The last rate, as a share of the first."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates."""
    decay: float = 0.0
    """Weight decay, as AdamW has it."""
    clip: float = 1.0
    """The largest norm of all gradients together; longer ones are cut. 0: none is cut."""


@dataclass(frozen=True)
class Scheme:
    """A trained method with its options filled in."""

    terms: tuple[Term, ...]
    """The loss."""
    adversary: Adversary
    """Who attacks."""
    rule: Rule
    """How gradients are joined."""
    optimiser: Optimiser
    """How the factors move."""
    steps: int
    """Steps of training at most, for each concept."""
    rank: int
    """Rank of each factor."""
    measures_own: bool = False
    """True: how much of each concept is its own is measured and reported before the training."""
    enough: float | None = None
    """The training stops once two searches in a row reach at most this share of the concept. None: it never stops
    early."""
    average: float = 0.0
    """The decay of a running mean of the factors, taken over the second half of the steps: the training ends with it.
    Each round of attack and repair ends somewhere else, and the mean holds against the attacks of many rounds. 0: the
    training ends with the last factors."""
    start: str = ""
    """The closed-form method whose edit the training starts from; empty: none."""
    free: bool = False
    """True: the factors see only what no preserved prompt has, so that nothing preserved can move there."""
