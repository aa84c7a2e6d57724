"""What the unedited model says, kept from one build to the next: it is half of what verify runs a model for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from editc.ir import Array
from editc.language import Cloze, Network, Prompt, Scored
from editc.passes.corpus import remembered
from editc.ports import Cache

LAYOUT = "said 2"
"""Goes into the key of what is cached: to be changed with what is computed."""


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

    def generate(self, prompts: Sequence[Prompt], tokens: int) -> tuple[str, ...]:
        """What it goes on with."""
        told = [json.dumps([one.text, one.chat]) for one in prompts]

        def said() -> Mapping[str, Array]:
            text = json.dumps(self.network.generate(prompts, tokens)).encode()
            return {"text": np.frombuffer(text, np.uint8).astype(np.float64)}

        found = remembered(told, f"generate {tokens} {LAYOUT}", said, self.cache, self.mark)
        return tuple(json.loads(np.asarray(found["text"]).astype(np.uint8).tobytes()))


def _packed(found: Scored) -> Mapping[str, Array]:
    names = ("total", "first", "top", "best", "tokens")
    return {name: np.asarray(getattr(found, name), np.float64) for name in names}
