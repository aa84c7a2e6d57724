"""The values that flow between passes: Manifest -> Plan -> Problem -> Solution -> Verified -> Delta. All frozen.

Column convention throughout: a key has shape (d_in,), a weight (d_out, d_in), a layer computes `W c`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from editc.core.delta import Array as Array
from editc.core.delta import Delta as Delta
from editc.core.delta import Factors as Factors
from editc.core.delta import Form as Form
from editc.core.delta import Site as Site
from editc.core.delta import SiteRecord as SiteRecord
from editc.core.family import Family
from editc.core.manifest import Manifest, Request
from editc.core.measurements import Claim, Depth, Report
from editc.core.text import count
from editc.core.verdict import Verdict
from editc.numerics.chain import Shelf
from editc.numerics.squares import half_gram, mirror
from editc.numerics.trust import Ball


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
    candidate, kept ones first, then by what each does alone. `ranked_sites` says how shares are measured."""

    share: float
    concepts: tuple[str, ...]
    reached: tuple[float, ...]
    sites: tuple[Weighed, ...]


@dataclass(frozen=True)
class Stage:
    """Edits of a language model that one method solves together: their numbers in the manifest, and the numbers in the
    plan of the sites that they change, by ascending layer. Each stage works on what those before it left. `depth` is
    the evidence by which its layers were chosen, where the manifest left that to us."""

    kind: Literal["fact", "redirect", "ablate"]
    method: str
    edits: tuple[int, ...]
    sites: tuple[int, ...]
    depth: Depth | None = None


@dataclass(frozen=True)
class Plan:
    """A manifest with the family found, the sites chosen in the order of their names, and why each was (where they
    were chosen by evidence, also why the others were not). Of a language model also who changes which of them."""

    manifest: Manifest
    family: Family
    model: str
    sites: tuple[Site, ...]
    evidence: Mapping[str, str]
    ranking: Ranking | None = None
    stages: tuple[Stage, ...] = ()

    def __repr__(self) -> str:
        """Short: a plan holds its manifest and family."""
        return f"<Plan for {self.model} ({self.family.name}): {count(len(self.sites), 'site')}>"

    def sites_of(self, group: str) -> tuple[Site, ...]:
        """The sites of one group, in the order of the plan."""
        return tuple(site for site in self.sites if site.group == group)

    def contexts(self, request: Request | None = None) -> tuple[str, ...]:
        """The sentences that names are put into: those of the request, else of the manifest, else of the family."""
        own = None if request is None else request.contexts
        return own or self.manifest.contexts or self.family.contexts


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
    left_out: tuple[str, ...] = ()
    """Modules of the file that are a text encoder's, and so no part of the edit."""


@dataclass(frozen=True)
class Block:
    """The keys of one request: `keys` and `targets` (d_in, m), `weights` (m,), and where each column came from.

    Strength is not yet in the targets: `numerics.ridge` moves them to `c + strength (c* - c)`.
    `places` (m,) says which kind of row each column is (`places`); () where the key rule says nothing.
    `pulls` (k, d_in, m) are there for `moderate`: targets = keys + sum_k share_k pulls_k, for other shares as well.
    """

    request: Request
    keys: Array
    targets: Array
    weights: Array
    origin: tuple[str, ...]
    strength: float = 1.0
    places: tuple[str, ...] = ()
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))


@dataclass(frozen=True)
class Named:
    """What a manifest names under `preserve`, beside the default list."""

    rows: Array
    """(d_in, k), condensed as those of `Kept` are; drift is measured over them apart."""
    listed: tuple[str, ...]
    """Their prompts."""


