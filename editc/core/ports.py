"""The ports through which passes reach the world: weights, text encoders, a painter, a detector, a cache, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.family import Family

if TYPE_CHECKING:  # `editc check` opens ports and needs none of these
    from editc.core.language_problem import EarlierEdits
    from editc.core.network import Network
    from editc.core.problem import Adapter
    from editc.numerics.ball import Ball


class Weights(Protocol):
    """The tensors of one component of a model. Names, shapes and dtypes come from the header; each tensor is read when
    asked for."""

    def names(self) -> Sequence[str]:
        """The names of all parameters, sorted."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor as the file stores it."""

    def dtype(self, name: str) -> str:
        """The dtype as the file stores it, in the words of safetensors: `F32`, `F16`, `BF16` and others."""

    def read(self, name: str) -> Array:
        """The tensor in float64, in its stored shape. This is exact for every float dtype of up to 64 bits."""


@runtime_checkable
class StoresBytes(Weights, Protocol):
    """Weights whose stored bytes can be had without decoding them."""

    def stored(self, name: str) -> bytes:
        """The bytes of a tensor, row-major in its stored shape, in the dtype that the file stores."""


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as a text encoder gives it to the model."""

    prompt: str
    """The text."""
    rows: Array
    """(t, d): one row per token."""
    tokens: tuple[int, ...]
    """(t,): token ids."""
    start: tuple[int, ...]
    """(t,): where the text of each token begins, in characters of the prompt. -1 for special tokens and padding."""
    end: tuple[int, ...]
    """(t,): where it ends. -1 for special tokens and padding."""
    first: int = 1
    """The row of the first token of the text: 1 after a BOS, 0 where the encoder has none (T5)."""
    limit: int = 0
    """How many tokens the encoder reads at most, special ones included. 0: as many as there are rows."""
    pooled: bool = False
    """True where one row stands for the whole prompt."""

    @property
    def token_limit(self) -> int:
        """How many tokens the encoder reads at most, special ones included."""
        return self.limit or len(self.rows)

    @property
    def full(self) -> bool:
        """True when the text leaves no room after BOS and EOS, so that a longer text was cut off."""
        return sum(start >= 0 for start in self.start) >= self.token_limit - self.first - 1


class Encoder(Protocol):
    """A text encoder with its tokenizer."""

    @property
    def alone(self) -> bool:
        """True if a prompt's rows are the same bit for bit, whatever other prompts are in the call."""

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Encodes each prompt, in order. The same prompts give the same rows."""

    def fingerprint(self) -> str:
        """sha256 over the encoder's weights and tokenizer files. Equal fingerprints mean the same rows."""

    def bounds(self) -> tuple[Ball, ...]:
        """The set in which every row lies, as far as the architecture gives it: one ball for each run of coordinates,
        in order, which together cover all d.

        A run that no final LayerNorm bounds has a ball of radius inf. Its radius is measured over a corpus later.
        """


class Painter(Protocol):
    """A text-to-image pipeline."""

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """Paints one picture (h, w, 3) per prompt and seed; returns (n, h, w, 3). `changed` maps parameter names to
        other weights to paint with; all others are those of the base."""

    @property
    def reads_rows(self) -> bool:
        """True if `paint_rows` can be used."""

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        """As `paint`, from rows (n, t, d) such as the text encoder gives. No prompt need lead to these rows."""


