"""The records of edited sites, made while they are measured. What they say of the base is cached by its hash, what they
say of the result by the hashes of base and edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from editc.core.delta import Array, Site, SiteRecord
from editc.core.site_bytes import BaseMarks, base_marks, marked_record, recorded_dtypes, result_hashes
from editc.core.storage.caching import cache_key
from editc.numerics.bits import dtypes
from editc.numerics.chain import ArrayCache
from editc.passes.stored import as_in_file

VERSION, RESULTS_VERSION = "base marks 1", "result hashes 1"
"""Parts of cache keys. Change them whenever hashes or sketches change."""
LEAST_ELEMENTS = 1 << 16
"""Elements of a tensor whose marks are cached. Chosen by hand: of fewer they cost less than a file of the cache."""


@dataclass(frozen=True)
class Recorder:
    """Makes the record of each site that is measured."""

    cache: ArrayCache | None
    """Where the marks of bases are kept between builds."""
    records: dict[str, SiteRecord] = field(default_factory=dict)
    """Parameter name -> its record."""

    def known_results(self, site: Site, digest: str, edit: str) -> dict[str, str]:
        """The `result_hashes` of a site that were found before. Empty where they are not known.

        `digest` is the sha256 of the base's stored bytes, `edit` a hash of the edit.
        """
        store = self._store(site)
        found = store.get(_key(RESULTS_VERSION, site, digest, edit)) if store is not None else None
        return {} if found is None else {dtype: _text(numbers) for dtype, numbers in found.items()}

    def hash_results(
        self, site: Site, digest: str, edit: str, results: Mapping[str, bytes | memoryview]
    ) -> dict[str, str]:
        """The `result_hashes` of a site, which are kept. `results` has the edited bytes in each dtype, in the order of
        (d_out, d_in)."""
        if site.transposed:
            results = {dtype: dtypes.transpose(raw, dtype, site.shape) for dtype, raw in results.items()}
        found, store = result_hashes(results), self._store(site)
        if store is not None and found:
            arrays = {dtype: _numbers(one) for dtype, one in found.items()}
            store.put(_key(RESULTS_VERSION, site, digest, edit), arrays, "hashes of edited weights")
        return found

    def add(self, site: Site, W: Array, digest: str, results: Mapping[str, str]) -> None:
        """Add the record of one site. W (d_out, d_in) is its base, whose stored bytes have the sha256 `digest`, and
        `results` are the hashes of its edit."""
        self.records[site.name] = marked_record(site, self._marks(site, W, digest), results)

    def _store(self, site: Site) -> ArrayCache | None:
        """The cache, for sites that are large enough."""
        return self.cache if prod(site.shape) >= LEAST_ELEMENTS else None

    def _marks(self, site: Site, W: Array, digest: str) -> BaseMarks:
        recorded = recorded_dtypes(site)
        store, key = self._store(site), _key(VERSION, site, digest)
        found = store.get(key, ["sketch"]) if store is not None else None
        if found is not None:
            return BaseMarks({d: _hashes(found[d]) for d in recorded if d in found}, _text(found["sketch"]))
        marks = base_marks(site, as_in_file(site, W), recorded)
        if store is not None:
            arrays = {dtype: _numbers("".join(pair)) for dtype, pair in marks.hashes.items()}
            store.put(key, {**arrays, "sketch": _numbers(marks.sketch)}, "hashes of weights")
        return marks


def _key(version: str, site: Site, *digests: str) -> str:
    """Return the key under which something of a site is cached."""
    return cache_key(version, site.dtype, repr((site.shape, site.transposed)), *digests)


def _numbers(text: str) -> Array:
    """Return a text of ASCII as an array, for the cache."""
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.float64)


def _text(numbers: Array) -> str:
    return numbers.astype(np.uint8).tobytes().decode("ascii")


def _hashes(numbers: Array) -> tuple[str, str]:
    text = _text(numbers)
    return text[: len(text) // 2], text[len(text) // 2 :]
