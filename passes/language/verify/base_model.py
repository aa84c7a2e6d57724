"""What the unedited model says, kept from one build to the next: it is half of what verify runs a model for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from editc.core.caching import load_or_compute
from editc.core.delta import Array
from editc.core.network import AnswerScores, Cloze, Continuation, ModelComparison, Network, Prompt
from editc.core.ports import Cache

LAYOUT = "said 2"
"""Goes into the key of what is cached: to be changed with what is computed."""
AT_ONCE = 1 << 14
"""Characters of the texts whose states are in memory at a time: some 4,000 tokens, 130 MB in a model of width 4,096."""


@dataclass(frozen=True)
class BaseModel:
    """The unedited model, whose answers are cached between builds. All that is asked in one call is cached together,
    because the last digits of a figure may depend on what is asked beside it."""

    network: Network
    """The model."""
    cache: Cache | None = None
    """Where answers are cached. None: nowhere."""
    mark: str = ""
    """The model's fingerprint, part of each cache key; '' if nothing is to be cached."""

    def score(self, asked: Sequence[Cloze]) -> AnswerScores:
        """The log-likelihood of each answer after its prompt."""
        told = [json.dumps([one.prompt, one.answer, one.chat]) for one in asked]
        found = load_or_compute(
            told, f"score {LAYOUT}", lambda: _pack_scores(self.network.score(asked)), self.cache, self.mark
        )
        best, tokens = (np.asarray(found[name], np.int64) for name in ("best", "tokens"))
        return AnswerScores(found["total"], found["first"], found["top"] > 0, best, tokens)

    def compare(self, texts: Sequence[Prompt], changed: Mapping[str, Array]) -> ModelComparison:
        """The base against the model as changed, over all tokens; the states of some texts are in memory at a time."""
        parts = [self._compare_block(some, changed) for some in _blocks(texts)]
        return ModelComparison(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(ModelComparison))
        )

    def _compare_block(self, texts: Sequence[Prompt], changed: Mapping[str, Array]) -> ModelComparison:
        def final() -> Mapping[str, Array]:
            states = self.network.final(texts)
            return {
                "states": np.concatenate(states),
                "ends": np.cumsum([len(one) for one in states]).astype(np.float64),
            }

        found = load_or_compute(_prompt_keys(texts), f"final {LAYOUT}", final, self.cache, self.mark)
        base = np.split(found["states"], found["ends"][:-1].astype(int))
        return self.network.compare(texts, changed, base=base)

    def generate(self, prompts: Sequence[Prompt], tokens: int) -> tuple[str, ...]:
        """The model's continuation of each prompt, at most `tokens` tokens long."""
        return tuple(self._cached_json(f"generate {tokens}", prompts, lambda: self.network.generate(prompts, tokens)))

    def speak(self, prompts: Sequence[Prompt], tokens: int) -> tuple[Continuation, ...]:
        """The same token by token, with how likely each was."""

        def spoken() -> Sequence[Any]:
            return [[one.text, one.pieces, one.likely] for one in self.network.speak(prompts, tokens)]

        found = self._cached_json(f"speak {tokens}", prompts, spoken)
        return tuple(Continuation(text, tuple(pieces), tuple(likely)) for text, pieces, likely in found)

    def _cached_json(self, what: str, prompts: Sequence[Prompt], tell: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """What is said of prompts, as JSON in the cache."""

        def encode() -> Mapping[str, Array]:
            return {"text": np.frombuffer(json.dumps(tell()).encode(), np.uint8).astype(np.float64)}

        found = load_or_compute(_prompt_keys(prompts), f"{what} {LAYOUT}", encode, self.cache, self.mark)
        told: Sequence[Any] = json.loads(np.asarray(found["text"]).astype(np.uint8).tobytes())
        return told


def _blocks(texts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    some: list[Prompt] = []
    for text in texts:
        some.append(text)
        if sum(len(one.text) for one in some) >= AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _prompt_keys(prompts: Sequence[Prompt]) -> list[str]:
    return [json.dumps([one.text, one.chat]) for one in prompts]


def _pack_scores(found: AnswerScores) -> Mapping[str, Array]:
    names = ("total", "first", "top", "best", "tokens")
    return {name: np.asarray(getattr(found, name), np.float64) for name in names}
