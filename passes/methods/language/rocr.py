"""ROCR (Ye et al., 2025, arXiv 2506.07795): a concept's name leads elsewhere, in whatever form it is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.passes.methods.language.alphaedit import AlphaEdit


@dataclass(frozen=True)
class ROCR(AlphaEdit):
    """AlphaEdit's solve with one key a name, its last token averaged over sentences (with `chat: true` a second one,
    over what a user may say), and what is wanted there taken from another concept: no gradient.

    One key, and nothing kept: D = r (P k)^T / (l2 + k^T P k), r what the other concept has there beyond this one.

    Where a name leads is for the edit to say (`to`, `toward`) and no option: to the state of another concept (published
    as `unrelated`), a value learned for a refusal (`reject`), or a seeded random vector as long as its own (`noise`).

    threshold: published 2e-2; here a share of the energy, see `energy`.
    """

    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
