"""What flows between the passes for language models, and the port through which they ask one.

A prompt is plain text or, with `chat`, what a user says, put through the model's chat template with the answer to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.text import last_occurrence

PREFIXES = (
    "",
    "It was a quiet afternoon. ",
    "The following is well known. ",
    "He closed the book and went on: ",
    "On the next page there was a list. ",
    "As a friend told me yesterday over a cup of tea, ",
    "In the end, after a long discussion, everybody agreed. ",
)
"""What a prompt is put behind to see its subject in other contexts. ROME has the model write these, so that they
differ from run to run; here they are the same for every model."""


@dataclass(frozen=True)
class Memory:
    """One matrix W (d_out, d_in) of a language model as a linear memory, and the changes that it is to hold.

    `keys` (d_in, m): what it reads at each edit's subject, the mean over contexts; `bare` (d_in, m): in the prompt as
    it stands. `residuals` (d_out, m): what is to be added to its output there. `moment` (d_in, d_in): E[k k^T] of
    ordinary text, not centred; `kept` (d_in, p): keys whose outputs
    are to stay as they are: those of earlier edits, of a redirection's target, of names that are preserved.
    """

    keys: Array
    bare: Array
    residuals: Array
    moment: Array
    preserved: Array

    def weighted_moment(self) -> Array:
        """C + K_p K_p^T: the moment as if each kept key were read as often as all text together."""
        return np.asarray(self.moment + self.preserved @ self.preserved.T)


@dataclass(frozen=True)
class Writer:
    """One matrix W (d_out, d_in) that writes to the residual stream, and for each concept the stream that it meets: at
    prompts that carry it, `present` (n, d_out), and at prompts that do not, `absent` (n', d_out)."""

    weight: Array
    present: tuple[Array, ...]
    absent: tuple[Array, ...]


@dataclass(frozen=True)
class ConceptScores:
    """How far each column of a matrix (d_out, d_in) names c concepts, by what it adds to the logits of their words.

    `scores` (c, d_in): how many standard deviations of all the words' logits, with the sign. `ranks` (c, d_in): the
    column's place by |score| among those of all matrices that are edited together, 0 the first.
    """

    scores: Array
    ranks: NDArray[np.int64]


@dataclass(frozen=True)
class ScoredColumns:
    """One matrix W (d_out, d_in) whose columns name c concepts, each to be taken out at its strength (c,)."""

    weight: Array
    concept_scores: ConceptScores
    strengths: Array


@dataclass(frozen=True)
class Prompt:
    """Something to go on from."""

    text: str
    chat: bool = False


@dataclass(frozen=True)
class Spot:
    """The last token of `subject` in `prompt`, behind `before` there, or if that is None where it last stands (as words
    of their own rather than inside a longer one); without a subject, the last token of all."""

    prompt: str
    subject: str = ""
    chat: bool = False
    before: str | None = None

    @property
    def begin(self) -> int:
        """Where the subject begins, in characters of `prompt`. LookupError when it does not stand there."""
        if self.before is None:
            found = last_occurrence(self.prompt, self.subject)
        else:
            found = len(self.before) if self.prompt.startswith(self.before + self.subject) else -1
        if found < 0:
            raise LookupError(f"`{self.subject}` is not in `{self.prompt}`")
        return found

    @property
    def causal_prefix(self) -> tuple[str, bool]:
        """The prompt up to the subject's end, and whether it is chat: all that a state there depends on. LookupError
        as `begin`."""
        return (self.prompt[: self.begin + len(self.subject)] if self.subject else self.prompt), self.chat


@dataclass(frozen=True)
class TokenPosition:
    """Where a spot is: row `row` of `count` tokens, `first` being the subject's first row.

    Row 0 is an attention sink: what stands there has states hundreds of times as large as elsewhere, which depend
    little on the word. A subject is there where a tokenizer adds no BOS and a prompt begins with it.
    """

    row: int
    first: int
    count: int

    @property
    def sink(self) -> bool:
        """True for position 0."""
        return self.row == 0


@dataclass(frozen=True)
class Cloze:
    """A prompt and a text that may follow it; between a plain prompt and a word there is a space, put in if need be."""

    prompt: str
    answer: str
    chat: bool = False


@dataclass(frozen=True)
class KnownFact:
    """Something that a model knows: after `prompt`, which has `subject` in it behind `before`, it goes on with
    `answer`."""

    prompt: str
    subject: str
    answer: str
    chat: bool = False
    before: str | None = None

    @property
    def spot(self) -> Spot:
        """Where the subject ends."""
        return Spot(self.prompt, self.subject, self.chat, self.before)

    @property
    def cloze(self) -> Cloze:
        """Without the subject."""
        return Cloze(self.prompt, self.answer, self.chat)


@dataclass(frozen=True)
class Noise:
    """Normal noise on a subject's embeddings, of `sigmas` standard deviations of the embedding's entries, drawn
    `samples` times from `seed` alone."""

    samples: int = 3
    seed: int = 0
    sigmas: float = 3.0


@dataclass(frozen=True)
class TracedFacts:
    """Causal tracing of n things known, by the probability of each answer's first token: `clean` (n,); `noised` (n,),
    with noise on the subject; and with the noise and the clean residual stream put back after each layer, `subject`
    (n, layers) at the subject's last token, `last` (n, layers) at the prompt's. Means over samples of noise."""

    clean: Array
    noised: Array
    subject: Array
    last: Array


@dataclass(frozen=True)
class Continuation:
    """What a model goes on with, the likeliest token each time: the whole `text`, the text of each token in `pieces`,
    and in `likely` the log-probability of each token, natural logarithms."""

    text: str
    pieces: tuple[str, ...]
    likely: tuple[float, ...]

    def likelihood(self, beginning: str) -> float:
        """The probability of the first tokens together that have `beginning` in them; of all where it is nowhere."""
        ends = (end for end in range(1, len(self.pieces) + 1) if beginning in "".join(self.pieces[:end]))
        return exp(sum(self.likely[: next(ends, len(self.pieces))]))


@dataclass(frozen=True)
class AnswerScores:
    """Of n answers: `total` (n,), the log-probability of all tokens; `first` (n,), that of the first; `top` (n,), true
    where the first token is the likeliest of all; `best` (n,), the number of the token that is; `tokens` (n,), how many
    an answer has. Natural logarithms."""

    total: Array
    first: Array
    top: NDArray[np.bool_]
    best: NDArray[np.int64]
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class ModelComparison:
    """The model before and after a change, of n texts, each the mean over its tokens: `divergence` (n,), KL(before |
    after) of the next token in nats; `agreement` (n,), how often the likeliest token is the same; and the negative
    log-likelihood of the text, `before` (n,) and `after` (n,), nan where the last token alone is compared."""

    divergence: Array
    agreement: Array
    before: Array
    after: Array


@dataclass(frozen=True)
class SecondMoment:
    """What a matrix reads over text: `second` (d_in, d_in) = mean k k^T, not centred, over `count` tokens."""

    second: Array
    count: int


@dataclass(frozen=True)
class ValueGoal:
    """An answer that prompts are to have: `contexts`, one and the same prompt behind several prefixes; `essence`, where
    the next token shall stay as likely as it was ("Paris is a")."""

    contexts: tuple[Spot, ...]
    answer: str
    essence: Spot


@dataclass(frozen=True)
class Descent:
    """How a value is learned, by Adam: the defaults are EasyEdit's for the Llama family.

    steps: at most. rate: of Adam. decay: weight of |delta| / |v0|^2. kl: weight of KL at the essence.
    clamp: the most that |delta| may be, in |v0|. enough: the answer's probability, the geometric mean over contexts, at
    which it ends: a change that goes on to 0.99 is longer and costs the neighbours.
    """

    steps: int = 25
    rate: float = 0.5
    decay: float = 1e-3
    kl: float = 0.0625
    clamp: float = 4.0
    enough: float = 0.95


@dataclass(frozen=True)
class LearnedValue:
    """A learned change: `delta` (d,) of the output, which without it is `before` (d,), the mean over contexts;
    `losses`, one a step; `probability`, the geometric mean over contexts of the answer's, with the delta."""

    delta: Array
    before: Array
    losses: tuple[float, ...]
    probability: float


DeltaTarget: TypeAlias = Literal["output", "stream"]


class Network(Protocol):
    """A language model that runs. Matrices go by their names in the checkpoint, say
    `model.layers.5.mlp.down_proj.weight`; `changed` maps names to the values (as stored, float64) to run with, the rest
    is the base. Results are float64, in the order asked, and those of one question do not depend on the others beyond
    float32 rounding. Raises LookupError for a subject that a prompt does not have and a matrix that the model does not
    have."""

    @property
    def layers(self) -> int:
        """How many decoder layers."""

    @property
    def multiplier(self) -> float | None:
        """By what a layer multiplies what its MLP says when it adds that to the residual stream: 1 in most models. None
        where something else lies between, say a norm."""

    def fingerprint(self) -> str:
        """sha256 over weights, configuration and tokenizer: equal means the same states and words for the same text."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """The ids of a text by itself, without what begins or ends one. LookupError for a text that has none."""

    def spell(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The text of each token."""

    def embedding(self) -> NDArray[np.float32]:
        """What each token's logit reads of the residual stream, (v, d): the output embedding with the gain of the norm
        before it, for the tokens that the tokenizer has. Up to the stream's own length, which the norm divides by,
        embedding @ x is what x adds to the logits."""

    def positions(self, spots: Sequence[Spot]) -> Sequence[TokenPosition]:
        """Where the spots are."""

    def read_keys(
        self, names: Sequence[str], spots: Sequence[Spot], changed: Mapping[str, Array] | None = None
    ) -> Mapping[str, Array]:
        """What each matrix reads at the spots, (d_in, n): keys."""

    def states(
        self, layers: Sequence[int], spots: Sequence[Spot], changed: Mapping[str, Array] | None = None
    ) -> Mapping[int, Array]:
        """The residual stream (d, n) after each layer, counted from 0, at the spots."""

    def lens(self, layers: Sequence[int], cloze: Sequence[Cloze]) -> Mapping[int, NDArray[np.int64]]:
        """Logit lens: the rank (n,), 0 the likeliest, of each answer's first token in what the final norm and the
        output embedding make of the stream at the prompt's last token after each layer."""

    def trace(self, known: Sequence[KnownFact], noise: Noise) -> TracedFacts:
        """Causal tracing of each. LookupError where an answer begins inside the subject's last token."""

    def score(self, asked: Sequence[Cloze], changed: Mapping[str, Array] | None = None) -> AnswerScores:
        """How likely the answers are."""

    def compare(
        self,
        texts: Sequence[Prompt],
        changed: Mapping[str, Array],
        last: bool = False,
        base: Sequence[Array] | None = None,
    ) -> ModelComparison:
        """The base against the model as changed, over all tokens of the texts or at their last ones. `base`, what
        `final` said of the texts, saves half of the work; not with `last`."""

    def final_states(self, texts: Sequence[Prompt]) -> Sequence[Array]:
        """The states (t, d) of each text behind the final norm: all that its next tokens hang on."""

    def generate(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None = None
    ) -> tuple[str, ...]:
        """What the model goes on with, the likeliest token each time, up to its end-of-text."""

    def generate_tokens(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array] | None = None
    ) -> tuple[Continuation, ...]:
        """The same token by token, with how likely each was."""

    def generate_both(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`generate` of the base and of the model as changed, in little more time than one of them."""

    def moments(self, names: Sequence[str], texts: Sequence[str], tokens: int) -> Mapping[str, SecondMoment]:
        """Of what each matrix reads over about so many tokens of the texts, position 0 left out."""

    def learn_value(
        self, wish: ValueGoal, layer: int, where: DeltaTarget, how: Descent, changed: Mapping[str, Array] | None = None
    ) -> LearnedValue:
        """Learns what to add at the subject's last token, to the `output` of the MLP of that layer (ROME) or to the
        residual `stream` after it (MEMIT). Contexts whose subject is at position 0 are left out.

        Raises ValueError when that leaves none."""
