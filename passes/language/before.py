"""What the unedited model says, kept from one build to the next: it is half of what verify runs a model for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editc.ir import Array
from editc.language import Cloze, Compared, Network, Prompt, Scored
from editc.passes.corpus import Sparing, remembered
from editc.ports import Cache

LAYOUT = "said 2"
"""Goes into the key of what is cached: to be changed with what is computed."""
MOST = 1 << 26
"""Bytes of states that are kept of one list of texts."""


@dataclass(frozen=True)
class Before:
    """The base of `network`, whose fingerprint is `mark` ('' keeps nothing). All that is asked in one call is kept
    together, for the last digits of a figure may hang on what was asked beside it."""

    network: Network
    cache: Cache | None = None
    mark: str = ""

    def score(self, asked: Sequence[Cloze]) -> Scored:
        """How likely the answers are."""
        told = [json.dumps([one.prompt, one.answer, one.chat]) for one in asked]
        found = remembered(told, f"score {LAYOUT}", lambda: _packed(self.network.score(asked)), self.cache, self.mark)
        best, tokens = (np.asarray(found[name], np.int64) for name in ("best", "tokens"))
        return Scored(found["total"], found["first"], found["top"] > 0, best, tokens)

    def compare(self, texts: Sequence[Prompt], changed: Mapping[str, Array]) -> Compared:
        """The base against the model as changed, over all tokens."""

        def final() -> Mapping[str, Array]:
            states = self.network.final(texts)
            return {
                "states": np.concatenate(states),
                "ends": np.cumsum([len(one) for one in states]).astype(np.float64),
            }

        cache = self.cache and Sparing(self.cache, MOST)
        found = remembered(_told(texts), f"final {LAYOUT}", final, cache, self.mark)
        base = np.split(found["states"], found["ends"][:-1].astype(int))
        return self.network.compare(texts, changed, base=base)

    def generate(self, prompts: Sequence[Prompt], tokens: int) -> tuple[str, ...]:
        """What it goes on with."""
        return self._said(prompts, tokens, lambda: self.network.generate(prompts, tokens))

    def generate_both(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it goes on with, and the model as changed."""
        after: list[tuple[str, ...]] = []

        def both() -> tuple[str, ...]:
            before, now = self.network.generate_both(prompts, tokens, changed)
            after.append(now)
            return before

        before = self._said(prompts, tokens, both)
        return before, after[0] if after else self.network.generate(prompts, tokens, changed)

    def _said(self, prompts: Sequence[Prompt], tokens: int, say: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        def said() -> Mapping[str, Array]:
            return {"text": np.frombuffer(json.dumps(say()).encode(), np.uint8).astype(np.float64)}

        found = remembered(_told(prompts), f"generate {tokens} {LAYOUT}", said, self.cache, self.mark)
        return tuple(json.loads(np.asarray(found["text"]).astype(np.uint8).tobytes()))


def _told(prompts: Sequence[Prompt]) -> list[str]:
    return [json.dumps([one.text, one.chat]) for one in prompts]


def _packed(found: Scored) -> Mapping[str, Array]:
    names = ("total", "first", "top", "best", "tokens")
    return {name: np.asarray(getattr(found, name), np.float64) for name in names}
