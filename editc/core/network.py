"""What the passes for language models ask of a model, and the values that it answers with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.measurements import TokenScores, Tuning
from editc.core.prompts import Cloze, KnownFact, Prompt, Spot, TokenPosition


@dataclass(frozen=True)
class Noise:
    """Normal noise on the embeddings of a subject, for causal tracing."""

    samples: int = 3
    """How many times noise is drawn. Chosen by hand: ROME takes 10, and each sample costs a run."""
    seed: int = 0
    """The noise depends on this alone."""
    sigmas: float = 3.0
    """The size of the noise, in standard deviations of the entries of the embedding. 3 as in ROME, section 2."""


@dataclass(frozen=True)
class TracedFacts:
    """Causal tracing of n facts, by the probability of each answer's first token. All figures are means over samples of
    noise."""

    clean: Array
    """(n,): without noise."""
    noised: Array
    """(n,): with noise on the subject."""
    subject: Array
    """(n, layers): with noise, and the clean residual stream put back after each layer at the subject's last token."""
    last: Array
    """(n, layers): the same with the clean stream put back at the prompt's last token."""


@dataclass(frozen=True)
class TracedTokens:
    """Causal tracing of one fact at n tokens and after one layer, by the probability of the answer's first token. With
    noise, figures are means over samples."""

    clean: float
    """Without noise."""
    noised: float
    """With noise on the subject."""
    restored: Array
    """(n,): with noise, and the clean residual stream put back after the layer at one of the tokens."""

    @property
    def shares(self) -> Array:
        """(n,): how much of what the noise took each token alone brings back; 1 is all of it. Zeros where the noise
        takes nothing."""
        lost = self.clean - self.noised
        return (self.restored - self.noised) / lost if lost > 0 else np.zeros(len(self.restored))


@dataclass(frozen=True)
class Continuation:
    """How a model continues a prompt when it takes the likeliest token each time."""

    text: str
    """The whole text."""
    pieces: tuple[str, ...]
    """The text of each token."""
    likely: tuple[float, ...]
    """The natural logarithm of the probability of each token."""

    def likelihood(self, beginning: str) -> float:
        """The probability of the shortest run of first tokens whose text contains `beginning`; of all tokens where none
        does."""
        ends = (end for end in range(1, len(self.pieces) + 1) if beginning in "".join(self.pieces[:end]))
        return exp(sum(self.likely[: next(ends, len(self.pieces))]))


@dataclass(frozen=True)
class AnswerScores:
    """How likely n answers are. All logarithms are natural."""

    total: Array
    """(n,): the log-probability of all tokens of the answer together."""
    first: Array
    """(n,): the log-probability of the first token."""
    top: NDArray[np.bool_]
    """(n,): true where the first token is the likeliest of all tokens."""
    best: NDArray[np.int64]
    """(n,): the id of the token that is the likeliest there."""
    tokens: NDArray[np.int64]
    """(n,): how many tokens the answer has."""


@dataclass(frozen=True)
class ModelComparison:
    """n texts before and after a change of the model; each figure is the mean over the tokens of a text."""

    divergence: Array
    """(n,): KL(before | after) of the next token, in nats."""
    agreement: Array
    """(n,): how often the likeliest next token is the same."""
    before: Array
    """(n,): the negative log-likelihood of a token of the text before the change. nan where only the last token is
    compared."""
    after: Array
    """(n,): the same after the change."""


@dataclass(frozen=True)
class SecondMoment:
    """The second moment of what a matrix reads over text."""

    second: Array
    """(d_in, d_in): mean k k^T, not centred."""
    count: int
    """Over how many tokens."""


@dataclass(frozen=True)
class ValueGoal:
    """The answer that a learned value must lead to."""

    contexts: tuple[Spot, ...]
    """The subject in one and the same prompt behind several prefixes."""
    answer: str
    """The answer that must follow each of them."""
    essence: Spot
    """A short text about the subject, such as "Paris is a". The probabilities of its next token must stay (ROME,
    section 3.1)."""


@dataclass(frozen=True)
class Descent:
    """How a value is learned, by Adam. The defaults are EasyEdit's for the Llama family."""

    steps: int = 25
    """The most steps."""
    rate: float = 0.5
    """The learning rate of Adam."""
    decay: float = 1e-3
    """The weight of |delta| / |v0|^2 in the loss, where v0 is the output without the delta."""
    kl: float = 0.0625
    """The weight of the KL divergence at the essence."""
    clamp: float = 4.0
    """The largest |delta|, as a multiple of |v0|."""
    enough: float = 0.95
    """The search ends when the answer has this probability, as the geometric mean over contexts. Longer changes reach
    0.99 and cost the neighbours (benchmarks/facts_enough.py)."""


@dataclass(frozen=True)
class LearnedValue:
    """A learned change of an output at a subject's last token."""

    delta: Array
    """(d,): what is added to the output."""
    before: Array
    """(d,): the output without the delta, the mean over contexts."""
    losses: tuple[float, ...]
    """The loss at each step."""
    probability: float
    """The answer's probability with the delta, as the geometric mean over contexts."""


DeltaTarget: TypeAlias = Literal["output", "stream"]
"""What a delta is added to: the `output` of an MLP, or the residual `stream` after its layer."""


