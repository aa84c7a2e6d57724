"""Rounding to 8 and to 4 bits: an edit that is finer than a step of the quantiser is rounded away, and the answers are
back (Zhang et al., 2024).

`int8` and `int4` round each row by its largest number. `Q8_0` and `Q4_0` are llama.cpp's own quantisers, which come
with the package gguf and round blocks of 32. Every linear layer is rounded, as it would be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.passes.language.suite import ask
from editc.passes.language.suite.blows.blow import Blow, Target
from editc.passes.language.suite.readings import Figure, Figures

BLOCK = 32
"""Numbers of a row that llama.cpp rounds together in Q8_0 and Q4_0."""
METRICS = ("probability", "truth_ratio", "extraction_strength", "exact_memorization")
"""The metrics that are measured again: those that need no generated text."""


def round_rows(W: Array, bits: int) -> Array:
    """Round each row (d_in,) of W (d_out, d_in) to multiples of its largest number / (2^(bits-1) - 1)."""
    most = 2 ** (bits - 1) - 1
    step = np.abs(W).max(axis=1, keepdims=True) / most
    step[step == 0] = 1
    rounded: Array = np.clip(np.round(W / step), -most, most) * step
    return rounded


def round_blocks(W: Array, kind: str) -> Array:
    """Quantise and read back by llama.cpp's rules for `kind`. Rows whose length is no multiple of the block stay."""
    from gguf import GGMLQuantizationType, quants

    if W.shape[1] % BLOCK:
        return W
    name = GGMLQuantizationType[kind]
    return np.asarray(quants.dequantize(quants.quantize(W.astype(np.float32), name), name))


def quantisers() -> Mapping[str, Callable[[Array], Array]]:
    """Name -> what rounds a matrix (d_out, d_in). llama.cpp's need the package gguf, and are left out without it."""
    from importlib.util import find_spec

    own: dict[str, Callable[[Array], Array]] = {
        "int8": lambda W: round_rows(W, 8),
        "int4": lambda W: round_rows(W, 4),
    }
    if find_spec("gguf") is not None:
        own |= {"Q8_0": lambda W: round_blocks(W, "Q8_0"), "Q4_0": lambda W: round_blocks(W, "Q4_0")}
    return own


def strike(target: Target) -> Figures:
    """`NAME.FIGURE` of each quantiser: the figures of METRICS on the forgotten items after rounding."""
    items, how = target.of("forget"), ask.Asking(metrics=METRICS)
    found: dict[str, Figure] = {}
    for name, rounded in quantisers().items() if items else ():
        weights: dict[str, Any] = {
            matrix: rounded(W).astype(np.float32) for matrix, W in target.network.linear_weights(target.changed)
        }
        readings = ask.read_model(target.network, items, weights, how)
        found |= {f"{name}.{figure}": one for figure, one in ask.figures_of(readings, how=how).items()}
    return found


BLOW = Blow("figures after rounding to 8 and 4 bits: nothing may come back", strike)
"""The blow `rounding`."""
