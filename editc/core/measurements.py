"""What verify measures: claims with their bounds, certificates with their attacks, pictures and answers before and
after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import exp
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.places import Span

Array: TypeAlias = NDArray[np.float64]
"""A float64 array."""


RUN_CLAIMS = frozenset(
    {
        "absent_nll",
        "at_start",
        "carried",
        "efficacy",
        "forgotten_nll_after",
        "forgotten_nll_before",
        "form",
        "known",
        "learned_nll_after",
        "learned_nll_before",
        "neighbourhood",
        "neighbours_unchanged",
        "paraphrase",
        "phrasing",
        "present_nll",
        "retain_kl",
        "retained",
        "retained_nll_after",
        "retained_nll_before",
        "retain_nll_after",
        "retain_nll_before",
        "retain_top1",
        "spread",
        "step",
        "trace_overlap",
        "trace_overlap_mean",
        "worst_phrasing",
    }
)
"""Claims that come from running a model in float32. Their last digits differ between machines."""
GENERATED_CLAIMS = frozenset({"bystander_loss", "fluency_after", "fluency_before", "said", "suite"})
"""Claims that depend on the words that a model generates. Where two tokens are about equally likely, another machine
may say other words."""


@dataclass(frozen=True)
class Claim:
    """One measurement, with the bound that it must meet if there is one."""

    name: str
    """What was measured, such as `erase_residual`."""
    value: float
    """The figure."""
    bound: float | None = None
    """The bound in the manifest. None: the figure is only reported."""
    subject: str = ""
    """What it was measured of: a concept, a matrix or a form of question. Empty: of the whole build."""
    span: Span | None = None
    """Where the bound stands in the manifest. None where there is no bound."""
    unit: str = ""
    """The unit of `value`, such as `share`. Empty where it has none."""
    least: bool = False
    """True: the bound is a minimum. False: a maximum."""
    of: int = 0
    """How many prompts or pictures a share was counted in. 0 where the value is no such share."""

    @property
    def holds(self) -> bool:
        """True when there is no bound, or when the value is finite and does not break the bound."""
        if self.bound is None:
            return True
        return bool(np.isfinite(self.value) and (self.value >= self.bound if self.least else self.value <= self.bound))


def claim_fields(claim: Claim) -> dict[str, Any]:
    """Return a claim as JSON values. Keys without a value are left out.

    `line` is the line of its bound in the manifest. A delta records these keys; a report and `--json` each change a
    few.
    """
    every = {"name": claim.name, "subject": claim.subject, "value": claim.value, "bound": claim.bound}
    every |= {"unit": claim.unit, "line": claim.span.line if claim.span else None, "least": claim.least or None}
    return {name: value for name, value in every.items() if value not in (None, "")}


@dataclass(frozen=True)
class Attack:
    """The embedding that brings an erased concept back the furthest: rows to put into one sentence."""

    prompt: str
    """The sentence that is attacked."""
    rows: tuple[int, ...]
    """(m,): numbers of the rows of the sentence that are replaced."""
    points: Array = field(compare=False, repr=False)
    """(d, m): what is put in their place."""


@dataclass(frozen=True)
class Certificate:
    """The worst case over all embeddings that the encoder can produce: how much of one concept can be restored. 0:
    nothing; 1: all of it. Each figure is that of the worst sentence, except `median`. docs/explanation/certificate.md
    defines them."""

    concept: str
    """The erased concept."""
    recoverable: float
    """The most that any embedding restores. It is computed exactly."""
    sentence: str
    """The sentence at which it is reached."""
    median: float
    """The median over sentences."""
    own: float
    """What the sentence's own rows restore."""
    derived: float
    """What RECE's embedding restores after it is moved into the set in which rows can lie."""
    derived_free: float
    """What RECE's embedding restores as published."""
    derived_inside: float
    """The share of RECE's embeddings, as published, that lie in that set."""
    proven: bool
    """True: the set follows from the encoder's architecture. False: it was measured over a corpus."""
    exact: bool
    """True: the set is exactly where rows can lie. False: it is a larger set that contains it."""
    gap: float
    """The most by which rounding may be wrong."""
    residual: float
    """Relative residual of the optimality conditions."""
    attacks: tuple[Attack, ...] = field(default=(), compare=False, repr=False)
    """The embeddings that restore the most, one for each sentence."""