@dataclass(frozen=True)
class Kept:
    """Rows that must not move: `moment` (d_in, d_in) is their weighted second moment as the solver sees it,
    `rows` (d_in, k) those of the default list, by which drift is measured whatever is named and kept (those of what is
    named where there is no default list), `empty` (d_in, t) the empty prompt's.

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
    named: Named | None = None
    """What the manifest names beside the default list; None where it names nothing."""
    default: bool = True
    """True where the rows of the default list are in `moment`; False: they are measured and not kept."""

    @property
    def held(self) -> Array:
        """The rows (d_in, k) of every prompt that is kept."""
        return np.hstack([*([self.rows] if self.default else []), *([self.named.rows] if self.named else [])])

    @property
    def lists(self) -> tuple[Array, ...]:
        """The rows (d_in, k) of each list that drift is measured over: the default one, then what is named."""
        return (self.rows, *([self.named.rows] if self.named else []))


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
    weights in `blocks` and `kept`; a method's own `lamb`, where the manifest gives one, goes before it. `shelf` is
    where `numerics.chain` keeps sums and factors from one build to the next; no result hangs on it.
    """

    blocks: tuple[Block, ...]
    kept: Kept
    weights: Sequence[Array]
    ridge: float = 0.5
    gram: Array | None = None
    watch: Watch | None = None
    shelf: Shelf | None = field(default=None, compare=False, repr=False)

    def total_gram(self) -> Array:
        """sum_l W_l^T W_l, (d_in, d_in): `gram` when it is known, else from the weights, one at a time in order."""
        if self.gram is not None:
            return self.gram
        total = np.zeros_like(self.kept.moment)
        for W in self.weights:
            total += half_gram(W)
        return mirror(total)


@dataclass(frozen=True)
class Problem:
    """A plan with one system per group; `leaks` measure what reaches the model past the groups that are edited."""

    plan: Plan
    systems: Mapping[str, System]
    encoder: str
    corpus: str
    leaks: tuple[Claim, ...] = ()

    def __repr__(self) -> str:
        """Short: a problem holds the weights."""
        return f"<{type(self).__name__} of {self.plan!r}>"


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

    def at(self, index: int) -> tuple[Edit, int]:
        """The edit of this group's site `index`, and the site's index in it."""
        return self, index


@dataclass(frozen=True)
class Gathered(Edit):
    """A group whose sites belong to several edits, as in a linked delta: of each site, the edit and its index there."""

    places: tuple[tuple[Edit, int], ...]

    def at(self, index: int) -> tuple[Edit, int]:
        """See `Edit.at`."""
        return self.places[index]


@dataclass(frozen=True)
class Round:
    """One edit that was tried: the pull towards each concept, and the share of pictures that then showed it."""

    pulls: tuple[float, ...]
    shown: tuple[float, ...]


@dataclass(frozen=True)
class Balance:
    """How the pulls of edit `index` were found: the shares `wanted` of its `toward`, every round that was tried (the
    first without a pull), which of them was taken, and why the search stopped: `reached` (every share within
    `tolerance`), `rounds` (no more were allowed), `stalled` (the last ones came no nearer)."""

    index: int
    wanted: tuple[float, ...]
    tolerance: float
    rounds: tuple[Round, ...]
    taken: int
    stopped: str

    @property
    def pulls(self) -> tuple[float, ...]:
        """The pulls of the round that was taken."""
        return self.rounds[self.taken].pulls

    @property
    def gap(self) -> float:
        """The largest |wanted - shown| of that round; shares are counts, so twelve digits are all of it."""
        shown = self.rounds[self.taken].shown
        return round(max(abs(a - b) for a, b in zip(self.wanted, shown, strict=True)), 12)


@dataclass(frozen=True)
class Solution:
    """A problem with its edit per group; `strengths` are those used, one a request (found, where asked `auto`), and
    `balances` say how the pulls of `moderate` were found where its shares were to be measured."""

    problem: Problem
    edits: Mapping[str, Edit]
    methods: tuple[Mapping[str, Any], ...]
    strengths: tuple[float, ...]
    balances: tuple[Balance, ...] = ()

    def __repr__(self) -> str:
        """Short: a solution holds the factors."""
        return f"<Solution of {self.problem.plan!r} in {len(self.edits)} groups>"


@dataclass(frozen=True)
class Verified:
    """A solution with its report."""

    solution: Solution
    report: Report
    verdict: Verdict
    """What the report comes to: works, costs, robust. `judging.conclude` fills it."""

    def __repr__(self) -> str:
        """Short: what was found, in three words."""
        return f"<Verified {self.solution.problem.plan.manifest.source.name}: {self.verdict.short}>"

    def _repr_html_(self) -> str:
        """The verdict, for notebooks."""
        return self.verdict._repr_html_()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every measurement of the report."""
        return self.report.claims
