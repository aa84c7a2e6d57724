"""What only schemes of image models have: where latents come from, how two answers are compared, and their methods."""

from __future__ import annotations

from typing import Any, Protocol

from editc.core.ports import Diffusion
from editc.passes.images.schemes.pool import Pool
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors
from editc.passes.training.scheme import Scheme


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
