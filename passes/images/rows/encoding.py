"""Encoded prompts, cached between builds, with one cache entry for the prompts of each name.

The prompts of a name are always one call of the encoder, cached or not: the last bits of a prompt's rows may depend on
the other prompts of the call. Where they do not, several names are one call. A target of ten concepts is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np

from editc.core.delta import Array
from editc.core.ports import Cache, EncodedPrompt
from editc.core.storage.caching import is_cached, load_or_compute
from editc.passes.images.rows.grouped import GroupedEncoder
from editc.passes.images.rows.inputs import TextStream
from editc.passes.images.rows.phrases import PromptLookup

LAYOUT = "sentences 1"
"""Part of the cache key. Change it whenever `_pack` or what it packs changes."""


def encode_names(stream: TextStream, names: Sequence[Sequence[str]], cache: Cache | None) -> PromptLookup:
    """Encode prompts, or take them from the cache: those of each name in one call, or in a larger one that gives the
    same rows.

    `names` has the list of prompts of each name. Nothing is cached where the stream has no mark.
    """
    entries: dict[str, EncodedPrompt] = {}
    wanted = list(dict.fromkeys(tuple(dict.fromkeys(one)) for one in names))
    new = [said for said in wanted if not is_cached(said, LAYOUT, cache, stream.mark)]
    stream = replace(stream, encoder=GroupedEncoder(stream.encoder, new))
    for said in wanted:
        entries |= zip(said, _encode(stream, said, cache), strict=True)
    return PromptLookup(entries)


def encode_prompt(stream: TextStream, prompt: str, cache: Cache | None) -> EncodedPrompt:
    """Encode one prompt by itself, or take it from the cache."""
    return next(_encode(stream, [prompt], cache))


def _encode(stream: TextStream, said: Sequence[str], cache: Cache | None) -> Iterator[EncodedPrompt]:
    """Encode the prompts of one name.

    Arrays are packed and unpacked even without a cache, so their layout is the same.
    """

    def rows() -> Mapping[str, Array]:
        return _pack(stream.encoder.encode(said))

    names = ("rows", "places", "sizes")
    return _unpack(said, load_or_compute(said, LAYOUT, rows, cache, stream.mark, "prompts of a name", names))


def _pack(encoded: Sequence[EncodedPrompt]) -> Mapping[str, Array]:
    """Put encoded prompts into three arrays for the cache.

    `rows` (n, d) has the rows of all prompts, one below the other; `places` (n, 3) the token id, start and end of each
    row; `sizes` (prompts, 4) the number of rows, `first`, `limit` and `pooled` of each prompt.
    """
    sizes = [(len(one.rows), one.first, one.limit, one.pooled) for one in encoded]
    places = [place for one in encoded for place in zip(one.tokens, one.start, one.end, strict=True)]
    return {
        "rows": np.vstack([one.rows for one in encoded]),
        "places": np.array(places, np.float64).reshape(-1, 3),
        "sizes": np.array(sizes, np.float64),
    }


def _unpack(said: Sequence[str], found: Mapping[str, Array]) -> Iterator[EncodedPrompt]:
    """Yield the encoded prompts that `_pack` put into arrays."""
    rows = np.ascontiguousarray(found["rows"])
    sizes, places = found["sizes"].astype(int), found["places"].astype(int).tolist()
    ends = accumulate(sizes[:, 0].tolist(), initial=0)
    for prompt, (start, end), (_, first, limit, pooled) in zip(said, pairwise(ends), sizes.tolist(), strict=True):
        tokens, begin, stop = (tuple(part) for part in zip(*places[start:end], strict=True))
        yield EncodedPrompt(prompt, rows[start:end], tokens, begin, stop, first, limit, bool(pooled))