class Network(Protocol):
    """A language model that runs.

    Matrices go by their names in the checkpoint, such as `model.layers.5.mlp.down_proj.weight`. `changed` maps such
    names to other values to run with, in float64 and in the shape that is stored; all other weights are those of the
    base. Results are float64 and in the order of the question. The results of one question depend on the others only
    within float32 rounding.

    Raises LookupError for a subject that a prompt does not contain, and for a matrix that the model does not have.
    """

    @property
    def layers(self) -> int:
        """How many decoder layers the model has."""

    @property
    def multiplier(self) -> float | None:
        """The number by which a layer multiplies the output of its MLP before it adds it to the residual stream: 1 in
        most models. None where something else lies between, such as a norm."""

    def fingerprint(self) -> str:
        """sha256 over weights, configuration and tokenizer. Equal fingerprints mean the same states and the same words
        for the same text."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """The ids of a text by itself, without the tokens that begin or end a text. Raises LookupError for a text that
        has none."""

    def spell(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The text of each of these token ids."""

    def embedding(self) -> NDArray[np.float32]:
        """The output embedding (v, d) with the gain of the norm before it, for the v tokens that the tokenizer has.
        `embedding @ x` is what x adds to the logits, up to the length of the stream, by which the norm divides."""

    def positions(self, spots: Sequence[Spot]) -> Sequence[TokenPosition]:
        """The position of each spot among the tokens of its prompt."""

    def read_keys(
        self, names: Sequence[str], spots: Sequence[Spot], changed: Mapping[str, Array] | None = None
    ) -> Mapping[str, Array]:
        """The keys (d_in, n) that each matrix reads at the n spots."""

    def states(
        self, layers: Sequence[int], spots: Sequence[Spot], changed: Mapping[str, Array] | None = None
    ) -> Mapping[int, Array]:
        """The residual stream (d, n) after each layer at the n spots. Layers count from 0."""

    def lens(self, layers: Sequence[int], cloze: Sequence[Cloze]) -> Mapping[int, NDArray[np.int64]]:
        """Logit lens: after each layer the final norm and the output embedding turn the stream at the prompt's last
        token into logits. Returns for each layer the rank (n,) of each answer's first token in them; 0 is the
        likeliest."""

    def trace(self, known: Sequence[KnownFact], noise: Noise) -> TracedFacts:
        """Traces each fact causally. Raises LookupError where an answer begins inside the subject's last token."""

    def trace_tokens(self, known: KnownFact, spots: Sequence[Spot], layer: int, noise: Noise) -> TracedTokens:
        """Traces one fact at n spots of its own prompt, none at position 0. Raises LookupError as `trace`."""

    def score(self, asked: Sequence[Cloze], changed: Mapping[str, Array] | None = None) -> AnswerScores:
        """How likely each of n answers is; every figure is (n,)."""

    def linear_weights(self, changed: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """Each linear layer's matrix, as it is stored, with its name. One is in memory at a time."""

    def score_tokens(
        self, asked: Sequence[Cloze], changed: Mapping[str, Array] | None = None
    ) -> tuple[TokenScores, ...]:
        """How likely each token of each of n answers is."""

    def sample(
        self,
        prompts: Sequence[Prompt],
        tokens: int,
        times: int,
        seed: int,
        changed: Mapping[str, Array] | None = None,
        without: Sequence[Sequence[str]] = (),
    ) -> tuple[tuple[str, ...], ...]:
        """How the model continues each prompt when each token is drawn by its probability, `times` times. `without`:
        for each prompt, words that its continuations do not have."""

    def tune(
        self,
        asked: Sequence[Cloze],
        how: Tuning,
        changed: Mapping[str, Array] | None,
        watch: Callable[[int, float], bool],
    ) -> Mapping[str, Array]:
        """Trains factors on the answers. `watch` gets the steps done and the last loss, at 0 too, while the model runs
        with what it has learned; True ends it. Returns the trained weights."""

    def compare(
        self,
        texts: Sequence[Prompt],
        changed: Mapping[str, Array],
        last: bool = False,
        base: Sequence[Array] | None = None,
    ) -> ModelComparison:
        """Compares the base with the changed model, over all tokens of n texts or, with `last`, at their last tokens.
        `base` is the result of `final_states` for these texts; it saves half of the work and does not go with
        `last`."""

    def final_states(self, texts: Sequence[Prompt]) -> Sequence[Array]:
        """The states (t, d) of each text behind the final norm. The next-token probabilities depend on nothing else."""

    def generate(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None = None
    ) -> tuple[str, ...]:
        """How the model continues each prompt, with the likeliest token each time, up to its end-of-text or `tokens`
        tokens."""

    def generate_tokens(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None = None
    ) -> tuple[Continuation, ...]:
        """As `generate`, token by token, with the probability of each."""

    def generate_both(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`generate` for the base and for the changed model, in little more time than one of them takes."""

    def moments(self, names: Sequence[str], texts: Sequence[str], tokens: int) -> Mapping[str, SecondMoment]:
        """The second moment of what each matrix reads over about `tokens` tokens of the texts, without position 0."""

    def learn_value(
        self, wish: ValueGoal, layer: int, where: DeltaTarget, how: Descent, changed: Mapping[str, Array] | None = None
    ) -> LearnedValue:
        """Learns what to add at the subject's last token: to the `output` of the MLP of that layer (ROME), or to the
        residual `stream` after the layer (MEMIT). Contexts with the subject at position 0 are left out.

        Raises ValueError when that leaves none.
        """

    def answer_gradients(
        self, names: Sequence[str], asked: Sequence[Cloze], changed: Mapping[str, Array] | None = None
    ) -> Mapping[str, tuple[Array, Array, NDArray[np.int64]]]:
        """What each matrix reads (d_in, t) at the t tokens before those of the answers, the gradient (d_out, t) of the
        answers' negative log-likelihood by what it writes there, and the number (t,) of each token's answer."""
