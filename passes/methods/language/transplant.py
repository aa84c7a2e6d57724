"""Transplant (ours): at a concept's name the model has the state that it has at another's; no gradient, one key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from editc.passes.methods.language.memit import MEMIT


@dataclass(frozen=True)
class Transplant(MEMIT):
    """MEMIT's solve, and what is wanted behind the last layer is the residual stream at the other concept's name.

    As `keys: aligned` does in a diffusion model, where the target is another concept as the layer sees it. The MLPs'
    outputs alone (W k' = W k* in each layer) carry too little of a name: on SmolLM2 that redirects nothing.

    lamb: as in `memit`; 100 here, for a redirection has one key a concept and not one a fact.
    """

    solves: ClassVar[tuple[str, ...]] = ("redirect", "erase")
    lamb: float = 100.0
