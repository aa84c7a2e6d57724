"""No adversary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.ports import Diffusion
from editc.passes.images.schemes.ask import Ask
from editc.passes.images.schemes.scheme import Drawn, State


@dataclass(frozen=True)
class NoAdversary:
    """Nobody attacks; the concept's own sentences are asked."""

    every: ClassVar[int] = 0

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Nothing."""
        return state, ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """None."""
        return None

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """Nothing moves."""
        return state
