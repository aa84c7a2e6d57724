"""The type of attacks on an erased concept: they give the edited model other rows than those of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from editc.core.delta import Array
from editc.core.measurements import Certificate
from editc.core.ports import Context


@dataclass(frozen=True)
class PictureAttack:
    """One way to bring an erased concept back. Verify paints it with the same seeds as the prompts themselves.

    An attack from another package is named by an entry point of the group `editc.attacks`.
    """

    says: str
    """What the attack feeds the model, in one line."""
    suits: Callable[[str, Sequence[Certificate]], bool]
    """Returns whether the attack suits a prompt, given the certificates of the edit. Other prompts are left out."""
    rows: Callable[[Sequence[str], Sequence[Certificate], Context], Array]
    """Returns what the edited model reads in place of n prompts: finite rows (n, t, d), with t and d as the text
    encoder (`ctx.encoder`) gives them."""
