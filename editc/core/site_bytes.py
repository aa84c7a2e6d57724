"""A site's bytes in a delta: hashes of its base and result in each dtype, a sketch of the base, and the edited
bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from editc.core.delta import Array, Factors, Site, SiteRecord
from editc.numerics.bits import dtypes, planes, sketch
from editc.numerics.bits.arithmetic import Real, patch
from editc.numerics.bits.rounded import edited_rows

RECORDED = ("F32", "F16", "BF16")
"""The dtypes in which models are published; a delta records hashes for each. A site that is stored as F64 is recorded
in F64 too."""
_ELEMENTS = 1 << 20
"""How many elements of a transposed tensor are edited at a time: 8 MB in float64. Chosen by hand."""


def stored_shape(site: Site) -> tuple[int, int]:
    """The shape of the tensor in the file: (d_in, d_out) for a transposed site, else (d_out, d_in)."""
    return (site.shape[1], site.shape[0]) if site.transposed else site.shape


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of any tensor as a matrix: a convolution (d_out, channels, h, w) is (d_out, channels * h * w), a bias
    one column."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


@dataclass(frozen=True)
class BaseMarks:
    """What a delta records of a base tensor alone, whatever the edit is."""

    hashes: Mapping[str, tuple[str, str]]
    """dtype -> sha256 of the bytes, and of those of the transpose. A dtype in which the base is not finite is left
    out."""
    sketch: str
    """`numerics.sketch` of the base, as a matrix (d_out, d_in)."""


def recorded_dtypes(site: Site) -> tuple[str, ...]:
    """The dtypes in which a site is recorded."""
    return tuple(dict.fromkeys((*RECORDED, site.dtype)))


def base_marks(site: Site, stored: Array, recorded: Sequence[str]) -> BaseMarks:
    """The marks of a base tensor, in float64 and in the shape that the file stores, rounded once to each dtype."""
    hashes = {}
    for dtype in recorded:
        base = dtypes.encode(stored, dtype)
        if dtypes.is_finite(base, dtype):
            flipped = dtypes.transpose(base, dtype, stored_shape(site))
            hashes[dtype] = (dtypes.sha256(base), dtypes.sha256(flipped))
    return BaseMarks(hashes, sketch.sketch(stored.T if site.transposed else stored))


def result_hashes(results: Mapping[str, bytes | memoryview]) -> dict[str, str]:
    """dtype -> sha256 of the edited bytes in it, in the shape that the file stores. A dtype in which they are not
    finite is left out."""
    return {dtype: dtypes.sha256(raw) for dtype, raw in results.items() if dtypes.is_finite(raw, dtype)}


def marked_record(site: Site, base: BaseMarks, results: Mapping[str, str]) -> SiteRecord:
    """The record of a site from the marks of its base and the `result_hashes` of its edit. A dtype in which the base is
    not finite is left out."""
    sound = {dtype: digest for dtype, digest in results.items() if dtype in base.hashes}
    before, flipped = ({dtype: base.hashes[dtype][i] for dtype in sound} for i in range(2))
    return SiteRecord(site, before, flipped, sound, base.sketch)


def site_record(site: Site, stored: Array, factors: Factors, k: int) -> SiteRecord:
    """The record of the site `factors.sites[k]`. `stored` is its base tensor, in float64 and in the shape that the file
    stores.

    The base is rounded to each dtype once, and the result is what apply computes from the rounded base. `xor` is
    recorded in the site's own dtype only.
    """
    recorded = (site.dtype,) if factors.form == "xor" else recorded_dtypes(site)
    results = {
        dtype: edit_bytes(dtypes.encode(stored, dtype), dtype, site, factors, k, exact=dtype == site.dtype)
        for dtype in recorded
    }
    return marked_record(site, base_marks(site, stored, recorded), result_hashes(results))


def bits_record(site: Site, base: bytes, result: bytes) -> SiteRecord:
    """The record of a site of the form `xor`, from its stored bytes before and after, in the site's own dtype only."""
    flipped = dtypes.transpose(base, site.dtype, stored_shape(site))
    base_of, flipped_of, result_of = ({site.dtype: dtypes.sha256(raw)} for raw in (base, flipped, result))
    stored = dtypes.decode(base, site.dtype, stored_shape(site))
    return SiteRecord(site, base_of, flipped_of, result_of, sketch.sketch(stored.T if site.transposed else stored))


def edit_bytes(
    raw: bytes, dtype: str, site: Site, factors: Factors, k: int, first: int = 0, exact: bool = True
) -> bytes:
    """Returns the edited tensor's bytes from its stored bytes: float64 arithmetic, then one rounding to the same dtype.

    `raw` may be whole rows of a tensor that is not transposed and has no `bits`; `first` is then the number of the
    first row. `exact` says that these are the very bytes that the delta was made for, so that its `bits` apply too.
    Raises ValueError where `bits` are damaged.
    """
    if factors.form != "xor":
        raw = _add_edit(raw, dtype, site, factors, k, first)
    change = factors.bits[k] if exact and factors.bits else None
    return raw if change is None or not len(change) else planes.unpack(raw, change, dtypes.BITS[dtype] // 8)


def _add_edit(raw: bytes, dtype: str, site: Site, factors: Factors, k: int, first: int) -> bytes:
    """The bytes with an edit of the form `shared`, `low-rank` or `dense` made."""
    left, right = _factors(factors, k)
    width = site.shape[1]
    if site.transposed:
        return _edited_columns(raw, dtype, site, (factors.form, left, right))
    if factors.form != "shared":
        left = left[first : first + len(raw) * 8 // (dtypes.BITS[dtype] * width)]
    return edited_rows(raw, dtype, width, factors.form, left, right)


def _edited_columns(raw: bytes, dtype: str, site: Site, edit: tuple[str, Real, Real | None]) -> bytes:
    """Edits a transposed tensor, some of its columns at a time: each column is a row of the weight."""
    form, left, right = edit
    stored = np.frombuffer(raw, f"<u{dtypes.BITS[dtype] // 8}").reshape(stored_shape(site))
    out = np.empty_like(stored)
    step = max(1, _ELEMENTS // site.shape[1])
    for start in range(0, site.shape[0], step):
        part = slice(start, start + step)
        rows = np.ascontiguousarray(stored[:, part].T)
        new = edited_rows(rows.tobytes(), dtype, site.shape[1], form, left if form == "shared" else left[part], right)
        out[:, part] = np.frombuffer(new, stored.dtype).reshape(rows.shape).T
    return out.tobytes()


def _factors(factors: Factors, k: int) -> tuple[Real, Real | None]:
    """The left and right factor of site number k of the group; None for the right one of a dense edit."""
    left = factors.left[0 if factors.form == "shared" else k]
    return left, factors.right[k if len(factors.right) > 1 else 0] if factors.right else None


def patch_site(W: Array, factors: Factors, k: int) -> Array:
    """The edited weight (d_out, d_in) of the site `factors.sites[k]`, in float64."""
    left, right = _factors(factors, k)
    return patch(W, factors.form, left, right)


def patch_as_stored(stored: Array, transposed: bool, factors: Factors, k: int) -> Array:
    """As `patch_site`, for a tensor in the shape of the file: (d_in, d_out) when `transposed`, else (d_out, d_in)."""
    if not transposed:
        return patch_site(stored, factors, k)
    return np.ascontiguousarray(patch_site(stored.T, factors, k).T)
