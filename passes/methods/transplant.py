"""Transplant (ours): a concept's key is given the value that another concept has at its own key; no gradient."""

from __future__ import annotations

from dataclasses import dataclass

from editc.passes.methods.memit import MEMIT


@dataclass(frozen=True)
class Transplant(MEMIT):
    """MEMIT's solve with residuals W k* - W k: what the layer says of the other concept, less what it says of this one.

    As `keys: aligned` does in a diffusion model, where the target is another concept as the layer sees it.

    lamb: as in `memit`; 100 here, for a redirection has one key a concept and not one a fact.
    """

    lamb: float = 100.0
