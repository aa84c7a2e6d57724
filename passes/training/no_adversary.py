"""No adversary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from editc.passes.training.scheme import Drawn, State


@dataclass(frozen=True)
class NoAdversary:
    """Nobody attacks; the feed's own conditions are asked."""

    every: ClassVar[int] = 0

    def search(self, state: State, ask: Any, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Nothing."""
        return state, ()

    def draw(self, state: State, ask: Any, generator: Any) -> Drawn | None:
        """None."""
        return None

    def follow(self, model: Any, state: State, drawn: Drawn) -> State:
        """Nothing moves."""
        return state
