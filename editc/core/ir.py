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
    """How much one site carries the edited concepts, as `sites: auto` measured it."""

    site: Site
    """The matrix."""
    alone: float
    """Mean of `each`: 0 carries nothing, 1 as much as all sites together."""
    each: tuple[float, ...]
    """By concept: the change in predicted noise when this site alone is ablated, as a share of that of all sites."""
    without: float | None
    """What the chosen sites reach without this one, for the worst concept. None for a site that is left out."""

    @property
    def kept(self) -> bool:
        """True for a site of the plan."""
        return self.without is not None


@dataclass(frozen=True)
class Ranking:
    """What `sites: auto` measured. `ranked_sites` says how shares are measured."""

    share: float
    """The share that the manifest asks for, 0 to 1."""
    concepts: tuple[str, ...]
    """The edited concepts, in the order of `reached`."""
    reached: tuple[float, ...]
    """By concept: the share that the chosen sites reach."""
    sites: tuple[Weighed, ...]
    """Every candidate: chosen sites first, then by what each does alone."""


@dataclass(frozen=True)
class Stage:
    """Edits of a language model that one method solves together. A stage works on what the stages before it left."""

    kind: Literal["fact", "redirect", "ablate"]
    """The kind of its edits."""
    method: str
    """The name of the method in the registry."""
    edits: tuple[int, ...]
    """Numbers of the edits in the manifest."""
    sites: tuple[int, ...]
    """Numbers of the changed sites in `Plan.sites`, by ascending layer."""
    depth: Depth | None = None
    """The evidence by which the layers were chosen. None where the manifest names them or the family gives them."""


@dataclass(frozen=True)
class Plan:
    """A manifest with its family and the sites that will be edited. `locate` makes it."""

    manifest: Manifest
    """What the user asked for."""
    family: Family
    """The family of the model."""
    model: str
    """Where the model is, as the user typed it."""
    sites: tuple[Site, ...]
    """The sites to edit, in the order of their names."""
    evidence: Mapping[str, str]
    """Site name -> why it was chosen, or, where evidence decided, why it was not."""
    ranking: Ranking | None = None
    """What `sites: auto` measured on an image model. None where the manifest does not ask for it."""
    stages: tuple[Stage, ...] = ()
    """Language models: which edits change which sites. Empty for image models."""

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
    """A trained adapter, read from its file."""

    modules: Mapping[str, Adapted]
    """Parameter name -> what the adapter adds to it."""
    fingerprint: str
    """sha256 of the file."""
    left_out: tuple[str, ...] = ()
    """Modules of the file that are a text encoder's, and so no part of the edit."""


@dataclass(frozen=True)
class Block:
    """The keys of one request, with the targets that they are to be mapped to."""

    request: Request
    """The edit of the manifest."""
    keys: Array
    """(d_in, m): the inputs to edit."""
    targets: Array
    """(d_in, m): the inputs whose outputs they take. Strength is not applied: `numerics.ridge` moves them to `c +
    strength (c* - c)`."""
    weights: Array
    """(m,): how much each column counts."""
    origin: tuple[str, ...]
    """By column: the prompt and token that it comes from."""
    strength: float = 1.0
    """0 changes nothing, 1 is the whole edit."""
    places: tuple[str, ...] = ()
    """(m,): the kind of row of each column, as the key rule names it. Empty where the rule names none."""
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(k, d_in, m), filled for `moderate`: targets = keys + sum_k share_k pulls_k. Else (0, 0, 0)."""


@dataclass(frozen=True)
class Named:
    """What a manifest names under `preserve`, beside the default list."""

    rows: Array
    """(d_in, k), condensed as those of `Kept` are; drift is measured over them apart."""
    listed: tuple[str, ...]
    """Their prompts."""


@dataclass(frozen=True)
class Kept:
    """Rows whose outputs must not move."""

    moment: Array
    """(d_in, d_in): their weighted second moment, as the solver reads it."""
    rows: Array
    """(d_in, k): rows of the default list, over which drift is measured. Those of what is named where there is no
    default list. Condensed where `count` > k: |X rows| is then the same for every X."""
    empty: Array
    """(d_in, t): the rows of the empty prompt."""
    origin: tuple[str, ...]
    """The prompts that the rows come from."""
    count: int = 0
    """How many rows `rows` stands for."""
    keys: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(d_in, n): the columns that `moment` sums, moment = keys diag(weights) keys^T. Filled for methods that ask for
    them (`passes.methods.Retaining`); else (0, 0)."""
    weights: Array = field(default_factory=lambda: np.zeros(0))
    """(n,): the weight of each column of `keys`; else (0,)."""
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
    """What the certificate is computed over, whichever keys a method edits."""

    witnesses: tuple[Witness, ...]
    """The sentences of every erased concept."""
    balls: tuple[Ball, ...]
    """The balls in which every row of the encoder lies."""


@dataclass(frozen=True)
class System:
    """One joint least-squares problem over a group of sites that see the same input."""

    blocks: tuple[Block, ...]
    """One block a request."""
    kept: Kept
    """What must stay."""
    weights: Sequence[Array]
    """Each W (d_out, d_in) in float64, in the order of the sites of the group. It may read from disk, so a method goes
    through it once."""
    ridge: float = 0.5
    """The lambda that suits the scale of `blocks` and `kept`. A `lamb` in the manifest goes before it."""
    gram: Array | None = None
    """(d_in, d_in): sum_l W_l^T W_l. None where it was not computed yet."""
    watch: Watch | None = None
    """What the certificate is computed over. None where nothing is erased."""
    shelf: Shelf | None = field(default=None, compare=False, repr=False)
    """The cache in which `numerics.chain` keeps sums and factors between builds. No result depends on it. None: nothing
    is kept."""

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
    """A plan with what is to be solved. `derive` makes it."""

    plan: Plan
    """The plan."""
    systems: Mapping[str, System]
    """Group -> its system. Empty for language models."""
    encoder: str
    """Fingerprint of the text encoder, or of the language model that was run."""
    corpus: str
    """Hash of the prompts or text that must stay."""
    leaks: tuple[Claim, ...] = ()
    """Claims about what reaches the model through groups that are not edited."""

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
    """Which of the three formulas."""
    left: tuple[Array, ...]
    """Left factors; shapes as above."""
    right: tuple[Array, ...]
    """Right factors; shapes as above. Empty for dense."""
    stats: Stats
    """How well it could be solved."""

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
    """A problem with its edits. `solve` makes it."""

    problem: Problem
    """The problem."""
    edits: Mapping[str, Edit]
    """Group -> its edit."""
    methods: tuple[Mapping[str, Any], ...]
    """JSON: each method that was used, with its options."""
    strengths: tuple[float, ...]
    """By request: the strength that was used, found where the manifest says `auto`."""
    balances: tuple[Balance, ...] = ()
    """How the pulls of `moderate` were found. Empty where no shares were to be measured."""

    def __repr__(self) -> str:
        """Short: a solution holds the factors."""
        return f"<Solution of {self.problem.plan!r} in {len(self.edits)} groups>"


@dataclass(frozen=True)
class Verified:
    """A solution with its report. `verify` makes it."""

    solution: Solution
    """The solution."""
    report: Report
    """Everything measured."""
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
