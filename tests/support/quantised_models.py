"""Quantised models of every kind, and what their weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_files as llama
import numpy as np

from editc.core.delta import Delta
from editc.formats.apply import quantised
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import blocks, dtypes

BLOCKS = tuple(blocks.BLOCK_FORMATS)
EIGHT = tuple(dtypes.EIGHT_BITS)


def quantised_model(place: Path, kind: str) -> Model:
    if kind in EIGHT:
        return llama.eight_bit(place / "model", kind)
    return llama.gguf(place / "model.gguf", kind)


def values(model: Model, name: str) -> Any:
    part = open_model(model.path).component()
    return quantised.decode(part.raw(name), part.where(name))


def change(delta: Delta, k: int) -> Any:
    (factors,) = delta.factors.values()
    return factors.left[k].astype(np.float64) @ factors.right[k].astype(np.float64)
