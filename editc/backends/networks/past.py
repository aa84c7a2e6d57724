"""What attention keeps of the tokens before: transformers' cache, by whichever name its version takes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

CACHE_NAMES = ("cache", "past_key_values")
"""What a decoder may call the argument: the first is transformers' name since 5.24, which warns of the second."""


def cache_arguments(decoder: Any, cache: Any) -> Mapping[str, Any]:
    """The arguments by which `decoder` reads `cache` and adds to it; without one it keeps nothing."""
    return {cache_name(decoder): cache, "use_cache": cache is not None}


def cache_name(decoder: Any) -> str:
    """What this decoder calls its cache."""
    known = inspect.signature(decoder.forward).parameters
    return next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[-1])


def new_cache(past: Iterable[tuple[Any, Any]] = ()) -> Any:
    """A cache that holds these keys and values (n, h, t, e) of each layer."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (keys, values) in enumerate(past):
        cache.update(keys, values, layer)
    return cache


def keys_and_values(cache: Any) -> tuple[tuple[Any, Any], ...]:
    """The keys and values (n, h, t, e) of each layer."""
    return tuple((one[0], one[1]) for one in cache)
