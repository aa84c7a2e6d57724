"""The unedited model's answers, cached between builds. They are half of what verify runs a model for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.network import AnswerScores, Continuation, ModelComparison, Network
from editc.core.ports import Cache
from editc.core.prompts import Cloze, Prompt
from editc.core.storage.caching import load_or_compute

LAYOUT = "said 2"
"""Part of each cache key: change it whenever the computation changes."""
UNEDITED = "answers of the unedited model"
"""What `editc cache list` calls these entries."""
BLOCK_CHARACTERS = 1 << 14
"""The characters of text whose states are in memory at a time: some 4,000 tokens, which take 130 MB in a model of width
4,096. Chosen by hand."""


@dataclass(frozen=True)
class BaseModel:
    """The unedited model with a cache of its answers. All answers of one call are one cache entry, because the last
    digits of a figure may depend on what else is in the batch."""

    network: Network
    """The model."""
    cache: Cache | None = None
    """Where answers are cached. None: nowhere."""
    fingerprint: str = ""
    """The model's fingerprint, part of each cache key. '' if nothing is cached."""

    def score(self, asked: Sequence[Cloze]) -> AnswerScores:
        """The log-likelihood of each answer after its prompt, as `Network.score` of the base."""
        keys = [json.dumps([one.prompt, one.answer, one.chat]) for one in asked]
        found = load_or_compute(
            keys,
            f"score {LAYOUT}",
            lambda: _pack_scores(self.network.score(asked)),
            self.cache,
            self.fingerprint,
            UNEDITED,
            ["total", "first", "top", "best", "tokens"],
        )
        best, tokens = (np.asarray(found[name], np.int64) for name in ("best", "tokens"))
        return AnswerScores(found["total"], found["first"], found["top"] > 0, best, tokens)

    def compare(self, texts: Sequence[Prompt], changed: Mapping[str, Array]) -> ModelComparison:
        """Compare the base with the `changed` model over all tokens of the texts, as `Network.compare`. The texts are
        compared in blocks, to bound the memory."""
        parts = [self._compare_block(some, changed) for some in _blocks(texts)]
        return ModelComparison(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(ModelComparison))
        )

    def _compare_block(self, texts: Sequence[Prompt], changed: Mapping[str, Array]) -> ModelComparison:
        """Compare some texts; the base's final states are cached."""

        def final() -> Mapping[str, Array]:
            """The base's states (tokens of all texts, d), and where each text ends."""
            states = self.network.final_states(texts)
            return {
                "states": np.concatenate(states),
                "ends": np.cumsum([len(one) for one in states]).astype(np.float64),
            }

        keys, names = _prompt_keys(texts), ("states", "ends")
        found = load_or_compute(keys, f"final {LAYOUT}", final, self.cache, self.fingerprint, UNEDITED, names)
        base = np.split(found["states"], found["ends"][:-1].astype(int))
        return self.network.compare(texts, changed, base=base)

    def generate(self, prompts: Sequence[Prompt], tokens: int) -> tuple[str, ...]:
        """The base's continuation of each prompt, at most `tokens` tokens long."""
        return tuple(self._cached_json(f"generate {tokens}", prompts, lambda: self.network.generate(prompts, tokens)))

    def generate_tokens(self, prompts: Sequence[Prompt], tokens: int) -> tuple[Continuation, ...]:
        """The base's continuation of each prompt token by token, with the log-probability of each token."""

        def spoken() -> Sequence[Any]:
            """The continuations as JSON values."""
            return [[one.text, one.pieces, one.likely] for one in self.network.generate_tokens(prompts, tokens)]

        found = self._cached_json(f"speak {tokens}", prompts, spoken)
        return tuple(Continuation(text, tuple(pieces), tuple(likely)) for text, pieces, likely in found)

    def _cached_json(self, what: str, prompts: Sequence[Prompt], compute: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """The result of `compute` for the prompts, one JSON value for each prompt, from the cache if it is there.
        `what` tells results of different kinds apart."""

        def encode() -> Mapping[str, Array]:
            """The result as one array of bytes, as the cache holds arrays of float64."""
            return {"text": np.frombuffer(json.dumps(compute()).encode(), np.uint8).astype(np.float64)}

        keys = _prompt_keys(prompts)
        found = load_or_compute(keys, f"{what} {LAYOUT}", encode, self.cache, self.fingerprint, UNEDITED, ["text"])
        result: Sequence[Any] = json.loads(np.asarray(found["text"]).astype(np.uint8).tobytes())
        return result


def _blocks(texts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    """The texts in blocks of at least BLOCK_CHARACTERS characters; the last may be smaller."""
    some: list[Prompt] = []
    for text in texts:
        some.append(text)
        if sum(len(one.text) for one in some) >= BLOCK_CHARACTERS:
            yield some
            some = []
    if some:
        yield some


def _prompt_keys(prompts: Sequence[Prompt]) -> list[str]:
    """The part of a cache key that stands for the prompts."""
    return [json.dumps([one.text, one.chat]) for one in prompts]


def _pack_scores(found: AnswerScores) -> Mapping[str, Array]:
    """The scores as arrays of float64, which the cache holds."""
    names = ("total", "first", "top", "best", "tokens")
    return {name: np.asarray(getattr(found, name), np.float64) for name in names}
