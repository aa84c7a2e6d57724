"""How far a weight is from the one a delta was made for, told by 33 numbers.

A count sketch (Charikar, Chen, Farach-Colton, 2002): every entry is added, with a sign, to one of 32 sums. It is
linear, and the squares of the sums of a difference D add up to |D|^2 in the mean over the signs, with a relative
standard error of sqrt(2 / 32) = 25 % at most; that is 12.5 % of |D|, and less by sqrt(n) over n sites of a size. A hash
says whether weights are the same; a sketch says how near they are, and never that they are the same.
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
DIGITS = 4 * (1 + SUMS) * 4 // 3
"""Base64 digits of a sketch: the norm and the sums, little-endian float32; 132 bytes, so that nothing is padded."""
BLOCK = 1 << 16
_SEED = "editc-sketch-1/"


def sketch(W: Array) -> str:
    """The Frobenius norm of `W` (d_out, d_in) and its 32 signed sums, in base64; the same on every machine.

    Entries are taken row by row in blocks of 65,536. Byte i of SHAKE-128 of `editc-sketch-1/<block>` is for entry i of
    the block: its lowest bit is the sign (1: minus), the next five are the sum. Everything is added one by one in
    float64, blocks in order.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return b64encode(np.concatenate(([_norm(W)], _sums(W))).astype("<f4").tobytes()).decode("ascii")


def norm(text: str) -> float:
    """|W| of the weight that was sketched."""
    return float(_numbers(text)[0])


def distance(text: str, W: Array) -> float:
    """About |W - W0| / |W0| (Frobenius) of the weight `W` from the sketched one, W0; infinite where it has no measure:
    W0 is 0, or something is not finite."""
    known = _numbers(text)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = math.hypot(*(_sums(W) - known[1:]))
    return moved / float(known[0]) if known[0] > 0 and math.isfinite(moved) else math.inf


def joint_distance(parts: Iterable[tuple[float, float]]) -> float:
    """The distance over several weights from the (distance, norm) of each; 0 for none."""
    pairs = list(parts)
    size = math.hypot(*(size for _, size in pairs))
    return math.hypot(*(far * size for far, size in pairs)) / size if size > 0 else 0.0


def _norm(W: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(float(np.cumsum(part * part)[-1]) for part in _blocks(np.ravel(W))))


def _sums(W: Array) -> Array:
    found = np.zeros(SUMS)
    with np.errstate(over="ignore", invalid="ignore"):
        for k, part in enumerate(_blocks(np.ravel(W))):
            signed = np.bincount(_bins(k)[: len(part)], weights=part, minlength=2 * SUMS)
            found += signed[0::2] - signed[1::2]
    return found


def _blocks(entries: Array) -> Iterable[Array]:
    return (entries[start : start + BLOCK] for start in range(0, len(entries), BLOCK))


@lru_cache(maxsize=64)
def _bins(block: int) -> NDArray[np.uint8]:
    """For each entry of a block twice its sum, plus one where it is subtracted."""
    stream = hashlib.shake_128(f"{_SEED}{block}".encode("ascii")).digest(BLOCK)
    return np.frombuffer(stream, np.uint8) & np.uint8(2 * SUMS - 1)


def _numbers(text: str) -> Array:
    return np.frombuffer(b64decode(text), "<f4").astype(np.float64)