@dataclass(frozen=True)
class Picture:
    """One prompt painted before and after the edit."""

    concept: str
    """The concept that the detector looks for."""
    prompt: str
    """The prompt."""
    seed: int
    """The seed of the noise."""
    erased: bool
    """True for an edited concept, False for a preserved one."""
    before: NDArray[np.uint8]
    """(h, w, 3), uint8."""
    after: NDArray[np.uint8]
    """(h, w, 3), uint8."""
    shown_before: bool | None
    """Whether the detector found the concept in `before`. None without a detector."""
    shown_after: bool | None
    """Whether the detector found the concept in `after`. None without a detector."""
    attack: bool = False
    """True: `after` is painted from the certificate's attack on the prompt."""


Access: TypeAlias = Literal["prompts", "words", "rows", "pictures", "weights"]
"""What an attacker must be able to choose. `prompts`: any text. `words`: embeddings of new words, in the text encoder's
input. `rows`: what the text encoder gives. `pictures`: the noise or the picture that painting starts from. `weights`:
further training."""


ACCESS: Mapping[str, str] = {
    "prompts": "a prompt",
    "words": "new words in the text encoder",
    "rows": "rows in place of the text encoder's",
    "pictures": "noise or a picture to start from",
    "weights": "further training",
}
"""What an attacker chose -> how the page says it."""


@dataclass(frozen=True)
class AttackCurve:
    """How an attack grows with one figure of its budget, in the edited model."""

    axis: str
    """What the figure is, such as `training steps`."""
    points: tuple[tuple[float, int, int], ...]
    """The figure, the pictures painted there that show the concept, and how many were painted; ascending."""

    @property
    def back(self) -> float | None:
        """The least figure from which at least half of the pictures show the concept. None where they never do."""
        return next((at for at, shown, of in self.points if 2 * shown >= of > 0), None)


@dataclass(frozen=True)
class AttackResult:
    """What one attack made of one erased concept, with its controls."""

    attack: str
    """The attack's name in the registry."""
    access: Access
    """What the attacker must be able to choose."""
    concept: str
    """The erased concept."""
    shown: int
    """Pictures by the edited model that show the concept."""
    of: int
    """Pictures painted on each side."""
    control: int
    """The same attack on the unedited model: pictures that show the concept. An attack that hardly succeeds here says
    nothing about the edit."""
    unrelated: str
    """Another concept, which was not edited. Empty where none was attacked."""
    unrelated_shown: int
    """The same attack on that concept in the edited model: pictures that show it."""
    budget: Mapping[str, Any]
    """The attack's options, all of them."""
    seed: int
    """Where its random numbers started."""
    unrelated_of: int = 0
    """Pictures painted of that concept. An attack may find more or fewer prompts of it than of the erased one."""
    says: Mapping[str, Any] = field(default_factory=dict)
    """What it found, such as prompts: values that JSON has."""
    curve: AttackCurve | None = None
    """How it grows with its budget. None for an attack that has no such figure."""
    seconds: float = field(default=0.0, compare=False)
    """Processor time of its runs on the edited model and on the controls. It differs between machines, and no delta or
    report records it."""

    @property
    def tells(self) -> bool:
        """True where the attack brought the concept back in at least half of the unedited model's pictures."""
        return 2 * self.control >= self.of > 0

    @property
    def share(self) -> float:
        """The share of the edited model's pictures that show the concept; 0 where none was painted."""
        return self.shown / self.of if self.of else 0.0

    def as_recorded(self) -> dict[str, Any]:
        """The fields that a delta and a report record."""
        every = {name: value for name, value in asdict(self).items() if name != "seconds" and value is not None}
        return every | ({"curve": {**every["curve"], "back": self.curve.back}} if self.curve else {})


@dataclass(frozen=True)
class Depth:
    """Evidence for where in a language model the edited concepts are. Each tuple has one figure per layer; () where it
    was not measured."""

    traced: tuple[float, ...] = ()
    """Causal tracing (ROME, section 2): with noise on the subject's embeddings, the share of the lost probability that
    returns when the residual stream at the subject's last token is restored after that layer. Mean over edits."""
    moved: tuple[float, ...] = ()
    """The same share at the prompt's last token."""
    total: float = 0.0
    """The probability that noise takes away, mean over edits."""
    lens: tuple[float, ...] = ()
    """Logit lens: median rank of the answer's first token at the prompt's last one; 0 is the likeliest."""
    probed: tuple[float, ...] = ()
    """Concept depth: for each layer, the cross-validated accuracy of a linear probe that tells prompts with the concept
    from prompts without it."""
    window: tuple[int, ...] = ()
    """The layers that were chosen."""
    why: str = ""
    """The reason, for the report."""


