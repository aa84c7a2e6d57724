"""Estimate how far a weight is from the one that a delta was made for, from 33 stored numbers.

This is a count sketch (Charikar, Chen, Farach-Colton, 2002). Every entry is added, with a random sign, to one of 32
sums. The sketch is linear. For a difference D of two weights, the squares of the sums of D add up to |D|^2 on average
over the signs, with a relative standard error of at most sqrt(2 / 32) = 25 %. That is 12.5 % of |D|, and it falls by
sqrt(n) over n sites of equal size. A hash says whether weights are the same. A sketch says how near they are, and
cannot say that they are the same.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64decode, b64encode
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUMS = 32
"""The number of sums. Part of the format of a delta."""
TEXT_LENGTH = 4 * (1 + SUMS) * 4 // 3
"""Base64 digits of a sketch. It has 132 bytes, the norm and the sums as little-endian float32, so no padding is
needed."""
BLOCK_ENTRIES = 1 << 16
"""Entries that share one stream of random bits. Part of the format of a delta."""
_SEED = "editc-sketch-1/"
"""What every stream of random bits is seeded with, before the number of the block. Part of the format of a delta."""


def sketch(W: Array) -> str:
    """Return the Frobenius norm of `W` (d_out, d_in) and its 32 signed sums, in base64.

    Entries are taken row by row in blocks of 65,536. Byte i of SHAKE-128 of `editc-sketch-1/<block>` belongs to entry i
    of the block: its lowest bit is the sign (1: minus), and the next five bits are the number of the sum. Everything is
    added one by one in float64, blocks in order. So the sketch is the same on every machine.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return b64encode(np.concatenate(([_norm(W)], _sums(W))).astype("<f4").tobytes()).decode("ascii")


def norm(text: str) -> float:
    """Return |W|, the Frobenius norm of the weight that was sketched, from its sketch."""
    return float(_numbers(text)[0])


def distance(text: str, W: Array) -> float:
    """Estimate |W - W0| / |W0| (Frobenius) for `W` (d_out, d_in), from the sketch `text` of W0.

    inf if W0 is 0, or if an entry is not finite.
    """
    known = _numbers(text)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = math.hypot(*(_sums(W) - known[1:]))
    return moved / float(known[0]) if known[0] > 0 and math.isfinite(moved) else math.inf


def joint_distance(parts: Iterable[tuple[float, float]]) -> float:
    """Return the distance over several weights together, from the (distance, norm) of each; 0 for no weights."""
    pairs = list(parts)
    size = math.hypot(*(size for _, size in pairs))
    return math.hypot(*(far * size for far, size in pairs)) / size if size > 0 else 0.0


def _norm(W: Array) -> float:
    """Return the Frobenius norm, added up one by one."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(float(np.cumsum(part * part)[-1]) for part in _blocks(np.ravel(W))))


def _sums(W: Array) -> Array:
    """Return the 32 signed sums (32,) of the entries of `W`."""
    found = np.zeros(SUMS)
    with np.errstate(over="ignore", invalid="ignore"):
        for k, part in enumerate(_blocks(np.ravel(W))):
            signed = np.bincount(_bins(k)[: len(part)], weights=part, minlength=2 * SUMS)
            found += signed[0::2] - signed[1::2]
    return found


def _blocks(entries: Array) -> Iterable[Array]:
    """Yield `entries` (n,) in blocks of BLOCK_ENTRIES."""
    return (entries[start : start + BLOCK_ENTRIES] for start in range(0, len(entries), BLOCK_ENTRIES))


@lru_cache(maxsize=64)
def _bins(block: int) -> NDArray[np.uint8]:
    """Return the sum and sign of each entry of block number `block`, (65536,).

    A number is twice that of the entry's sum, plus one if the entry is subtracted.
    """
    stream = hashlib.shake_128(f"{_SEED}{block}".encode("ascii")).digest(BLOCK_ENTRIES)
    return np.frombuffer(stream, np.uint8) & np.uint8(2 * SUMS - 1)


def _numbers(text: str) -> Array:
    """Return the norm and the sums (33,) from a sketch."""
    return np.frombuffer(b64decode(text), "<f4").astype(np.float64)
