"""A made-up image model to derive rows for: weights of two sites, an encoder over words, manifests and a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.ports import Context, EncodedPrompt
from editc.manifests.decode import decode
from editc.numerics.ball import Ball
from editc.numerics.bits import dtypes

K = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
V = K.replace("to_k", "to_v")
PROJ = "down_blocks.0.attentions.0.proj_in.weight"
WIDTH, LENGTH = 16, 12


@dataclass(frozen=True)
class FakeWeights:
    """Shapes by name; values seeded by the name, as the dtype can hold them."""

    shapes: dict[str, tuple[int, ...]]
    kind: str = "F32"

    def names(self) -> Sequence[str]:
        return sorted(self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def dtype(self, name: str) -> str:
        return self.kind

    def read(self, name: str) -> Array:
        values = np.random.default_rng(len(name)).normal(size=self.shapes[name])
        return dtypes.decode(dtypes.encode(values, self.kind), self.kind, self.shapes[name])


class WordEncoder:
    """A causal encoder over words: a row mixes the words up to it; one token a word, BOS first, padded."""

    alone = False

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        return [self._one(prompt) for prompt in prompts]

    def fingerprint(self) -> str:
        return "fake"

    def bounds(self) -> tuple[Ball, ...]:
        return (Ball(np.ones(WIDTH), np.zeros(WIDTH), np.inf, centred=False, proven=False),)

    def _one(self, prompt: str) -> EncodedPrompt:
        words, start, end, at = prompt.split(), [-1], [-1], 0
        for word in words[: LENGTH - 2]:
            at = prompt.index(word, at)
            start.append(at)
            at += len(word)
            end.append(at)
        rows, state = [], np.zeros(WIDTH)
        for word in ["<s>", *words[: LENGTH - 2], *["</s>"] * (LENGTH - 1 - min(len(words), LENGTH - 2))]:
            state = 0.6 * state + np.random.default_rng(sum(map(ord, word))).normal(size=WIDTH)
            rows.append(state)
        pad = [-1] * (LENGTH - len(start))
        return EncodedPrompt(prompt, np.array(rows), tuple(range(LENGTH)), (*start, *pad), (*end, *pad))


def manifest(text: str) -> Manifest:
    found, diagnostics = decode(Source("m.yaml", "editc: 1\nmodel: m\n" + text))
    assert found is not None, diagnostics
    return found


def context(kind: str = "F32", proj: tuple[int, ...] = (8, 8, 1, 1), width: int = WIDTH) -> Context:
    return Context(
        FakeWeights({K: (8, width), V: (8, width), PROJ: proj, "conv_in.weight": (8, 4, 3, 3)}, kind), WordEncoder()
    )


ERASE = "edits:\n  - erase: circle\n    to: square\n"