@dataclass(frozen=True)
class Answer:
    """One prompt that a language model was asked before and after the edit."""

    edit: int
    """The number of the edit in the manifest. A number that no edit has where the prompt belongs to none."""
    purpose: str
    """`efficacy` (the edited prompt itself), `paraphrase`, `relation` (of a redirected concept), `neighbour` (must
    stay), `form` (the edited knowledge asked for in another form) or `retain`."""
    form: str
    """The form of the question: see docs/glossary.md."""
    prompt: str
    """The text."""
    chat: bool
    """True where it went through the chat template."""
    wanted: str
    """The right answer after the edit: the new one, or for a neighbour its own. Empty where there is none, as for an
    erased concept."""
    other: str
    """The wrong answer after the edit. Empty where there is none."""
    before: tuple[float, float]
    """Probabilities of the whole answers `wanted` and `other` before the edit."""
    after: tuple[float, float]
    """The same after the edit."""
    holds: bool
    """True where the prompt counts as right in the shares of the claims."""
    said: tuple[str, str] = ("", "")
    """What the model generates before and after the edit, with the likeliest token each time. Empty where nothing was
    generated."""


@dataclass(frozen=True)
class TokenScores:
    """How likely the t tokens of one answer are, each after the right tokens before it. All logarithms are natural."""

    log_probabilities: Array
    """(t,): of each token."""
    hits: NDArray[np.bool_]
    """(t,): true where the token is the likeliest of all tokens."""
    means: Array
    """(t,): the mean log-probability at that place, over the model's own distribution."""
    variances: Array
    """(t,): the variance of the log-probability there."""

    @property
    def loss(self) -> float:
        """The mean negative log-probability of a token."""
        return -float(self.log_probabilities.mean())

    @property
    def probability(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return exp(-self.loss)


@dataclass(frozen=True)
class Tuning:
    """How low-rank factors (LoRA) are trained on answers, by AdamW without decay of weights."""

    steps: int
    """The most steps."""
    rate: float = 1e-3
    """The learning rate."""
    rank: int = 16
    """The rank of the factors of each layer."""
    batch: int = 20
    """How many answers a step takes."""
    first: int = 0
    """The first layer that is trained, from 0."""
    decay: bool = False
    """True: the learning rate falls to a tenth over the steps."""
    seed: int = 0
    """The first factors and the order of the batches depend on this alone."""


@dataclass(frozen=True)
class Bystander:
    """Something that the manifest does not name, measured before and after the edit: a concept of an image model, or a
    question to a language model."""

    name: str
    """The concept, or the question's prompt."""
    kind: str
    """Images: `near` to what is edited or `far` from it, or `kept`: preserved by name, under the same bound. Language
    models: why it was asked, such as `same last token`."""
    before: float
    """The share of pictures that showed the concept before the edit. For a question 1, because its answer then is the
    standard."""
    after: float
    """The same after the edit. For a question: 1 if the answer stayed, else 0."""
    of: int
    """How many pictures were painted before the edit, and how many after it. For a question 1."""
    said: tuple[str, str] = ("", "")
    """What a language model says before and after the edit. Empty for images."""

    @property
    def loss(self) -> float:
        """The share that was lost. Negative where more pictures show it than before."""
        return self.before - self.after


@dataclass(frozen=True)
class Report:
    """Everything that `verify` measured."""

    claims: tuple[Claim, ...]
    """Every measurement."""
    sites: tuple[Mapping[str, Any], ...] = ()
    """For each site: JSON with its drift and its change."""
    pictures: tuple[Picture, ...] = ()
    """The painted pictures. Empty where the manifest asks for none."""
    certificates: tuple[Certificate, ...] = ()
    """One for each erased concept. Empty for language models."""
    answers: tuple[Answer, ...] = ()
    """Every prompt that a language model was asked. Empty for image models."""
    detector: Mapping[str, Any] = field(default_factory=dict)
    """What tells the detector from another (`Context.detector_identity`). Empty where nothing was judged."""
    attacks: tuple[AttackResult, ...] = ()
    """What the attacks of `verify.attacks` made of each erased concept. Empty where none was run."""
    bystanders: tuple[Bystander, ...] = ()
    """What the manifest does not name, worst first. Empty where nothing could be measured; a report calls that "not
    checked"."""
    suite: Mapping[str, Any] = field(default_factory=dict)
    """What `verify.suite` measured, as report.json has it. Empty where the manifest asks for none."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    """What is left of each delta that was in the model, as report.json has it. Empty without `after`."""
