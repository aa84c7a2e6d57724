"""What a language model's matrices read in ordinary text: the second moment, computed once for a model and a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.caching import cache_key
from editc.core.network import Network, SecondMoment, Spot
from editc.core.ports import Cache

SHORTEST = 200
"""Characters that a paragraph has at least."""
SHARE = 5.0
"""Tokens for each coordinate of what a matrix reads. Measured: from 3.3 tokens on no figure of an edit moves, and
with a ridge from 1.3."""
SPARE = 12
"""Characters of the corpus for each token asked for: what a tokenizer makes of text is a third of that, and a large
file need not be read to its end token by token."""
LAYOUT = "moment 1"
"""Goes into the key of what is cached: to be changed with what is computed."""


def corpus(text: str | None = None) -> tuple[str, ...]:
    """The paragraphs of a text, of those that are long enough; without one, of the topics of Python's own help, which
    every Python has; of a text without any, all of it. LookupError where there is none.

    What Python's help says differs a little from one Python to the next.
    """
    text = _topics() if text is None else text
    found = tuple(dict.fromkeys(" ".join(one.split()) for one in text.replace("\r\n", "\n").split("\n\n")))
    long = tuple(one for one in found if len(one) >= SHORTEST) or tuple(one for one in found if one)
    if not long:
        raise LookupError("the corpus has no text")
    return long


def moments(
    network: Network, names: Sequence[str], texts: Sequence[str], cache: Cache | None = None, tokens: int = 0
) -> Mapping[str, SecondMoment]:
    """The second moment of what each matrix reads over the texts, in one pass for those that the cache does not have.

    tokens: how many are read; 0 for SHARE times the widest input, which a first prompt tells. No ridge is added.
    """
    count = tokens or round(SHARE * max(map(len, network.reads(names, [Spot("a")]).values())))
    chosen = sample_texts(texts, SPARE * count)
    keys = {name: _key(network, name, chosen, count) for name in names}
    kept = {name: found for name in names if (found := _read_cache(cache, keys[name])) is not None}
    lacking = [name for name in names if name not in kept]
    fresh = network.moments(lacking, chosen, count) if lacking else {}
    for name, moment in fresh.items():
        if cache is not None:
            cache.put(keys[name], {"second": moment.second, "count": np.array([moment.count], np.float64)})
    return {name: kept.get(name) or fresh[name] for name in names}


def sample_texts(texts: Sequence[str], characters: int) -> tuple[str, ...]:
    """Texts taken at even steps, as many as hold about so many characters together."""
    total = sum(map(len, texts))
    count = max(1, min(len(texts), round(len(texts) * characters / max(total, 1))))
    return tuple(texts[i * len(texts) // count] for i in range(count))


def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _read_cache(cache: Cache | None, key: str) -> SecondMoment | None:
    found = None if cache is None else cache.get(key)
    return None if found is None else SecondMoment(np.asarray(found["second"]), int(found["count"][0]))


def _key(network: Network, name: str, texts: Sequence[str], tokens: int) -> str:
    return cache_key(LAYOUT, network.fingerprint(), name, str(tokens), *texts)
