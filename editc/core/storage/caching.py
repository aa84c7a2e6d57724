"""Results that are cached between builds: their keys, and how they are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from editc.core.delta import Array
from editc.core.ports import Cache

LAYOUT = "tally 2"
"""Part of every key of `load_or_compute`. Change it when what is computed and cached from texts changes."""


def cache_key(*parts: str) -> str:
    """sha256 over the parts, each preceded by its length. Together the parts must name everything that the result
    depends on."""
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def environments_elsewhere(cache: Cache | None) -> tuple[str, ...]:
    """The other environments (libraries, processor, threads) in which entries were computed that a build used. Only
    imported entries are; none for a cache that imports nothing."""
    return tuple(sorted(getattr(cache, "borrowed", ())))


def refused_entries(cache: Cache | None) -> tuple[str, ...]:
    """The files of entries that a build found damaged, or that held something else than their names say; it removed
    them, and computed anew what they should have held."""
    return tuple(sorted(getattr(cache, "refused", ())))


def text_key(texts: Sequence[str], what: str, mark: str) -> str:
    """The key of `load_or_compute` for the same arguments."""
    return cache_key(LAYOUT, what, mark, *texts)


def is_cached(texts: Sequence[str], what: str, cache: Cache | None, mark: str) -> bool:
    """Whether `load_or_compute` would find the result for the same arguments in the cache."""
    return cache is not None and bool(mark) and cache.has(text_key(texts, what, mark))


def load_or_compute(
    texts: Sequence[str],
    what: str,
    compute: Callable[[], Mapping[str, Array]],
    cache: Cache | None,
    mark: str,
    kind: str = "",
    names: Iterable[str] = (),
) -> Mapping[str, Array]:
    """Returns the arrays of `compute`, by name and in their shapes, from the cache where they are there.

    `texts` are what is computed from, `what` names the computation, and `mark` names everything else that the result
    depends on, such as an encoder. With an empty mark nothing is cached. `kind` says in plain words what the entry
    holds, `names` which arrays `compute` returns: an entry without one of them is not used.
    """
    if cache is None or not mark:
        return compute()
    key = text_key(texts, what, mark)
    found = cache.get(key, names)
    if found is None:
        found = compute()
        cache.put(key, found, kind)
    return found
