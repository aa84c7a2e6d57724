"""The records of edited sites, made while they are measured; what they say of the base is cached by its hash."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from editc.core.caching import cache_key
from editc.core.delta import Array, Site, SiteRecord
from editc.core.site_bytes import BaseMarks, base_marks, marked_record, recorded_dtypes
from editc.numerics.bits import dtypes
from editc.numerics.chain import ArrayCache
from editc.passes.stored import as_in_file

VERSION = "base marks 1"
"""Part of every cache key. Change it whenever hashes or sketches change."""
LEAST_ELEMENTS = 1 << 16
"""Elements of a tensor whose marks are cached. Chosen by hand: of fewer they cost less than a file of the cache."""


@dataclass(frozen=True)
class Recorder:
    """Makes the record of each site that is measured."""

    cache: ArrayCache | None
    """Where the marks of bases are kept between builds."""
    records: dict[str, SiteRecord] = field(default_factory=dict)
    """Parameter name -> its record."""

    def add(self, site: Site, W: Array, digest: str, results: dict[str, bytes]) -> None:
        """Add the record of one site. W (d_out, d_in) is its base, whose stored bytes have the sha256 `digest`, and
        `results` has the edited bytes in each dtype, in the order of (d_out, d_in)."""
        if site.transposed:
            results = {dtype: dtypes.transpose(raw, dtype, site.shape) for dtype, raw in results.items()}
        self.records[site.name] = marked_record(site, self._marks(site, W, digest), results)

    def _marks(self, site: Site, W: Array, digest: str) -> BaseMarks:
        recorded = recorded_dtypes(site)
        store = self.cache if W.size >= LEAST_ELEMENTS else None
        key = cache_key(VERSION, site.dtype, repr((site.shape, site.transposed)), digest)
        found = store.get(key) if store is not None else None
        if found is not None:
            return BaseMarks({d: _hashes(found[d]) for d in recorded if d in found}, _text(found["sketch"]))
        marks = base_marks(site, as_in_file(site, W), recorded)
        if store is not None:
            arrays = {dtype: _numbers("".join(pair)) for dtype, pair in marks.hashes.items()}
            store.put(key, {**arrays, "sketch": _numbers(marks.sketch)}, "hashes of weights")
        return marks


def _numbers(text: str) -> Array:
    """Return a text of ASCII as an array, for the cache."""
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.float64)


def _text(numbers: Array) -> str:
    return numbers.astype(np.uint8).tobytes().decode("ascii")


def _hashes(numbers: Array) -> tuple[str, str]:
    text = _text(numbers)
    return text[: len(text) // 2], text[len(text) // 2 :]
