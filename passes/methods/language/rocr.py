"""ROCR (Ye et al., 2025, arXiv 2506.07795): a concept's name leads elsewhere, in whatever form it is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.core.language_problem import Memory
from editc.core.solution import Edit
from editc.passes.methods.language.alphaedit import AlphaEdit


@dataclass(frozen=True)
class ROCR:
    """Redirect a concept's name with the solve of AlphaEdit.

    D = r (P k)^T / (l2 + k^T P k) for one key and nothing preserved

    The key k is the name's last token, averaged over sentences; with `chat: true` a second key is averaged over what a
    user may say. The residual r is what the other concept has there beyond this one, so that no gradient is needed.

    The edit says where a name leads (`to`, `toward`), and no option does: to the state of another concept (published as
    `unrelated`), to a value learned for a refusal (`reject`), or to a seeded random vector as long as the name's own
    state (`noise`).
    """

    works_on: ClassVar[str] = "memory"
    """What it is called with. A `Memory`: keys and values of one matrix."""
    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
    """The kinds of edits that may name it."""
    leads: ClassVar[tuple[str, ...]] = ("anchor", "noise", "refusal")
    """Where it can lead a concept: see `LeadsElsewhere`."""
    single: ClassVar[bool] = False
    """It spreads the edit over several layers."""
    energy: float = 0.1
    """The share of ordinary text's energy in the directions that the edit may use, as in `alphaedit`; more than 0 and
    at most 1."""
    threshold: float = 0.0
    """Above 0: the eigenvalue below which a direction may be used, in place of `energy` (published: 2e-2)."""
    l2: float = 1.0
    """Ridge on D, as in `alphaedit` (published: 1)."""

    def __post_init__(self) -> None:
        self._alphaedit()

    def __call__(self, memory: Memory) -> Edit:
        """A low-rank edit of rank m; raises as `AlphaEdit` does."""
        return self._alphaedit()(memory)

    def _alphaedit(self) -> AlphaEdit:
        """AlphaEdit with these options. Raises ValueError for those that it refuses."""
        return AlphaEdit(self.energy, self.threshold, self.l2)
