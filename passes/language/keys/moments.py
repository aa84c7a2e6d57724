"""The second moment of what each matrix of a language model reads in ordinary text. It is computed once for a model
and a corpus, and then cached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.network import Network, SecondMoment
from editc.core.ports import Cache
from editc.core.prompts import Spot
from editc.core.storage.caching import cache_key

SHORTEST_PARAGRAPH = 200
"""The least number of characters of a paragraph of the corpus. Chosen by hand: it leaves out headings and examples."""
TOKENS_PER_COORDINATE = 5.0
"""How many tokens of text are read for each coordinate of a matrix's input. Measured: from 3.3 tokens on no figure of
an edit changes any more, with a ridge from 1.3 on."""
CHARACTERS_PER_TOKEN = 12
"""How many characters of the corpus are sampled for each token that is asked for, so that a large file is not tokenised
to its end. That is about three times what a token takes, so that the tokens suffice. Chosen by hand."""
LAYOUT = "moment 1"
"""Part of each cache key: change it whenever the computation changes."""


def corpus(text: str | None = None) -> tuple[str, ...]:
    """The long paragraphs of a text, each once: those of at least SHORTEST_PARAGRAPH characters, or all of them if none
    is so long. `text` None: the text of Python's own help, which every Python has and which differs a little from
    version to version.

    Raises LookupError for a text without any words.
    """
    text = _help_topics() if text is None else text
    found = tuple(dict.fromkeys(" ".join(one.split()) for one in text.replace("\r\n", "\n").split("\n\n")))
    long = tuple(one for one in found if len(one) >= SHORTEST_PARAGRAPH) or tuple(one for one in found if one)
    if not long:
        raise LookupError("the corpus has no text")
    return long


def moments(
    network: Network, names: Sequence[str], texts: Sequence[str], cache: Cache | None = None, tokens: int = 0
) -> Mapping[str, SecondMoment]:
    """Matrix name -> second moment of what the matrix reads over the texts, without a ridge. The model runs once, for
    all matrices that the cache does not have.

    `tokens`: how many tokens are read; 0 for TOKENS_PER_COORDINATE times the widest input of these matrices.
    """
    count = tokens or round(TOKENS_PER_COORDINATE * max(map(len, network.read_keys(names, [Spot("a")]).values())))
    chosen = sample_texts(texts, CHARACTERS_PER_TOKEN * count)
    keys = {name: _cache_key(network, name, chosen, count) for name in names}
    cached = {name: found for name in names if (found := _read_cache(cache, keys[name])) is not None}
    lacking = [name for name in names if name not in cached]
    fresh = network.moments(lacking, chosen, count) if lacking else {}
    for name, moment in fresh.items():
        if cache is not None:
            arrays = {"second": moment.second, "count": np.array([moment.count], np.float64)}
            cache.put(keys[name], arrays, "second moments of a corpus")
    return {name: cached.get(name) or fresh[name] for name in names}


def sample_texts(texts: Sequence[str], characters: int) -> tuple[str, ...]:
    """Some of the texts, at even steps: as many as have about `characters` characters together, at least one."""
    total = sum(map(len, texts))
    count = max(1, min(len(texts), round(len(texts) * characters / max(total, 1))))
    return tuple(texts[i * len(texts) // count] for i in range(count))


def _help_topics() -> str:
    """The text of Python's own help, topic by topic."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _read_cache(cache: Cache | None, key: str) -> SecondMoment | None:
    """The cached moment, or None."""
    found = None if cache is None else cache.get(key, ["second", "count"])
    return None if found is None else SecondMoment(np.asarray(found["second"]), int(found["count"][0]))


def _cache_key(network: Network, name: str, texts: Sequence[str], tokens: int) -> str:
    """The cache key of one matrix's moment: it changes with the model, the matrix, the texts and their number."""
    return cache_key(LAYOUT, network.fingerprint(), name, str(tokens), *texts)
