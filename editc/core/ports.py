"""The ports through which passes reach the world: weights, a text encoder, a painter, a detector, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.diagnostics import Diagnostic
from editc.core.family import Family
from editc.core.ir import Adapter, Array
from editc.core.network import Network, Spot
from editc.numerics.trust import Ball


class Weights(Protocol):
    """Header queries first, then one tensor at a time, of one model component."""

    def names(self) -> Sequence[str]:
        """Parameter names, sorted."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as stored."""

    def dtype(self, name: str) -> str:
        """Safetensors dtype: `F32`, `F16`, `BF16`, ..."""

    def read(self, name: str) -> Array:
        """The tensor in float64 (exact for every float dtype up to 64 bits)."""


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model sees it: `rows` (t, d) of the text encoder, `tokens` (t,) ids,
    `start` (t,) the character offset in the prompt of each token's text, -1 for special tokens and padding;
    `end` likewise. The first token of a text is row `first`: 1 after BOS, 0 where there is none (T5).

    limit: how many tokens the encoder reads, special ones too, where that is not the number of rows.
    pooled: the one row stands for the whole prompt.
    """

    prompt: str
    rows: Array
    tokens: tuple[int, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]
    first: int = 1
    limit: int = 0
    pooled: bool = False

    @property
    def reads(self) -> int:
        """How many tokens the encoder reads at most."""
        return self.limit or len(self.rows)

    @property
    def full(self) -> bool:
        """True when no room is left after the text, BOS and EOS: what follows was cut off."""
        return sum(start >= 0 for start in self.start) >= self.reads - self.first - 1


class Encoder(Protocol):
    """A text encoder."""

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Each prompt's rows; pure, in order."""

    def fingerprint(self) -> str:
        """sha256 over the encoder's weights and tokenizer files: equal means the same embeddings."""

    def bounds(self) -> tuple[Ball, ...]:
        """Where every row lies, as the architecture has it: a ball for each run of coordinates, in order, d together.

        A run that no final LayerNorm bounds has a ball of radius inf; it is then measured over a corpus.
        """


class Painter(Protocol):
    """A text-to-image pipeline."""

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3); `changed` maps parameter names to the weights to paint with, the rest is the base."""

    @property
    def reads_rows(self) -> bool:
        """True if `paint_rows` can be used."""

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """The same from rows (n, t, d) as the text encoder would give them, which no prompt needs to have."""


class Detector(Protocol):
    """Says whether a picture shows a concept."""

    def knows(self, concept: str) -> bool:
        """True if this detector can judge `concept`."""

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """For each picture (n, h, w, 3): does it show `concept`?"""

    def concepts(self) -> Sequence[str]:
        """Concepts that this detector can judge, each under one name; empty where it can judge any text."""


class Cache(Protocol):
    """Arrays kept from one build to the next, by a key that names all that they were computed from.

    What comes out is what was put in, bit for bit, or nothing.
    """

    def get(self, key: str) -> Mapping[str, Array] | None:
        """The arrays put under `key`, or None."""

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Keeps the arrays under `key`; a cache that cannot keep them goes without."""


@dataclass(frozen=True)
class Noisy:
    """Latents (n, c, h, w) on their way from noise to a picture, each at its timestep (n,)."""

    latents: Array
    timesteps: NDArray[np.int64]


@dataclass(frozen=True)
class Told:
    """What a network is told of n prompts: `rows` (n, t, d), of which prompt i has the first `counts[i]`, the others
    being zeros that no layer sees; and their `pooled` embeddings (n, p), where it is told any."""

    rows: Array
    counts: NDArray[np.int64]
    pooled: Array | None = None

    @staticmethod
    def of(rows: Sequence[Array], pooled: Sequence[Array] = ()) -> Told:
        """Prompts with rows (t_i, d) and, in the same order, pooled embeddings (1, p)."""
        longest = max(map(len, rows))
        stacked = np.stack([np.pad(one, ((0, longest - len(one)), (0, 0))) for one in rows])
        return Told(stacked, np.array([len(one) for one in rows]), np.concatenate(pooled) if pooled else None)

    def take(self, which: slice | Sequence[int]) -> Told:
        """Some of the prompts, by their numbers."""
        return Told(self.rows[which], self.counts[which], None if self.pooled is None else self.pooled[which])


class Prober(Protocol):
    """A denoiser that can be asked what it would predict if some of its sites saw another text."""

    def denoise(self, told: Told, empty: Told, seeds: Sequence[int], steps: int) -> Sequence[Noisy]:
        """The latents before each of `steps` denoising steps from pure noise, a picture for each prompt of `told` and
        of `seeds` (n,); `empty` is the one prompt that guidance leads away from."""

    def predict(self, noisy: Noisy, told: Told, instead: Told | None = None, sites: Sequence[str] = ()) -> Array:
        """The noise (n, c, h, w) predicted for `told`, where the parameters `sites` read `instead`, shaped alike: each
        row's output there is that of the row in its place."""


Progress: TypeAlias = Callable[[str, Iterable[object]], Iterable[object]]
"""Takes what is done and what it is done to, one after the other, and gives that back; told of nothing to do it to, it
says what is done from now on."""


def announce(progress: Progress | None, phase: str) -> None:
    """Says what begins now and cannot be counted."""
    if progress is not None:
        progress(phase, ())


@dataclass(frozen=True)
class Context:
    """What a pass may use. `encoder` is what most edited layers read; `streams` are the family's other ones by name.
    `painter` exists only when the manifest asks for pictures, `detector` when they are to be judged as well, `prober`
    (which opens one, for it may be large) only where it leaves the choice of sites to the evidence; `adapters` are
    those it fuses, one an edit; `settings` is the config.json of a language model's folder, `network` that model as it
    runs, and `earlier` has by the id of a delta where the edits that are in it already have their keys."""

    weights: Weights
    encoder: Encoder | None = None
    painter: Painter | None = None
    detector: Detector | None = None
    judged_by: Mapping[str, Any] = field(default_factory=dict)
    """How the detector is told from another; reports and deltas record it."""
    progress: Progress | None = None
    cache: Cache | None = None
    prober: Callable[[], Prober] | None = None
    network: Network | None = None
    earlier: Mapping[str, Sequence[Spot]] = field(default_factory=dict)
    streams: Mapping[str, Encoder] = field(default_factory=dict)
    adapters: Sequence[Adapter] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    contexts: tuple[str, ...] = ()
    """The model's own sentences for concepts, each with one `{}`; (): those of its family."""
    encoder_parts: Mapping[str, str] = field(default_factory=dict)
    """Text encoder of the model's folder -> sha256 of its weights, which the delta records."""
    notes: tuple[Diagnostic, ...] = ()
    """Warnings of what could not be checked before the build."""
    family: Family | None = None
    """The model's family; None where it was not asked yet."""

    def speaking(self, family: Family) -> Family:
        """The family with the model's own sentences in place of its everyday ones, where the model has some."""
        return replace(family, contexts=self.contexts) if self.contexts else family

    def stream(self, name: str) -> Encoder | None:
        """The encoder of a stream; None when the pipeline lacks it."""
        return self.streams.get(name, self.encoder if name == "text" else None)
