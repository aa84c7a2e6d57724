"""The rows of sentences that name a concept, kept from one build to the next: a concept that was there is not encoded.

Each name is encoded by itself, all its sentences in one call, whether they are kept or not: what an encoder makes of a
prompt may hang in its last bits on the prompts beside it. Names are shared: a target of ten concepts is encoded
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from editc.core.caching import load_or_compute
from editc.core.delta import Array
from editc.core.ports import Cache, EncodedPrompt
from editc.passes.images.rows.inputs import TextStream
from editc.passes.images.rows.phrases import EncodedPrompts

LAYOUT = "sentences 1"
"""Goes into the key of what is cached: to be changed with what is computed."""


def encode_names(stream: TextStream, names: Sequence[Sequence[str]], cache: Cache | None) -> EncodedPrompts:
    """The book of these prompts, those of each name together; from the cache where the reader's rows can be kept."""
    entries: dict[str, EncodedPrompt] = {}
    for said in dict.fromkeys(tuple(dict.fromkeys(one)) for one in names):
        entries |= zip(said, _encode(stream, said, cache), strict=True)
    return EncodedPrompts(entries)


def _encode(stream: TextStream, said: Sequence[str], cache: Cache | None) -> Iterator[EncodedPrompt]:
    """Unpacked either way, so that every array has the same layout."""
    return _unpack(said, load_or_compute(said, LAYOUT, lambda: _pack(stream.encoder.encode(said)), cache, stream.mark))


def _pack(encoded: Sequence[EncodedPrompt]) -> Mapping[str, Array]:
    """All rows below one another, each with its token and its place, and four numbers a prompt."""
    sizes = [(len(one.rows), one.first, one.limit, one.pooled) for one in encoded]
    places = [place for one in encoded for place in zip(one.tokens, one.start, one.end, strict=True)]
    return {
        "rows": np.vstack([one.rows for one in encoded]),
        "places": np.array(places, np.float64).reshape(-1, 3),
        "sizes": np.array(sizes, np.float64),
    }


def _unpack(said: Sequence[str], found: Mapping[str, Array]) -> Iterator[EncodedPrompt]:
    rows = np.ascontiguousarray(found["rows"])
    sizes, places = found["sizes"].astype(int), found["places"].astype(int).tolist()
    ends = accumulate(sizes[:, 0].tolist(), initial=0)
    for prompt, (start, end), (_, first, limit, pooled) in zip(said, pairwise(ends), sizes.tolist(), strict=True):
        tokens, begin, stop = (tuple(part) for part in zip(*places[start:end], strict=True))
        yield EncodedPrompt(prompt, rows[start:end], tokens, begin, stop, first, limit, bool(pooled))
