"""Results that are kept from one build to the next: the keys that they stand under, and looking them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from editc.core.delta import Array
from editc.core.ports import Cache

LAYOUT = "tally 2"
"""Goes into the keys of `load_or_compute`: to be changed with what is computed from texts and cached."""


def cache_key(*parts: str) -> str:
    """sha256 over the parts, each with its length before it; between them they name all that a result depends on."""
    told = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        told.update(len(data).to_bytes(8, "little") + data)
    return told.hexdigest()


def load_or_compute(
    texts: Sequence[str], what: str, compute: Callable[[], Mapping[str, Array]], cache: Cache | None, mark: str
) -> Mapping[str, Array]:
    """What `compute` makes of these texts, from the cache where it is there.

    `what` names the computation, `mark` whatever else the result depends on; with an empty mark nothing is cached.
    """
    if cache is None or not mark:
        return compute()
    key = cache_key(LAYOUT, what, mark, *texts)
    found = cache.get(key)
    if found is None:
        found = compute()
        cache.put(key, found)
    return found
