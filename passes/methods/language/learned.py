"""The options that every method has whose values are learned at a subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LearnsValues:
    """A method for facts that writes values which are learned at tokens of each subject."""

    tokens: Literal["last", "carrying"] | None = None
    """At which tokens of a subject of several words a fact is written. `last`, the default: the last. `carrying`: those
    at which the model knows the fact, found by causal tracing, which may leave the last one out."""
    nas: bool | None = None
    """True: scale each learned value to the length that the output had before the edit, v |v0| / |v| for v = v0 + delta
    (Norm-Anchor Scaling, arXiv 2602.02543), so that values and weights do not grow by each other over many edits."""