class Diffusion(Protocol):
    """A text-to-image model with gradients, whose denoiser reads the rows of one text encoder and nothing else of a
    prompt. Tensors are torch's, float32. An answer is what the denoiser itself gives, as `kind` says."""

    @property
    def kind(self) -> str:
        """What an answer is: `epsilon` (noise), `v_prediction` or `sample` (the clean latents)."""

    @property
    def network(self) -> Any:
        """The denoiser: a torch module."""

    def layer(self, name: str) -> Any:
        """The module of a parameter of the denoiser or of the text encoder."""

    @property
    def levels(self) -> Any:
        """(T,): the share of the clean picture's energy at each timestep, alpha-bar."""

    @property
    def embeddings(self) -> Any:
        """(vocabulary, e): the embedding of each token."""

    def tokens(self, prompts: Sequence[str]) -> Any:
        """(n, t): the token numbers of prompts, padded."""

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token numbers."""

    @property
    def typed_tokens(self) -> Any:
        """(w,): the tokens that somebody can type: the text of each is read as that token and nothing else."""

    def whole_words(self) -> Sequence[str]:
        """The words of the vocabulary that are one token each, in its order."""

    def rows(self, prompts: Sequence[str]) -> Any:
        """(n, t, d): what the text encoder makes of prompts, without a gradient."""

    def encode_tokens(self, ids: Any, places: Sequence[int] = (), vectors: Any = None) -> Any:
        """(n, t, d): the rows of token numbers (n, t); `vectors` (n, k, e) replace the embeddings at `places` (k,)."""

    def into_ball(self, rows: Any) -> Any:
        """The rows (..., d) moved into the set of rows that the text encoder can give."""

    def balls(self) -> Sequence[Ball]:
        """That set, as `Encoder.bounds` has it."""

    def text_grams(self) -> tuple[Array, Array, Array]:
        """sum W'^T W', sum W'^T W and sum W^T W, (d, d) each, over the matrices that read the rows; W the unedited
        weights, W' those now in."""

    def answer(self, latents: Any, times: Any, rows: Any) -> Any:
        """(n, c, h, w): the denoiser's answer for latents (n, c, h, w) at timesteps (n,), told of rows (n, t, d)."""

    def start(self, seeds: Sequence[int]) -> Any:
        """(n, c, h, w): the noise from which the picture of each seed is painted."""

    def timesteps(self, steps: int) -> Sequence[int]:
        """The timesteps of a picture in so many steps, from noise to picture."""

    def step(self, answer: Any, time: int, latents: Any) -> Any:
        """(n, c, h, w): the latents one step on from `time`."""

    def encode(self, pictures: NDArray[np.uint8]) -> Any:
        """(n, c, h, w): the latents of pictures (n, H, W, 3)."""

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """(n, H, W, 3): the pictures of latents."""

    def use_weights(self, changed: Mapping[str, Array]) -> AbstractContextManager[None]:
        """The denoiser or the text encoder with other weights, by parameter name, for as long as the context is
        open."""


class Task(Protocol):
    """Work for a process that has a model of its own. It and what it returns can be pickled."""

    def run(self, model: Diffusion, changed: Mapping[str, Array]) -> Any:
        """Do it; `changed` holds the edited weights by parameter name."""


class Workers(Protocol):
    """Processes that run tasks, each with a model of its own, as many as the machine has cores."""

    def __call__(self, stage: str, tasks: Sequence[Task]) -> Sequence[Any]:
        """What the tasks return, in their order. `stage` names them for whoever waits."""


class Detector(Protocol):
    """Judges whether a picture shows a concept."""

    def knows(self, concept: str) -> bool:
        """True if this detector can judge `concept`."""

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """For each of the pictures (n, h, w, 3): whether it shows `concept`, (n,)."""

    def concepts(self) -> Sequence[str]:
        """The concepts that this detector can judge, each under one name. Empty where it can judge any text."""


