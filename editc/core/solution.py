"""What a build found: the change of every group's weights, and what `verify` measured of it.

The values of a build flow from pass to pass, all frozen: Manifest -> Plan -> Problem -> Solution -> Verified -> Delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editc.core.delta import Array, Form
from editc.core.measurements import Claim, Report
from editc.core.problem import Problem
from editc.core.verdict import Verdict


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
class LinkedEdit(Edit):
    """A group whose sites belong to several edits, as in a linked delta: of each site, the edit and its index there."""

    sources: tuple[tuple[Edit, int], ...]

    def at(self, index: int) -> tuple[Edit, int]:
        """See `Edit.at`."""
        return self.sources[index]


@dataclass(frozen=True)
class PullRound:
    """One edit that was tried: the pull towards each concept, and the share of pictures that then showed it."""

    pulls: tuple[float, ...]
    shown: tuple[float, ...]


@dataclass(frozen=True)
class PullSearch:
    """How the pulls of edit `index` were found: the shares `wanted` of its `toward`, every round that was tried (the
    first without a pull), which of them was taken, and why the search stopped: `reached` (every share within
    `tolerance`), `rounds` (no more were allowed), `stalled` (the last ones came no nearer)."""

    index: int
    wanted: tuple[float, ...]
    tolerance: float
    rounds: tuple[PullRound, ...]
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
    pull_searches: tuple[PullSearch, ...] = ()
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
