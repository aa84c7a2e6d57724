"""The problems that both sides solve: rows as a text encoder hands them out, and SD 1.5's matrices from a file.

Rows are seeded noise of norm sqrt(d). All texts share one direction, and the rows of one text share another, so that
the normal matrix is as badly conditioned as with CLIP's rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

LENGTH = 77
"""Rows of a CLIP text."""
SPAN = 75
"""Rows of a text from its last subject token on, as UCE's code of 2023 takes them."""
RIDGE = 0.5
"""lambda, as published by UCE."""
NULL = 0
"""The number of the empty text."""
FIRST_PRESERVED = 1_000_000
"""Preserved texts are numbered from here, edited ones from 1."""


@dataclass(frozen=True)
class Case:
    """One problem."""

    method: str
    """`uce2025`, `uce2023`, `rece`, `memit` or `alphaedit`."""
    concepts: int
    """How many concepts, or facts, are edited."""
    preserved: int
    """How many texts, or keys, are preserved."""
    width: int = 768
    """d, the length of a key."""
    sampled: bool = False
    """True: the published side edits one matrix of each shape, and its seconds are multiplied by how many there are."""
    epochs: int = 3
    """Rounds of `rece`."""

    @property
    def keys(self) -> int:
        """How many texts the solve reads."""
        return self.concepts + self.preserved

    @property
    def preserve_scale(self) -> float:
        """The weight of a preserved row: 1, and in the code of 2023 a tenth or one over their number."""
        return max(0.1, 1 / (self.preserved + 1)) if self.method == "uce2023" else 1.0


def rows(number: int, width: int, count: int) -> Array:
    """The first `count` rows (count, d) of a text."""
    rng = np.random.default_rng([7, number, width])
    shared = np.random.default_rng([7, width]).standard_normal(width)
    subject = rng.standard_normal(width)
    found = 0.7 * shared + subject + 0.3 * rng.standard_normal((count, width))
    return np.asarray(found * np.sqrt(width) / np.linalg.norm(found, axis=1, keepdims=True))


def edited(case: Case) -> Iterator[tuple[Array, Array]]:
    """The keys and targets (m, d) of each concept."""
    count = 1 if case.method == "uce2025" else LENGTH if case.method == "rece" else SPAN
    target = rows(NULL, case.width, count)
    for number in range(case.concepts):
        yield rows(1 + number, case.width, count), target


def preserved(case: Case) -> Iterator[Array]:
    """The rows (m, d) of each preserved text. The code of 2023 and RECE preserve the empty text besides."""
    if case.method != "uce2025":
        yield rows(NULL, case.width, LENGTH)
    count = 1 if case.method == "uce2025" else LENGTH
    for number in range(case.preserved):
        yield rows(FIRST_PRESERVED + number, case.width, count)


def matrices(folder: Path) -> list[Any]:
    """SD 1.5's 32 cross-attention K and V matrices (d_out, d) in float32, from the pipeline in `folder`."""
    from safetensors import safe_open

    with safe_open(folder / "unet" / "diffusion_pytorch_model.safetensors", "np") as file:
        names = [name for name in sorted(file.keys()) if fnmatchcase(name, "*.attn2.to_[kv].weight")]
        return [file.get_tensor(name).astype(np.float32) for name in names]


def sample(shapes: list[int]) -> dict[int, int]:
    """Index of the first matrix of each height -> how many have this height."""
    return {shapes.index(height): shapes.count(height) for height in sorted(set(shapes))}


def reference(case: Case) -> Array:
    """M (d, d), where W' = W M is the solution in float64, by LU of the summed normal matrix."""
    normal, right = RIDGE * np.eye(case.width), np.zeros((case.width, case.width))
    for keys, targets in edited(case):
        normal += keys.T @ keys
        right += (targets - keys).T @ keys
    for kept in preserved(case):
        normal += case.preserve_scale * kept.T @ kept
    return np.asarray(np.eye(case.width) + np.linalg.solve(normal, right.T).T)


def error(found: list[Any], weights: list[Any], turn: Array) -> float:
    """|W' - W M| / |W M| over the edited matrices `found` of `weights`."""
    off = size = 0.0
    for one, W in zip(found, weights, strict=True):
        wanted = W.astype(np.float64) @ turn
        off += float(np.sum((np.asarray(one, np.float64) - wanted) ** 2))
        size += float(np.sum(wanted**2))
    return float(np.sqrt(off / size))
