"""The values that flow between passes: Manifest -> Plan -> Problem -> Solution -> Verified -> Delta. All frozen.

Column convention throughout: a key has shape (d_in,), a weight (d_out, d_in), a layer computes `W c`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.family import Family
from editc.numerics.trust import Ball
from editc.request import Manifest, Request, Span

Array: TypeAlias = NDArray[np.float64]
Form: TypeAlias = Literal["shared", "low-rank", "dense"]


@dataclass(frozen=True, order=True)
class Site:
    """One matrix that may be edited: parameter `name` in `component` (say `unet`), stored (d_out, d_in) in `dtype`."""

    component: str
    name: str
    shape: tuple[int, int]
    dtype: str
    role: str
    group: str = "text"
    transposed: bool = False


@dataclass(frozen=True)
class Weighed:
    """How much one site carries the edited concepts: the change in predicted noise when it alone is ablated, as a
    share of that of all sites; `alone` is the mean of `each`, one a concept. `without` is what the kept sites reach
    without this one (of the worst concept), None for a site that is left out."""

    site: Site
    alone: float
    each: tuple[float, ...]
    without: float | None

    @property
    def kept(self) -> bool:
        """True for a site of the plan."""
        return self.without is not None


@dataclass(frozen=True)
class Ranking:
    """What `sites: auto` measured: the share asked for, what the kept sites reach of each of `concepts`, and every
    candidate, kept ones first, then by what each does alone. `passes.evidence` says how shares are measured."""

    share: float
    concepts: tuple[str, ...]
    reached: tuple[float, ...]
    sites: tuple[Weighed, ...]


@dataclass(frozen=True)
class Plan:
    """A manifest with the family found, the sites chosen in the order of their names, and why each was (where they
    were chosen by evidence, also why the others were not)."""

    manifest: Manifest
    family: Family
    model: str
    sites: tuple[Site, ...]
    evidence: Mapping[str, str]
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Adapted:
    """What an adapter makes of one matrix: W + scale up down, with up (d_out, r), down (r, d_in), scale = alpha / r."""

    up: Array
    down: Array
    scale: float


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: what it makes of each parameter that it names, and the sha256 of its file."""

    modules: Mapping[str, Adapted]
    fingerprint: str


@dataclass(frozen=True)
class Block:
    """The keys of one request: `keys` and `targets` (d_in, m), `weights` (m,), and where each column came from.

    Strength is not yet in the targets: `numerics.ridge` moves them to `c + strength (c* - c)`.
    `places` (m,) says which kind of row each column is (`passes.phrases.places`); () where the key rule says nothing.
    """

    request: Request
    keys: Array
    targets: Array
    weights: Array
    origin: tuple[str, ...]
    strength: float = 1.0
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """Rows that must not move: `moment` (d_in, d_in) is their weighted second moment as the solver sees it,
    `rows` (d_in, k) the preserved prompts' own, by which drift is measured, `empty` (d_in, t) the empty prompt's.

    `rows` may be condensed: where `count` is above k they stand for that many, with |X rows| the same for every X.
    `keys` (d_in, n) and `weights` (n,) are the columns that `moment` sums, one by one: moment = keys diag(weights)
    keys^T. They are there for methods that ask for them (`passes.methods.Retaining`); else (0, 0).
    """

    moment: Array
    rows: Array
    empty: Array
    origin: tuple[str, ...]
    count: int = 0
    keys: Array = field(default_factory=lambda: np.zeros((0, 0)))
    weights: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Witness:
    """One sentence that names an erased concept: of its `rows` (m,) that the target would change, the encoder's own
    `keys` (d, m), the same rows with the target in its place (d, m), and their `weights` (m,)."""

    concept: str
    prompt: str
    rows: tuple[int, ...]
    keys: Array
    targets: Array
    weights: Array


@dataclass(frozen=True)
class Watch:
    """What the certificate is about: the sentences of every erased concept, whichever keys a method edits, and the
    balls in which any row of the encoder lies."""

    witnesses: tuple[Witness, ...]
    balls: tuple[Ball, ...]


