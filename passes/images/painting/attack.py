"""What an attack on an erased concept is: rows that the edited model is given in place of a prompt's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from editc.core.delta import Array
from editc.core.measurements import Certificate
from editc.core.ports import Context


@dataclass(frozen=True)
class PictureAttack:
    """One way to bring an erased concept back, painted beside the prompt itself with the same seed.

    An attack from another package is named by an entry point of the group `editc.attacks`.
    """

    says: str
    """What it feeds the model, in one line."""
    suits: Callable[[str, Sequence[Certificate]], bool]
    """True for a prompt that it can attack, with the certificates of this edit. Other prompts are left out."""
    rows: Callable[[Sequence[str], Sequence[Certificate], Context], Array]
    """Gives what the edited model reads in place of these prompts: (n, t, d), one entry a prompt, as many rows and as
    wide as the text encoder's own (`ctx.encoder`)."""
