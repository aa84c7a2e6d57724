"""A trained method as a value: what pulls, what stays, who attacks, how gradients are joined, what may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from editc.core.ports import Diffusion
from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.factors import Factors
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject

Side: TypeAlias = Literal["erase", "keep"]
"""What a term of the loss is for."""
State: TypeAlias = Mapping[str, Any]
"""What an adversary remembers: name -> tensor. A checkpoint holds it."""


class Feed(Protocol):
    """Where latents come from."""

    def draw(
        self, model: Diffusion, factors: Factors, subject: Subject, count: int, generator: Any
    ) -> tuple[Pool, Any]:
        """A pool, and the numbers (count,) of latents drawn from it. A feed that fills its pool once gives the same
        pool each time, so that the unedited model is asked once. `factors` are off; a feed of the edited model's own
        pictures switches them on."""


class Divergence(Protocol):
    """How two answers are compared."""

    def __call__(self, a: Any, b: Any) -> Any:
        """(n,): how far each of the answers `a` (n, c, h, w) is from that of `b`."""


class Objective(Protocol):
    """What a term minimises."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents that are asked about: a scalar with gradients."""


@dataclass(frozen=True)
class Drawn:
    """Rows of an adversary for some latents."""

    rows: Any
    """(k, t, d). They ask for a gradient where the adversary follows it."""
    which: Any
    """(k,): which of the adversary's rows each is; -1 for one that it does not move."""


class Adversary(Protocol):
    """Who looks for conditions that bring the concept back while the edit is trained."""

    @property
    def every(self) -> int:
        """Steps between two searches. 0: it never searches."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """The state after a search against the edited model, and what each search reached, as s. `ask` is about the
        whole pool."""

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """Rows for the latents of `ask`. None: the sentences' own are asked."""

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """The state after its rows moved up the gradient that the training step left on them."""


class Rule(Protocol):
    """How the gradients of both sides are joined."""

    def gradients(self, losses: Mapping[Side, Any], parameters: list[Any]) -> list[Any]:
        """One gradient for each parameter, from one scalar loss for each side that has terms."""


@dataclass(frozen=True)
class Term:
    """One part of the loss."""

    name: str
    """Its name in curves."""
    side: Side
    """What it is for."""
    feed: Feed
    """Where its latents come from."""
    objective: Objective
    """What it minimises."""
    weight: float
    """Its weight."""
    latents: int
    """Latents a step."""
    attacked: bool = False
    """True: the adversary's rows stand in place of the sentences' own."""


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


class TrainedMethod(Protocol):
    """A method whose edit is trained: a frozen dataclass whose fields are its options in a manifest."""

    edit_kind: str
    """`train`."""
    part: str
    """The component that is trained, such as `text_encoder`; '' for the denoiser."""
    layers: str
    """Which kinds of layers are trained, in the family's words, joined by `+`; `all` for every kind."""
    picture_steps: int
    """Denoising steps of the pictures that the training sees."""
    picture_guidance: float
    """How strongly these pictures follow their sentences."""

    def scheme(self) -> Scheme:
        """The method as a scheme."""
