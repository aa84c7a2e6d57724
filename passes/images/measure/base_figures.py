"""What is measured of the weights before an edit: sum_l W_l^T W_l, and |W_l P|^2 for the rows P of each list.

It depends on no edit, so it is computed in one pass over the weights and cached under their hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from editc.core.delta import Array
from editc.core.problem import System
from editc.core.storage.caching import cache_key
from editc.numerics.chain import ArrayCache
from editc.numerics.squares import half_gram, mirror, trace_of_product
from editc.passes.stored import SiteWeights

WIDE = 512
"""The least d_in whose figures are cached, and whose rounding is summed in float32 (`wide_rows`). Chosen by hand: below
it a build takes a second or two at most."""
VERSION = "base figures 1"
"""Part of every cache key. Change it whenever the computation changes."""


@dataclass(frozen=True, eq=False)
class BaseFigures:
    """What is known of the weights of one system."""

    gram: Array
    """sum_l W_l^T W_l (d, d)."""
    squares: Mapping[str, Array]
    """Hash of a moment P P^T -> |W_l P|^2 of each layer (sites,)."""


def is_wide(system: System) -> bool:
    """True where the layers of a system are so wide that figures of the base are worth keeping."""
    return len(system.preserved.moment) >= WIDE


def moment_hash(moment: Array) -> str:
    """Return the name of a moment (d, d)."""
    return sha256(np.ascontiguousarray(moment).data).hexdigest()


def weights_digest(system: System) -> str:
    """Return a hash of the weights of a system. Empty where they have none, and nothing of them is cached."""
    return system.weights.digest() if isinstance(system.weights, SiteWeights) else ""


def with_base_figures(system: System, cache: ArrayCache | None) -> System:
    """Return the system with its gram and with the squares of the preserved lists."""
    found = base_figures(system, system.preserved.moments, cache)
    return replace(system, gram=found.gram, squares=found.squares)


def base_figures(system: System, moments: Sequence[Array], cache: ArrayCache | None) -> BaseFigures:
    """Return the gram, and the squares for `moments` (d, d); what neither the system nor the cache has is computed in
    one pass over the weights."""
    named = {moment_hash(moment): moment for moment in moments}
    digest = weights_digest(system)
    key = cache_key(VERSION, digest) if digest else ""
    store = cache if key else None
    gram, squares = (
        system.gram,
        {**system.squares, **dict(_load(store, key, [n for n in named if n not in system.squares]))},
    )
    if gram is None and store is not None and (kept := store.get(key, ["gram"])) is not None:
        gram = np.ascontiguousarray(kept["gram"])
    missing = [name for name in named if name not in squares]
    if gram is not None and not missing:
        return BaseFigures(gram, squares)
    total, found = np.zeros_like(system.preserved.moment), []
    for W in system.weights:
        half = half_gram(np.asarray(W))
        total += half
        found.append([trace_of_product(half, named[name]) for name in missing])
    columns = np.reshape(found, (len(found), len(missing))).T
    new = dict(zip(missing, columns, strict=True))
    if store is not None:
        for name, column in new.items():
            store.put(f"{key} {name}", {"squares": column}, "figures of weights")
    if gram is None:
        gram = mirror(total)
        if store is not None:
            store.put(key, {"gram": gram}, "figures of weights")
    return BaseFigures(gram, {**squares, **new})


def _load(cache: ArrayCache | None, key: str, names: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """Yield the squares that the cache has."""
    for name in names if cache is not None else ():
        found = cache.get(f"{key} {name}", ["squares"]) if cache is not None else None
        if found is not None:
            yield name, found["squares"]
