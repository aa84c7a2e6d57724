"""What the options of trained methods have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Trained:
    """Options that every trained method has."""

    rank: int = 4
    """Rank of the factors."""
    rate: float = 0.001
    """Adam's first rate. Published rates are for whole weights; factors that start at 0 need larger ones."""
    sentences: int = 16
    """Sentences of the concept that are trained on."""
    picture_steps: int = 25
    """Denoising steps of the pictures that the training sees."""
    picture_guidance: float = 3.0
    """How strongly these pictures follow their sentences."""
    edit_kind: ClassVar[Literal["train"]] = "train"
    part: ClassVar[str] = ""
    """The component that is trained, where it is not the denoiser."""

    def __post_init__(self) -> None:
        """Raise ValueError for an option below its least value."""
        for name in ("rank", "sentences", "picture_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}: it must be 1 or more")
        if self.rate <= 0:
            raise ValueError(f"`rate` is {self.rate:g}: it must be more than 0")
