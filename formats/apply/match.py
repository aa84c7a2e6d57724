"""Compare the bytes of a tensor with the hashes of a delta."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from editc.core.delta import SiteRecord
from editc.formats.apply import quantised
from editc.formats.apply.target import State
from editc.formats.models.model import Tensor
from editc.numerics.bits import dtypes


def match(record: SiteRecord, tensor: Tensor, raw: bytes, recorded: frozenset[str] = frozenset()) -> tuple[State, str]:
    """Say what the bytes of one tensor are for a delta, and give the sha256 of the result if it is known, else ''.

    `recorded`: hashes that the journal records as results of this delta on this model.
    """
    stored, dtype = dtypes.sha256(raw), tensor.dtype
    raw = tensor.from_file(raw)
    now = dtypes.sha256(raw) if tensor.flipped else stored
    known = match_hash(record, dtype, now, frozenset({now}) if stored in recorded else frozenset())
    if known is None and quantised.is_requantisable(dtype):
        return "requantised", ""
    return known or (match_cast(record, dtype, [raw]), "")


def match_hash(
    record: SiteRecord, dtype: str, now: str, recorded: frozenset[str] = frozenset()
) -> tuple[State, str] | None:
    """Do what `match` does by the sha256 of the bytes alone. None if they are neither base nor result."""
    base, result = record.base.get(dtype, ""), record.result.get(dtype, "")
    if now == base == result:
        return "unchanged", result
    if now == result or now in recorded:
        return "already", now
    if now == base:
        return ("exact" if dtype == record.site.dtype else "cast"), result
    return None


def match_cast(record: SiteRecord, dtype: str, raw: Iterable[bytes]) -> State:
    """Say whether the bytes are the delta's base or result in another dtype.

    Two cases count. The tensor was widened: converting it back to the narrower dtype loses nothing. Or the tensor is a
    wider original: it becomes the base when converted to the dtype that the delta was made for. Returns `refused`
    otherwise.
    """
    others = [d for d in sorted(record.base.keys() - {dtype}) if record.result[d] != record.base[d]]
    hashes, lossless = {other: hashlib.sha256() for other in others}, set(others)
    for piece in raw if others else ():
        values = dtypes.decode(piece, dtype, (-1,))
        for other in others:
            narrow = dtypes.encode(values, other)
            hashes[other].update(narrow)
            if other in lossless and not (dtypes.decode(narrow, other, values.shape) == values).all():
                lossless.remove(other)
    for other in others:
        now = hashes[other].hexdigest()
        if (other in lossless or other == record.site.dtype) and now in (record.result[other], record.base[other]):
            return "already" if now == record.result[other] else "cast"
    return "refused"