@dataclass(frozen=True)
class System:
    """One joint least-squares problem over a group of sites that see the same input.

    `weights` yields each W (d_out, d_in) in float64, in the order of the group's sites; it may read from disk,
    so a method goes through it once. `blocks` is one per request. `ridge` is the lambda that suits the scale of the
    weights in `blocks` and `kept`; a method's own `lamb`, where the manifest gives one, goes before it.
    """

    blocks: tuple[Block, ...]
    kept: Kept
    weights: Sequence[Array]
    ridge: float = 0.5
    gram: Array | None = None
    watch: Watch | None = None

    def total_gram(self) -> Array:
        """sum_l W_l^T W_l, (d_in, d_in): `gram` when it is known, else from the weights, one at a time in order."""
        if self.gram is not None:
            return self.gram
        total = np.zeros_like(self.kept.moment)
        for W in self.weights:
            total += W.T @ W
        return total


@dataclass(frozen=True)
class Problem:
    """A plan with one system per group; `leaks` measure what reaches the model past the groups that are edited."""

    plan: Plan
    systems: Mapping[str, System]
    encoder: str
    corpus: str
    leaks: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Stats:
    """What a solve can say of itself: condition number of G, relative residual of the factorisation, notes."""

    condition: float
    residual: float
    rank: int
    discarded: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """A solved change of one group's sites.

    shared    W' = W + (W left[0]) right      left: one (d_in, r), right (r, d_in)
    low-rank  W'_l = W_l + left[l] right[l]   left[l] (d_out, r), right[l] (r, d_in); one right serves all if single
    dense     W'_l = W_l + left[l]            left[l] (d_out, d_in)
    """

    form: Form
    left: tuple[Array, ...]
    right: tuple[Array, ...]
    stats: Stats


@dataclass(frozen=True)
class Solution:
    """A problem with its edit per group; `strengths` are those used, one a request (found, where asked `auto`)."""

    problem: Problem
    edits: Mapping[str, Edit]
    methods: tuple[Mapping[str, Any], ...]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Claim:
    """One measurement, the bound that it answers (None: reported only), and the manifest line of that bound."""

    name: str
    value: float
    bound: float | None = None
    subject: str = ""
    span: Span | None = None
    unit: str = ""

    @property
    def holds(self) -> bool:
        """True when there is no bound or the value is finite and at most the bound."""
        return self.bound is None or bool(np.isfinite(self.value) and self.value <= self.bound)


@dataclass(frozen=True)
class Attack:
    """Rows (d, m) to put in place of the `rows` (m,) of `prompt`: what brings its concept back the furthest."""

    prompt: str
    rows: tuple[int, ...]
    points: Array = field(compare=False, repr=False)


@dataclass(frozen=True)
class Certificate:
    """How far any rows whatever can bring one concept back in the edited projections: 1 entirely, 0 no nearer than
    its target is. Every figure is that of the worst sentence, but `median`; definitions in docs/certificate.md.

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
    """One prompt painted before and after: uint8 (h, w, 3) each, and what the detector said of them.

    `attack`: `after` is painted from the certificate's attack on that prompt and not from the prompt itself.
    """

    concept: str
    prompt: str
    seed: int
    erased: bool
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    shown_before: bool
    shown_after: bool
    attack: bool = False


@dataclass(frozen=True)
class Report:
    """Everything measured: the claims, each site's drift, the pictures where they were asked for, and for each erased
    concept the certificate against every prompt."""

    claims: tuple[Claim, ...]
    sites: tuple[Mapping[str, Any], ...] = ()
    pictures: tuple[Picture, ...] = ()
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True)
class Verified:
    """A solution with its report."""

    solution: Solution
    report: Report


@dataclass(frozen=True)
class SiteRecord:
    """A site as a delta records it: for each dtype in which the base may come (`F32`, `F16`, `BF16`) the sha256 of the
    base bytes, of their transpose, and of the result; and the base's `numerics.sketch`, as a matrix (d_out, d_in)."""

    site: Site
    base: Mapping[str, str]
    base_transposed: Mapping[str, str]
    result: Mapping[str, str]
    sketch: str


@dataclass(frozen=True)
class Factors:
    """An edit as stored, float32: the same shapes as `Edit`; `sites` are indices into the delta's site records."""

    form: Form
    sites: tuple[int, ...]
    left: tuple[NDArray[np.float32], ...]
    right: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Delta:
    """The artefact in memory. `factors` by group; `claims` are JSON values; `edits` say concept, target and method.

    `encoder` is the fingerprint of the text encoder whose embeddings the keys are ('' when none was used).
    """

    family: str
    sites: tuple[SiteRecord, ...]
    factors: Mapping[str, Factors]
    encoder: str
    manifest: str
    manifest_digest: str
    edits: tuple[Mapping[str, Any], ...]
    claims: tuple[Mapping[str, Any], ...]
    tool: str
    version: int = 1
    delta_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
