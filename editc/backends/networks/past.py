"""Keys and values of earlier tokens, in transformers' cache, by the name that the installed version gives it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

CACHE_NAMES = ("cache", "past_key_values")
"""Names of the cache among a decoder's arguments. The first is transformers' since 5.24, which warns of the second."""


def cache_arguments(decoder: Any, cache: Any) -> Mapping[str, Any]:
    """Return the arguments with which `decoder` reads `cache` and adds to it. With None, the decoder keeps nothing."""
    return {cache_name(decoder): cache, "use_cache": cache is not None}


def cache_name(decoder: Any) -> str:
    """Return the name of the cache among the arguments of this decoder."""
    known = inspect.signature(decoder.forward).parameters
    return next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[-1])


def new_cache(past: Iterable[tuple[Any, Any]] = ()) -> Any:
    """Make a cache with these keys and values (n, h, t, e) of each layer."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (keys, values) in enumerate(past):
        cache.update(keys, values, layer)
    return cache


def keys_and_values(cache: Any) -> tuple[tuple[Any, Any], ...]:
    """Return the keys and values (n, h, t, e) of each layer."""
    return tuple((one[0], one[1]) for one in cache)
