"""Random systems for property tests: embeddings like a text encoder's, weights like a UNet's, all seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.problem import Block, PreservedRows, System
from editc.core.solution import Edit

WIDTH = 24
SHAPES = (16, 32, 24, 40)


def rows(rng: np.random.Generator, count: int, width: int = WIDTH) -> Array:
    """(width, count) columns, layer-normalised about a common direction."""
    raw = rng.normal(size=(count, width)) + 0.5 * rng.normal(size=width)
    raw -= raw.mean(axis=1, keepdims=True)
    return np.asarray((raw / raw.std(axis=1, keepdims=True)).T)


def block(
    rng: np.random.Generator, name: str, count: int = 2, strength: float = 1.0, dtype: type = np.float64
) -> Block:
    """A concept of `count` keys with targets near them."""
    keys = rows(rng, count).astype(dtype).astype(np.float64)
    targets = (keys + 0.5 * rows(rng, count)).astype(dtype).astype(np.float64)
    weights: NDArray[np.float64] = np.ones(count)
    return Block(Request(kind="erase", concept=name), keys, targets, weights, (name,) * count, strength)


def system(
    seed: int, concepts: int = 3, kept: int = 6, strength: float = 1.0, ridge: float = 0.5, dtype: type = np.float64
) -> System:
    """A joint problem of `concepts` blocks over four layers, with `kept` preserved rows at weight one."""
    rng = np.random.default_rng(seed)
    blocks = tuple(block(rng, f"concept {i}", strength=strength, dtype=dtype) for i in range(concepts))
    preserved = rows(rng, kept)
    weights = tuple(rng.normal(size=(n, WIDTH)).astype(dtype).astype(np.float64) / 5 for n in SHAPES)
    return System(
        blocks,
        PreservedRows(preserved @ preserved.T, preserved, preserved[:, :2], (), keys=preserved, weights=np.ones(kept)),
        weights,
        ridge,
    )


def gram_of(weights: Sequence[Array], other: Sequence[Array] | None = None) -> Array:
    """Sum over layers of W^T V, with V of `other`, else W itself."""
    total: Array = np.sum([W.T @ V for W, V in zip(weights, other or weights, strict=True)], axis=0)
    return total


def changes(edit: Edit, weights: Sequence[Array]) -> list[Array]:
    """W' - W of every layer."""
    if edit.form == "shared":
        return [(W @ edit.left[0]) @ edit.right[0] for W in weights]
    rights = edit.right if len(edit.right) > 1 else edit.right * len(edit.left)
    return [left @ right for left, right in zip(edit.left, rights, strict=True)]
