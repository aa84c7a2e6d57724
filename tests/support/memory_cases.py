"""Matrices as linear memories, drawn at random: text that uses some directions a thousand times as much as others."""

from __future__ import annotations

import numpy as np

from editc.core.delta import Array
from editc.core.language_problem import Memory
from editc.core.solution import Edit

D_OUT, D_IN = 12, 20


def memory(seed: int, edits: int = 3, earlier: int = 0, decades: float = 3.0) -> Memory:
    """Text that uses some directions a thousand times as much as others."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(D_IN, D_IN)))
    moment = axes * np.logspace(-decades, 0, D_IN) @ axes.T
    keys, bare = rng.normal(size=(D_IN, edits)), rng.normal(size=(D_IN, edits))
    residuals = rng.normal(size=(D_OUT, edits))
    return Memory(keys, bare, residuals, (moment + moment.T) / 2, rng.normal(size=(D_IN, earlier)))


def change(edit: Edit) -> Array:
    """What an edit of one matrix adds, (d_out, d_in)."""
    return edit.left[0] @ edit.right[0] if edit.right else edit.left[0]
