"""What a delta remembers of one site: the hashes of its base and of its result, in each dtype it may come in, and a
sketch of the base that tells how far other weights are from it."""

from __future__ import annotations

from math import prod

import numpy as np

from editc.ir import Array, Factors, Site, SiteRecord
from editc.numerics import dtypes, sketch
from editc.numerics.arithmetic import patched

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
    return SiteRecord(site, base_of, flipped_of, result_of, sketch.sketch(stored.T if site.transposed else stored))


def edited(raw: bytes, dtype: str, site: Site, factors: Factors, k: int) -> bytes:
    """The edited tensor's bytes from its stored bytes: float64 arithmetic, one rounding to the same dtype."""
    stored = dtypes.decode(raw, dtype, stored_shape(site))
    return dtypes.encode(patched_as_stored(stored, site.transposed, factors, k), dtype)


def patched_site(W: Array, factors: Factors, k: int) -> Array:
    """The edited weight of site `factors.sites[k]`, (d_out, d_in), in float64."""
    left = factors.left[0 if factors.form == "shared" else k]
    right = factors.right[k if len(factors.right) > 1 else 0] if factors.right else None
    return patched(W, factors.form, left, right)


def patched_as_stored(stored: Array, transposed: bool, factors: Factors, k: int) -> Array:
    """`patched_site` for a tensor as the file holds it: (d_in, d_out) when `transposed`, else (d_out, d_in)."""
    if not transposed:
        return patched_site(stored, factors, k)
    return np.ascontiguousarray(patched_site(stored.T, factors, k).T)
