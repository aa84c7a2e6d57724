"""A trained adapter, such as a LoRA, as `fuse` reads it from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from editc.core.delta import Array


@dataclass(frozen=True)
class AdapterModule:
    """What an adapter makes of one matrix: W + scale up down, with up (d_out, r), down (r, d_in), scale = alpha / r."""

    up: Array
    down: Array
    scale: float


@dataclass(frozen=True)
class Adapter:
    """A trained adapter, read from its file."""

    modules: Mapping[str, AdapterModule]
    """Parameter name -> what the adapter adds to it."""
    fingerprint: str
    """sha256 of the file."""
    left_out: tuple[str, ...] = ()
    """Modules of the file that are a text encoder's, and so no part of the edit."""