class Cache(Protocol):
    """Stores arrays between builds, under keys that name everything that the arrays were computed from.

    It returns what was stored, bit for bit, or nothing.
    """

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        """The arrays stored under `key`, by name, in their shapes. None if there are none, or if one of `names` is not
        among them: then somebody else stored something else there."""

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Stores the arrays under `key`, in place of what was there. A cache that cannot store them does nothing.
        `kind` says in plain words what they are."""

    def has(self, key: str) -> bool:
        """Whether `get` will find an entry, as far as can be seen without reading it."""


@dataclass(frozen=True)
class NoisyLatents:
    """Latents between pure noise and a picture."""

    latents: Array
    """(n, c, h, w)."""
    timesteps: NDArray[np.int64]
    """(n,): the timestep of each."""


@dataclass(frozen=True)
class Conditioning:
    """What a denoiser reads of n prompts."""

    rows: Array
    """(n, t, d): the first `counts[i]` rows belong to prompt i. The others are zeros that no layer sees."""
    counts: NDArray[np.int64]
    """(n,): how many rows each prompt has."""
    pooled: Array | None = None
    """(n, p): one embedding for each whole prompt. None where the denoiser reads none."""

    @staticmethod
    def of(rows: Sequence[Array], pooled: Sequence[Array] = ()) -> Conditioning:
        """Stacks prompts with rows (t_i, d) and, in the same order, pooled embeddings (1, p)."""
        longest = max(map(len, rows))
        stacked = np.stack([np.pad(one, ((0, longest - len(one)), (0, 0))) for one in rows])
        return Conditioning(stacked, np.array([len(one) for one in rows]), np.concatenate(pooled) if pooled else None)

    def take(self, which: slice | Sequence[int]) -> Conditioning:
        """The conditioning of some of the prompts, by their numbers."""
        return Conditioning(self.rows[which], self.counts[which], None if self.pooled is None else self.pooled[which])


class Prober(Protocol):
    """A denoiser that predicts noise for a prompt, with chosen layers reading a different prompt (the ablation of
    `sites: auto`)."""

    def denoise(
        self, conditioning: Conditioning, empty: Conditioning, seeds: Sequence[int], steps: int
    ) -> Sequence[NoisyLatents]:
        """Denoises one picture from pure noise for each prompt and seed (n,). Returns the latents before each of
        `steps` steps. `empty` is the one prompt that classifier-free guidance leads away from."""

    def predict(
        self,
        noisy: NoisyLatents,
        conditioning: Conditioning,
        instead: Conditioning | None = None,
        sites: Sequence[str] = (),
    ) -> Array:
        """Predicts the noise (n, c, h, w) for the prompts. The parameters `sites` read `instead`, of the same shape,
        where each row stands for the row at its place."""


Progress: TypeAlias = Callable[[str, Iterable[object]], Iterable[object]]
"""Takes the name of a phase and the items of work, and returns the same items one after the other while it shows how
many are done. Without items it only shows the name from then on."""


def announce(progress: Progress | None, phase: str) -> None:
    """Shows the name of a phase whose steps cannot be counted."""
    if progress is not None:
        progress(phase, ())


@dataclass(frozen=True)
class Context:
    """What a pass may use. The verbs fill it. A port is None where the manifest does not need it."""

    weights: Weights
    """The tensors of the edited component."""
    encoder: Encoder | None = None
    """The encoder that most edited layers read. None for language models."""
    painter: Painter | None = None
    """Paints pictures. None where the manifest asks for none."""
    detector: Detector | None = None
    """Judges pictures. None where no detector is named."""
    detector_identity: Mapping[str, Any] = field(default_factory=dict)
    """What tells the detector from another. Reports and deltas record it. Empty without a detector."""
    progress: Progress | None = None
    """Shows progress. None: nothing is shown."""
    cache: Cache | None = None
    """Stores arrays between builds. None: nothing is cached."""
    prober: Callable[[], Prober] | None = None
    """Opens the denoiser for `sites: auto`. It is opened on call, because it may be large. None where sites are not
    chosen by evidence."""
    network: Network | None = None
    """The language model, ready to run. None for image models."""
    oracle: Network | None = None
    """A language model that never saw what a suite is to forget. None where the manifest names none, or its figures."""
    earlier: Mapping[str, EarlierEdits] = field(default_factory=dict)
    """Id of a delta under `after` -> what it asks of later edits."""
    ledger: Mapping[str, EarlierEdits] = field(default_factory=dict)
    """The same of every delta in the model, in the order of application, also of those that `after` does not name.
    Empty without `after`."""
    streams: Mapping[str, Encoder] = field(default_factory=dict)
    """Name of a stream -> its encoder, for the streams other than `encoder`."""
    adapters: Sequence[Adapter] = ()
    """The adapters to fuse, one per edit."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """config.json of the folder of a language model. Empty for image models."""
    contexts: tuple[str, ...] = ()
    """The model's own sentences for concepts, each with one `{}`. Empty: those of the family are used."""
    known_contexts: tuple[str, ...] = ()
    """The family's sentences for concepts of which the model's tokenizer reads every word. Empty: it reads them all, or
    its words cannot be told from pieces."""
    words: tuple[str, ...] = ()
    """The whole words of the tokenizer of an image model that brings no prompts of its own. Empty: it brings some, or
    its words cannot be told from pieces."""
    encoder_parts: Mapping[str, str] = field(default_factory=dict)
    """Text encoder in the model's folder -> sha256 of its weights, which the delta records."""
    encoder_runners: Mapping[str, str] = field(default_factory=dict)
    """Text encoder, or `network` for a language model -> what runs it: `numpy`, `transformers` or `transformers on
    cuda:0`. The report records it."""
    notes: tuple[Diagnostic, ...] = ()
    """Warnings about what could not be checked before the build."""
    family: Family | None = None
    """The model's family. None where it was not recognised yet."""
    diffusion: Diffusion | None = None
    """The model with gradients, for attacks. None where no attack is asked for, or where the pipeline's denoiser reads
    more of a prompt than rows."""
    open_workers: Callable[[Mapping[str, Array]], AbstractContextManager[Workers]] | None = None
    """Opens the processes that attack, for the edited weights by parameter name. None where no attack is asked for."""
    picture_cache: Cache | None = None
    """Stores pictures of the unedited model between builds. None: they are not cached."""
    painter_mark: str = ""
    """Names what the painter's pictures depend on besides prompts and seeds. Empty: they are not cached."""

    def with_own_contexts(self, family: Family) -> Family:
        """The family with the model's own sentences in place of the family's, where the model has some, else with those
        that the model reads."""
        contexts = self.contexts or self.known_contexts
        return replace(family, contexts=contexts) if contexts else family

    def stream(self, name: str) -> Encoder | None:
        """The encoder of a stream. None when the pipeline lacks it."""
        return self.streams.get(name, self.encoder if name == "text" else None)
