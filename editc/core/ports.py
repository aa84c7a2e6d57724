"""The ports through which passes reach the world: weights, a text encoder, a painter, a detector, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.adapter import Adapter
from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.family import Family
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
class EncodedPrompt:
    """A prompt as the model sees it."""

    prompt: str
    """The text."""
    rows: Array
    """(t, d): what the text encoder gives."""
    tokens: tuple[int, ...]
    """(t,): token ids."""
    start: tuple[int, ...]
    """(t,): where the text of each token begins in the prompt, in characters; -1 for special tokens and padding."""
    end: tuple[int, ...]
    """(t,): where it ends; -1 likewise."""
    first: int = 1
    """The row of the first token of the text: 1 after BOS, 0 where there is none (T5)."""
    limit: int = 0
    """How many tokens the encoder reads, special ones included. 0: as many as there are rows."""
    pooled: bool = False
    """True where one row stands for the whole prompt."""

    @property
    def token_limit(self) -> int:
        """How many tokens the encoder reads at most."""
        return self.limit or len(self.rows)

    @property
    def full(self) -> bool:
        """True when no room is left after the text, BOS and EOS: what follows was cut off."""
        return sum(start >= 0 for start in self.start) >= self.token_limit - self.first - 1


class Encoder(Protocol):
    """A text encoder."""

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
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
class NoisyLatents:
    """Latents on their way from noise to a picture."""

    latents: Array
    """(n, c, h, w)."""
    timesteps: NDArray[np.int64]
    """(n,): the timestep of each."""


@dataclass(frozen=True)
class Conditioning:
    """What a network reads of n prompts."""

    rows: Array
    """(n, t, d): the first `counts[i]` belong to prompt i; the others are zeros that no layer sees."""
    counts: NDArray[np.int64]
    """(n,)."""
    pooled: Array | None = None
    """(n, p): embeddings of whole prompts. None where the network reads none."""

    @staticmethod
    def of(rows: Sequence[Array], pooled: Sequence[Array] = ()) -> Conditioning:
        """Prompts with rows (t_i, d) and, in the same order, pooled embeddings (1, p)."""
        longest = max(map(len, rows))
        stacked = np.stack([np.pad(one, ((0, longest - len(one)), (0, 0))) for one in rows])
        return Conditioning(stacked, np.array([len(one) for one in rows]), np.concatenate(pooled) if pooled else None)

    def take(self, which: slice | Sequence[int]) -> Conditioning:
        """Some of the prompts, by their numbers."""
        return Conditioning(self.rows[which], self.counts[which], None if self.pooled is None else self.pooled[which])


class Prober(Protocol):
    """A denoiser that can be asked what it would predict if some of its sites saw another text."""

    def denoise(
        self, told: Conditioning, empty: Conditioning, seeds: Sequence[int], steps: int
    ) -> Sequence[NoisyLatents]:
        """The latents before each of `steps` denoising steps from pure noise, a picture for each prompt of `told` and
        of `seeds` (n,); `empty` is the one prompt that guidance leads away from."""

    def predict(
        self, noisy: NoisyLatents, told: Conditioning, instead: Conditioning | None = None, sites: Sequence[str] = ()
    ) -> Array:
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
    """What a pass may use. The verbs fill it; a port is None where the manifest does not need it."""

    weights: Weights
    """The tensors of the edited component."""
    encoder: Encoder | None = None
    """The encoder that most edited layers read. None for language models."""
    painter: Painter | None = None
    """Paints pictures. None where the manifest asks for none."""
    detector: Detector | None = None
    """Judges pictures. None where nobody judges."""
    detector_identity: Mapping[str, Any] = field(default_factory=dict)
    """How the detector is told from another; reports and deltas record it."""
    progress: Progress | None = None
    """Shows what is being done. None: nobody watches."""
    cache: Cache | None = None
    """Keeps arrays between builds. None: nothing is kept."""
    prober: Callable[[], Prober] | None = None
    """Opens the denoiser for `sites: auto`, when called: it may be large. None where sites are not chosen by
    evidence."""
    network: Network | None = None
    """The language model as it runs. None for image models."""
    earlier: Mapping[str, Sequence[Spot]] = field(default_factory=dict)
    """Delta id -> where the edits of a delta under `after` took their keys."""
    streams: Mapping[str, Encoder] = field(default_factory=dict)
    """The other encoders of the family, by the stream's name."""
    adapters: Sequence[Adapter] = ()
    """The adapters to fuse, one an edit."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """config.json of a language model's folder."""
    contexts: tuple[str, ...] = ()
    """The model's own sentences for concepts, each with one `{}`; (): those of its family."""
    encoder_parts: Mapping[str, str] = field(default_factory=dict)
    """Text encoder of the model's folder -> sha256 of its weights, which the delta records."""
    notes: tuple[Diagnostic, ...] = ()
    """Warnings of what could not be checked before the build."""
    family: Family | None = None
    """The model's family; None where it was not asked yet."""

    def with_own_contexts(self, family: Family) -> Family:
        """The family with the model's own sentences in place of its everyday ones, where the model has some."""
        return replace(family, contexts=self.contexts) if self.contexts else family

    def stream(self, name: str) -> Encoder | None:
        """The encoder of a stream; None when the pipeline lacks it."""
        return self.streams.get(name, self.encoder if name == "text" else None)
