"""What a build found: the change of every group's weights, and what `verify` measured of it.

The values of a build flow from pass to pass, all frozen: Manifest -> Plan -> Problem -> Solution -> Verified -> Delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from editc.core.delta import Array, Form, SiteRecord
from editc.core.measurements import Claim, Report
from editc.core.problem import Problem
from editc.core.verdict import Verdict


@dataclass(frozen=True)
class Stats:
    """How well a system could be solved."""

    condition: float
    """Condition number of the normal matrix. NaN where nothing was solved, as in a trained edit."""
    residual: float
    """Relative residual of the factorisation. NaN where nothing was solved."""
    rank: int
    """Rank of the edit."""
    discarded: float = 0.0
    """The share of the change that a limit on the rank left out."""
    notes: tuple[str, ...] = ()
    """What a user should know of this solve, in sentences for the report."""

    @property
    def solved(self) -> bool:
        """True where a system was solved."""
        return not isnan(self.condition)


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
    """Left factors, in the shapes above."""
    right: tuple[Array, ...]
    """Right factors, in the shapes above. Empty for `dense`."""
    stats: Stats
    """How well it could be solved."""

    def at(self, index: int) -> tuple[Edit, int]:
        """Returns the edit of the group's site number `index`, and the number of the site within that edit."""
        return self, index


@dataclass(frozen=True)
class LinkedEdit(Edit):
    """The edit of a group whose sites belong to several edits, as in a linked delta."""

    sources: tuple[tuple[Edit, int], ...]
    """For each site of the group: its edit, and the number of the site within that edit."""

    def at(self, index: int) -> tuple[Edit, int]:
        """Returns the edit of one site and its number there: see `Edit.at`."""
        return self.sources[index]


@dataclass(frozen=True)
class PullRound:
    """One edit that was tried while the pulls of `moderate` were searched for."""

    pulls: tuple[float, ...]
    """The pull towards each concept."""
    shown: tuple[float, ...]
    """The share of pictures that then showed each concept."""


@dataclass(frozen=True)
class PullSearch:
    """How the pulls of one `moderate` edit were found."""

    index: int
    """The number of the edit in the manifest."""
    wanted: tuple[float, ...]
    """The shares to reach, in the order of `toward`."""
    tolerance: float
    """The largest accepted gap between a share and what is wanted."""
    rounds: tuple[PullRound, ...]
    """Every round that was tried. The first has no pull."""
    taken: int
    """The number of the round whose pulls the edit takes."""
    stopped: str
    """Why the search ended. `reached`: every share is within `tolerance`. `rounds`: no more rounds were allowed.
    `stalled`: the last rounds came no nearer."""

    @property
    def pulls(self) -> tuple[float, ...]:
        """The pulls of the round that was taken."""
        return self.rounds[self.taken].pulls

    @property
    def gap(self) -> float:
        """The largest |wanted - shown| of that round, rounded to 12 digits, because shares are ratios of small
        counts."""
        shown = self.rounds[self.taken].shown
        return round(max(abs(a - b) for a, b in zip(self.wanted, shown, strict=True)), 12)


@dataclass(frozen=True)
class Search:
    """One attack on the edited model while it was trained."""

    step: int
    """The steps of training before it."""
    subject: int
    """The number of the edit whose concept was attacked."""
    reached: tuple[float, ...]
    """What each start found, as s: 1 is as much of the concept as the unedited model's answer has, 0 none."""


@dataclass(frozen=True)
class Training:
    """How a trained edit came about."""

    steps: int
    """Steps that were taken."""
    terms: tuple[str, ...]
    """The names of the terms of the loss."""
    losses: tuple[tuple[float, ...], ...]
    """(points, terms): each term without its weight, as means over equal runs of steps."""
    searches: tuple[Search, ...]
    """The attacks of its rounds, in order. They are weaker than attacks of their own after the training, so they prove
    nothing."""
    own: tuple[float, ...] = ()
    """For each edit: how much of the concept no mixture of other names predicts. Empty where the method needs none."""
    stopped: str = ""
    """Which bound of the manifest ended the training, and how. Empty: none did."""
    kept: int = 0
    """The step whose factors the edit has, where a bound ended the training: the last at which it held."""


@dataclass(frozen=True)
class WorstRound:
    """One round in which the phrasings that the edits handled worst were fed back into them."""

    phrasings: tuple[str, ...]
    """What was added to the contexts of the edits, each with `{}` for a prompt."""
    before: float
    """The share of the edited prompts that held in the worst phrasings, before the round."""
    after: float
    """The same after it, over the phrasings that were then the worst."""
    margin_before: float
    """The mean margin of the right answer over the wrong one in the worst phrasings, in nats, before the round."""
    margin_after: float
    """The same after it."""
    others_before: float
    """The share that held, before the round, in the phrasings that no round fed back."""
    others_after: float
    """The same after it. It shows whether the edits hold better than in the sentences they were solved with."""
    taken: bool
    """True if the round's edit was taken. False: its worst was worse than before, so that the edit before it stayed."""


@dataclass(frozen=True)
class Solution:
    """A problem with its edits. `solve` makes it."""

    problem: Problem
    """The problem."""
    edits: Mapping[str, Edit]
    """Name of a group -> its edit."""
    methods: tuple[Mapping[str, Any], ...]
    """JSON: each method that was used, with its options."""
    strengths: tuple[float, ...]
    """For each edit of the manifest: the strength that was used. Where the manifest says `auto`, it was searched
    for."""
    pull_searches: tuple[PullSearch, ...] = ()
    """How the pulls of `moderate` were found. Empty where no shares of pictures were asked for."""
    training: Training | None = None
    """How the factors were trained. None where they were solved for."""
    worst_rounds: tuple[WorstRound, ...] = ()
    """The rounds that fed the worst phrasings back, in order. Empty where none was asked for, or all held already."""

    def __repr__(self) -> str:
        """A short text, because a solution holds the factors."""
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
    records: Mapping[str, SiteRecord] = field(default_factory=dict, repr=False)
    """Parameter name -> its record, as far as verify made them in its pass over the weights. emit makes the others."""

    def __repr__(self) -> str:
        """A short text: the three answers of the verdict."""
        return f"<Verified {self.solution.problem.plan.manifest.source.name}: {self.verdict.short}>"

    def _repr_html_(self) -> str:
        """The verdict, for notebooks."""
        return self.verdict._repr_html_()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every measurement of the report."""
        return self.report.claims
