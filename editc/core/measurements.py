"""What verify found: claims against their bounds, certificates with their attacks, pictures before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.places import Span

Array: TypeAlias = NDArray[np.float64]


RUN = frozenset(
    {
        "absent_nll",
        "at_start",
        "carried",
        "efficacy",
        "form",
        "known",
        "neighbourhood",
        "neighbours_unchanged",
        "paraphrase",
        "present_nll",
        "retain_kl",
        "retain_nll_after",
        "retain_nll_before",
        "retain_top1",
        "spread",
        "step",
        "trace_overlap",
        "trace_overlap_mean",
    }
)
"""Claims by running a model in float32, which differ between machines in their last digits."""
GENERATED = frozenset({"bystander_loss", "fluency_after", "fluency_before", "said"})
"""Claims by words that a model goes on with: where two tokens are about as likely, another machine says other words."""


@dataclass(frozen=True)
class Claim:
    """One measurement, the bound that it answers (None: reported only), and the manifest line of that bound. The bound
    is a maximum, or with `least` a minimum. `of`: of how many prompts a share is, 0 where it is of anything else."""

    name: str
    value: float
    bound: float | None = None
    subject: str = ""
    span: Span | None = None
    unit: str = ""
    least: bool = False
    of: int = 0

    @property
    def holds(self) -> bool:
        """True when there is no bound, or the value is finite and on the right side of it or equal."""
        if self.bound is None:
            return True
        return bool(np.isfinite(self.value) and (self.value >= self.bound if self.least else self.value <= self.bound))


@dataclass(frozen=True)
class Attack:
    """Rows (d, m) to put in place of the `rows` (m,) of `prompt`: what brings its concept back the furthest."""

    prompt: str
    rows: tuple[int, ...]
    points: Array = field(compare=False, repr=False)


@dataclass(frozen=True)
class Certificate:
    """How far any rows whatever can bring one concept back in the edited projections: 1 entirely, 0 no nearer than
    its target is. Every figure is that of the worst sentence, but `median`; docs/explanation/certificate.md
    defines each.

    `recoverable`, exact, at `sentence`; `own`, the sentence's own rows; `derived`, RECE's embedding moved into the set
    that rows can lie in; `derived_free`, RECE's as published, of which the share `derived_inside` lies in that set.
    `proven`: that set follows from the encoder's architecture; `exact`: it is the set itself and not one around it.
    `gap`: the most by which rounding may be wrong; `residual`: of the optimality conditions, relative.
    """

    concept: str
    recoverable: float
    sentence: str
    median: float
    own: float
    derived: float
    derived_free: float
    derived_inside: float
    proven: bool
    exact: bool
    gap: float
    residual: float
    attacks: tuple[Attack, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Picture:
    """One prompt painted before and after: uint8 (h, w, 3) each, and what the detector said of them, None without one.

    `attack`: `after` is painted from the certificate's attack on that prompt and not from the prompt itself.
    """

    concept: str
    prompt: str
    seed: int
    erased: bool
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    shown_before: bool | None
    shown_after: bool | None
    attack: bool = False


@dataclass(frozen=True)
class Depth:
    """Where in a language model the edited concepts are, layer by layer, by three kinds of evidence that are kept
    apart; each is (layers,), or () where it was not taken. `window` are the layers that it was decided to edit.

    `traced`: causal tracing (ROME, section 2): with the subject's embeddings noised, the share of the lost probability
    that comes back when the residual stream at the subject's last token is restored after that layer; the mean over
    edits. `total`: the probability lost, the mean. `moved`: the same share at the prompt's last token. `lens`: logit
    lens, the median rank of the answer's first token at the prompt's last one. `probed`: concept depth, the
    cross-validated accuracy of a linear probe that tells prompts with the concept from prompts without.
    """

    traced: tuple[float, ...] = ()
    moved: tuple[float, ...] = ()
    total: float = 0.0
    lens: tuple[float, ...] = ()
    probed: tuple[float, ...] = ()
    window: tuple[int, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """One prompt, asked of a language model before and after. Probabilities are those of the whole answer; `said` is
    what follows greedily, where it was generated.

    `purpose`: `efficacy` (the edited prompt itself), `paraphrase`, `relation` (of a redirected concept), `neighbour`
    (must stay), `form` (the edited knowledge asked for in another form, `form` says which), `retain`.
    `wanted`: what is right now (the new answer; of a neighbour its own); `other`: what is wrong now. '' where there is
    none: an erased concept has no new answer. `holds`: what this prompt counts as, for the shares in the claims.
    """

    edit: int
    purpose: str
    form: str
    prompt: str
    chat: bool
    wanted: str
    other: str
    before: tuple[float, float]
    after: tuple[float, float]
    holds: bool
    said: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Bystander:
    """Something that the manifest does not name, measured before and after the edit: a concept of an image model, or a
    question to a language model."""

    name: str
    """The concept, or the question's prompt."""
    kind: str
    """Images: `near` or `far` from what is edited, or `kept`: preserved by name, under the same bound. Language models:
    why it was asked, e.g. `same last token`."""
    before: float
    """Share of the pictures that showed the concept before the edit; of a question 1 (it is the standard)."""
    after: float
    """The same after the edit; of a question 1 where the answer stayed, else 0."""
    of: int
    """How many pictures were painted on each side; of a question 1."""
    said: tuple[str, str] = ("", "")
    """What a language model says before and after; empty for images."""

    @property
    def loss(self) -> float:
        """The share lost; negative where it gained."""
        return self.before - self.after


@dataclass(frozen=True)
class Report:
    """Everything measured: the claims, each site's drift, the pictures where they were asked for, and for each erased
    concept the certificate against every prompt; of a language model every prompt that it was asked."""

    claims: tuple[Claim, ...]
    sites: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Picture, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    answers: tuple[Answer, ...] = ()
    detector: Mapping[str, Any] = field(default_factory=dict)
    """Who judged the pictures, as `backends.detectors.kind.identity` tells detectors apart; empty where nobody did."""
    bystanders: tuple[Bystander, ...] = ()
    """What nobody named, worst first; empty where none could be measured, which a report calls "not checked"."""
