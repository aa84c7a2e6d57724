"""Transplant (our own): at a concept's name the model gets the state that it has at another concept's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.language_problem import Memory
from editc.core.solution import Edit
from editc.passes.methods.language.memit import MEMIT


@dataclass(frozen=True)
class Transplant:
    """Redirect a concept's name with the solve of MEMIT, without a gradient and with one key for each name and form.

    The residual stream after the last edited layer is to be what it is at the other concept's name. That is what `keys:
    aligned` does in a diffusion model, where the target is the other concept as the layer reads it. The outputs of the
    MLPs alone (W k' = W k* in each layer) carry too little of a name: on SmolLM2 they redirect nothing.
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
    """The kinds of edits that may name it."""
    leads: ClassVar[tuple[str, ...]] = ("anchor",)
    """Where it can lead a concept: see `LeadsElsewhere`."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    lamb: float = 100.0
    """How many tokens of ordinary text weigh as much as one key. Less than in `memit`, because a redirection has one
    key for a whole concept."""

    def __post_init__(self) -> None:
        self._memit()

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises as `MEMIT` does."""
        return self._memit()(memory)

    def _memit(self) -> MEMIT:
        """MEMIT with these options. Raises ValueError for those that it refuses."""
        return MEMIT(self.lamb)
