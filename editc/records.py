"""What a delta remembers of one site: the hashes of its base and of its result, in each dtype it may come in."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.ir import Array, Factors, Site, SiteRecord
from editc.numerics import dtypes
from editc.numerics.arithmetic import patched

Narrow: TypeAlias = NDArray[np.float32]
PART = 1 << 20
"""Elements of a tensor that are edited at a time: what is in memory besides a tensor's bytes is some 50 MB."""
RECORDED = ("F32", "F16", "BF16")
"""The dtypes in which models are published. A site stored as F64 is recorded in F64 too."""


def stored_shape(site: Site) -> tuple[int, int]:
    """The tensor's shape in the file: (d_in, d_out) for a transposed site, else (d_out, d_in)."""
    return (site.shape[1], site.shape[0]) if site.transposed else site.shape


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A convolution's (d_out, channels, h, w) as the matrix (d_out, channels h w) that it is; others as they are."""
    return (shape[0], prod(shape[1:])) if len(shape) == 4 else shape


def site_record(site: Site, stored: Array, factors: Factors, k: int) -> SiteRecord:
    """The record of site `factors.sites[k]`, whose base tensor is `stored`, as the file holds it, in float64.

    For each dtype the base is cast to it once, and the result is what apply computes from the cast weights. A dtype
    in which the base or the result is not finite is left out.
    """
    shape = stored_shape(site)
    hashes: dict[str, tuple[str, str, str]] = {}
    for dtype in (*RECORDED, *(["F64"] if site.dtype == "F64" else [])):
        base = dtypes.encode(stored, dtype)
        result = edited(base, dtype, site, factors, k)
        if dtypes.is_finite(base, dtype) and dtypes.is_finite(result, dtype):
            flipped = dtypes.transposed(base, dtype, shape)
            hashes[dtype] = (dtypes.sha256(base), dtypes.sha256(flipped), dtypes.sha256(result))
    base_of, flipped_of, result_of = ({d: h[i] for d, h in hashes.items()} for i in range(3))
    return SiteRecord(site, base_of, flipped_of, result_of)


def edited(raw: bytes, dtype: str, site: Site, factors: Factors, k: int) -> bytes:
    """The edited tensor's bytes from its stored bytes: float64 arithmetic, one rounding to the same dtype."""
    if site.transposed:
        stored = dtypes.decode(raw, dtype, stored_shape(site))
        return dtypes.encode(patched_as_stored(stored, True, factors, k), dtype)
    return b"".join(_edited_rows(raw, dtype, site, factors, k))


def _edited_rows(raw: bytes, dtype: str, site: Site, factors: Factors, k: int) -> Iterator[bytes]:
    """The edited rows, some at a time: how they are cut makes no difference to a bit of them (numerics.arithmetic)."""
    rows, width = site.shape
    left, right = _pair(factors, k)
    step, size = max(1, PART // max(1, width)), len(raw) // max(1, rows)
    for start in range(0, rows, step):
        end = min(rows, start + step)
        W = dtypes.decode(raw[start * size : end * size], dtype, (end - start, width))
        mine = left if factors.form == "shared" else left[start:end]
        yield dtypes.encode(patched(W, factors.form, mine, right), dtype)


def patched_site(W: Array, factors: Factors, k: int) -> Array:
    """The edited weight of site `factors.sites[k]`, (d_out, d_in), in float64."""
    left, right = _pair(factors, k)
    return patched(W, factors.form, left, right)


def _pair(factors: Factors, k: int) -> tuple[Narrow, Narrow | None]:
    """The two factors of one site; no right of a dense edit."""
    right = factors.right[k if len(factors.right) > 1 else 0] if factors.right else None
    return factors.left[0 if factors.form == "shared" else k], right


def patched_as_stored(stored: Array, transposed: bool, factors: Factors, k: int) -> Array:
    """`patched_site` for a tensor as the file holds it: (d_in, d_out) when `transposed`, else (d_out, d_in)."""
    if not transposed:
        return patched_site(stored, factors, k)
    return np.ascontiguousarray(patched_site(stored.T, factors, k).T)
