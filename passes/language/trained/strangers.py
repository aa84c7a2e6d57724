"""Generic predictions in place of what is known, after "Who's Harry Potter?" (Eldan and Russinovich, 2023, arXiv
2310.02238), as low-rank factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from editc.passes.language.trained.trained import TrainedOnRows


@dataclass(frozen=True)
class Strangers(TrainedOnRows):
    """Answer about the subject of each row as the unedited model answers about a stranger.

    push mean KL(g(t) | p(t | the row)) + keep mean KL(p_before(t) | p(t)) at retained answers

    g ~ q min(1, q / q_own)^away, q the unedited model at the row about a stranger, q_own at the row itself

    The goal is what a model says of somebody whom it never read of, and what the name makes likelier goes below that
    by `away`: a question may give its answer away in other words than the name. Each row to forget says whom it is
    about (`subject` or `author`). Published: the goal comes from a model that was trained further on the text, and from
    names that a language model found.
    """

    away: float = 1.0
    """How far what the name makes likelier is pushed below what is said of a stranger (published: 5)."""
    keep_by: Literal["nll", "kl", "stream"] = "kl"
    """How the retain set stays: see the other methods."""
    needs_subjects: ClassVar[bool] = True
    """Each row to forget must say whom it is about."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.away < 0:
            raise ValueError(f"`away` is {self.away:g}: it must be 0 or more")

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        from editc.passes.language.schemes.objectives.stranger import LikeAStranger

        return LikeAStranger(self.away)
