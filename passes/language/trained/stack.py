"""Slices of a data set, each learned by layers of its own (S3T, Chowdhury et al., ICLR 2025, arXiv 2406.16257)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from editc.passes.language.trained.trained import TrainedOnRows

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.training.scheme import Term


@dataclass(frozen=True)
class Stack(TrainedOnRows):
    """Learn the answers of one slice, and rehearse those of the slices before it, whose layers stay as they are.

    push (-mean log p(y)) + keep (-mean log p(y_before))

    A slice is learned by the group of layers below that of the slice before it, so its delta depends on its own slice
    and on those before it, and on no other.
    """

    keep: float = 1.0
    """Weight of the slices before (published: each layer is trained on all slices up to its own). 0: they are only
    measured."""
    solves: ClassVar[tuple[str, ...]] = ("learn",)
    """The kinds of edits that may name it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relearn:
            raise ValueError(f"`relearn` is {self.relearn}: what is learned is not attacked")

    @property
    def needs_retain(self) -> bool:
        """False: the first slice has none before it."""
        return False

    def objective(self) -> Any:
        """What the rows that are learned minimise."""
        from editc.passes.language.schemes.objectives.stay import StayLikely

        return StayLikely()

    def terms(self) -> tuple[Term, ...]:
        """The loss: the slice that is learned, and the slices before it."""
        from editc.passes.language.schemes.feeds.texts import Texts
        from editc.passes.training.scheme import Term

        learn = Term("learn", "erase", Texts("forget"), self.objective(), self.push, self.batch)
        return (learn, *self.kept_terms("before"))
