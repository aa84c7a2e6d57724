"""Shares found by measuring: the pulls with which pictures of a concept show what is wanted as often as is wanted.

UCE's debiasing (Gandikota et al., arXiv 2308.14761): paint the concept, let a detector count how often each concept of
`toward` is shown, and change the pull towards each in proportion to (wanted - shown). Every round is solved anew from
the original weights, so only the sum of the changes matters; other edits of the manifest are held as they are.

Ours beside it: every round paints the same prompts and seeds, so that rounds can be compared and the best one be kept;
the step of a share that has crossed the wanted one is halved, that of one that has not grows by half, and a share
within its tolerance is let be. The seeds are none of those that verify paints with (`PURPOSE`), so that the shares
which it claims are not fitted to its own pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest, Request, ShareSearch
from editc.core.measurements import Claim
from editc.core.ports import Context
from editc.core.problem import Block, Problem, System
from editc.core.solution import PullRound, PullSearch, Solution
from editc.core.text import count
from editc.passes.images.keys.rules.pairs import moderate_targets
from editc.passes.images.painting import pictures
from editc.passes.images.painting.pictures import PictureTask
from editc.passes.images.solve.solver import Solver
from editc.passes.stored import StoredWeights

PURPOSE = "\nmoderate"
"""What sets the seeds of the search apart from those of verify: no concept holds a line break."""
PATIENCE = 6
"""Rounds without a better one after which the search has stalled."""
STEP_GROWTH, STEP_SHRINK, LARGEST_STEP = 1.5, 0.5, 4.0
"""How a step grows while a share stays on its side of the one wanted, shrinks when it has crossed, and its limit."""
SHARE_DIGITS = 12
"""Shares are counts of pictures: what is beyond these digits is rounding."""

Systems = Mapping[str, System]
BalancedSystems = tuple[dict[str, System], tuple[PullSearch, ...]]


@dataclass(frozen=True)
class SearchResult:
    """A search for pulls, over."""

    rounds: tuple[tuple[Array, Array], ...]
    """Of each round the pulls (k,) and the shares (k,) that were then shown."""
    best: int
    """The number of the round that was taken."""
    stopped: str
    """Why it stopped; see `PullSearch`."""


def search(
    measure: Callable[[Array], Array], wanted: Array, tolerance: Array, rounds: Iterable[object]
) -> SearchResult:
    """Pulls (k,) at which `measure` (pulls to shares, (k,)) is within `tolerance` (k,) of `wanted` (k,), or the best.

    One item of `rounds` is taken a round; the first is without a pull. A round is better when its largest gap, in units
    of the tolerance, is smaller, or with an equal one when the sum of gaps is.
    """
    pulls, gains, last = np.zeros_like(wanted), np.ones_like(wanted), np.zeros_like(wanted)
    seen: list[tuple[Array, Array]] = []
    scores: list[tuple[float, float]] = []
    best = 0
    for number, _ in enumerate(rounds):
        shown = measure(pulls)
        error = np.round(wanted - shown, SHARE_DIGITS)
        seen.append((pulls, shown))
        scores.append((float((np.abs(error) / tolerance).max()), float((np.abs(error) / tolerance).sum())))
        best = number if scores[number] < scores[best] else best
        if (np.abs(error) <= tolerance).all():
            return SearchResult(tuple(seen), number, "reached")
        if number - best >= PATIENCE:
            return SearchResult(tuple(seen), best, "stalled")
        error = np.where(np.abs(error) <= tolerance, 0.0, error)
        turned = error * last
        gains = np.where(
            turned < 0, STEP_SHRINK * gains, np.where(turned > 0, np.minimum(STEP_GROWTH * gains, LARGEST_STEP), gains)
        )
        pulls, last = pulls + gains * error, np.where(error == 0, last, error)
    return SearchResult(tuple(seen), best, "rounds")


def find_pulls(problem: Problem, systems: Systems, solver: Solver, ctx: Context) -> BalancedSystems:
    """`systems` with the pulls found for every request that wants its shares measured, all of them together.

    Raises E504 (the detector does not know a concept), E440 (the model shows these shares already), E441 (no round came
    nearer than no edit), both only where nothing else is edited, and E442 (no painter or detector).
    """
    manifest = problem.plan.manifest
    asked = {
        i: (request, request.shares) for i, request in enumerate(manifest.image_edits) if request.shares is not None
    }
    if not asked:
        return dict(systems), ()
    meter = _ShareMeter(problem, systems, solver, ctx, tuple(asked), tuple(_plan_pictures(problem, ctx, asked)))
    wanted = np.array([share for request, _ in asked.values() for _, share in request.toward])
    sizes = [len(request.toward) for request, _ in asked.values()]
    tolerance = np.repeat([options.tolerance for _, options in asked.values()], sizes)
    rounds: Iterable[object] = range(1 + max(options.rounds for _, options in asked.values()))
    found = search(meter.measure, wanted, tolerance, ctx.progress("moderate", rounds) if ctx.progress else rounds)
    balances = tuple(_balances(found, asked, np.cumsum(sizes)[:-1]))
    if found.best == 0 and len(asked) == len(manifest.image_edits):
        raise EditcError(*(_no_pull_helps(one, manifest) for one in balances))
    return with_pulls(systems, {one.index: one.pulls for one in balances}), balances


def with_pulls(systems: Systems, pulls: Mapping[int, Sequence[float]]) -> dict[str, System]:
    """`systems` with the targets of these requests, by their index, at these pulls."""

    def pulled(index: int, block: Block) -> Block:
        return (
            replace(block, targets=moderate_targets(block.keys, block.pulls, pulls[index])) if index in pulls else block
        )

    return {
        group: replace(system, blocks=tuple(pulled(i, block) for i, block in enumerate(system.blocks)))
        for group, system in systems.items()
    }


def claims(solution: Solution) -> Iterator[Claim]:
    """`toward_fitted` of each search: the gap that it left, on its own pictures, against its tolerance."""
    for one in solution.balances:
        request = solution.problem.plan.manifest.image_edits[one.index]
        span = request.shares.at("tolerance") if request.shares else None
        yield Claim("toward_fitted", one.gap, one.tolerance, request.concept, span, "share")


def as_json(one: PullSearch) -> Mapping[str, Any]:
    """A search as deltas and reports record it."""
    return {
        "wanted": list(one.wanted),
        "tolerance": one.tolerance,
        "rounds": [{"pulls": list(each.pulls), "shown": list(each.shown)} for each in one.rounds],
        "taken": one.taken,
        "stopped": one.stopped,
    }


def from_json(index: int, record: Mapping[str, Any]) -> PullSearch:
    """The search that `as_json` recorded of edit `index`."""
    rounds = tuple(PullRound(tuple(each["pulls"]), tuple(each["shown"])) for each in record["rounds"])
    return PullSearch(index, tuple(record["wanted"]), record["tolerance"], rounds, record["taken"], record["stopped"])


@dataclass(frozen=True)
class _ShareMeter:
    """What a round does: solve at the pulls, paint every shot with the weights as they would be stored, count."""

    problem: Problem
    """What is solved."""
    systems: Systems
    """With the strengths found."""
    solver: Solver
    """Solves them at the pulls."""
    ctx: Context
    """With a painter and a detector."""
    indices: tuple[int, ...]
    """The requests whose shares are sought."""
    tasks: tuple[PictureTask, ...]
    """The pictures of every round."""

    def measure(self, pulls: Array) -> Array:
        """The share of pictures that show each concept of `toward`, one request after the other, (k,)."""
        assert self.ctx.painter is not None and self.ctx.detector is not None
        prompts, seeds = [task.prompt for task in self.tasks], [task.seed for task in self.tasks]
        painted = self.ctx.painter.paint(prompts, seeds, self._edited_weights(pulls))
        saw = pictures.judge_pictures(self.tasks, painted, self.ctx.detector)
        return np.concatenate([self._share(index, saw) for index in self.indices])

    def _edited_weights(self, pulls: Array) -> Mapping[str, Array] | None:
        """The edited weights by name; None for the base itself."""
        requests = self.problem.plan.manifest.image_edits
        if not pulls.any() and len(self.indices) == len(requests):
            return None
        parts = np.split(pulls, np.cumsum([len(requests[index].toward) for index in self.indices])[:-1])
        these = {index: _floats(part) for index, part in zip(self.indices, parts, strict=True)}
        systems = with_pulls(self.systems, these)
        solution = Solution(replace(self.problem, systems=systems), self.solver.solve_all(systems), (), ())
        return StoredWeights(solution, frozenset(site.name for site in self.problem.plan.sites))

    def _share(self, index: int, saw: Sequence[NDArray[np.bool_]]) -> Array:
        mine = [seen for task, seen in zip(self.tasks, saw, strict=True) if task.request == index]
        return np.asarray(np.mean(mine, axis=0))


def _plan_pictures(
    problem: Problem, ctx: Context, asked: Mapping[int, tuple[Request, ShareSearch]]
) -> Iterator[PictureTask]:
    """The pictures of each request, in the contexts of verify with seeds of their own."""
    plan = problem.plan
    if ctx.painter is None or ctx.detector is None:
        raise EditcError(*(_no_painter(request, plan.manifest) for request, _ in asked.values()))
    pictures.refuse_unknown(plan.manifest, ctx.detector)
    for index, (request, options) in asked.items():
        judged = tuple(name for name, _ in request.toward)
        first = PictureTask(index, False, request.concept, "", plan.manifest.seed, judged)
        yield from pictures.picture_series(first, request.names, plan.contexts(request), options.pictures, PURPOSE)


def _balances(
    found: SearchResult, asked: Mapping[int, tuple[Request, ShareSearch]], cuts: Array
) -> Iterator[PullSearch]:
    parts = [(np.split(pulls, cuts), np.split(shown, cuts)) for pulls, shown in found.rounds]
    for number, (index, (request, options)) in enumerate(asked.items()):
        rounds = tuple(PullRound(_floats(pulls[number]), _floats(shown[number])) for pulls, shown in parts)
        wanted = tuple(share for _, share in request.toward)
        yield PullSearch(index, wanted, options.tolerance, rounds, found.best, found.stopped)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _no_pull_helps(one: PullSearch, manifest: Manifest) -> Diagnostic:
    """E440 or E441 for a search that took no pull."""
    request = manifest.image_edits[one.index]
    figures = zip(request.toward, one.rounds[0].shown, strict=True)
    shown = ", ".join(f"`{name}` {value:.3g} (wanted {share:.3g})" for (name, share), value in figures)
    if one.stopped == "reached":
        message = f"pictures of `{request.concept}` show the wanted shares without an edit: {shown}"
        help_ = "nothing is left to do; a smaller `tolerance` and more `pictures` count more exactly"
        return Diagnostic("E440", message, request.at("toward"), manifest.source, help=help_)
    tried = len(one.rounds) - 1
    message = f"no pull brings pictures of `{request.concept}` nearer to the wanted shares: {shown} without an edit"
    notes = tuple(_describe_round(number, each) for number, each in enumerate(one.rounds) if number)
    end = "no more rounds" if one.stopped == "rounds" else "none was better"
    why = f"stopped after {count(tried, 'edit')}: {end}"
    help_ = "name in `toward` what the model does paint and the detector does recognise, or give other `contexts`"
    return Diagnostic("E441", message, request.at("toward"), manifest.source, help=help_, notes=(why, *notes))


def _describe_round(number: int, each: PullRound) -> str:
    pulls, shown = (", ".join(f"{value:.3g}" for value in part) for part in (each.pulls, each.shown))
    return f"round {number}: pulls {pulls}, shown {shown}"


def _no_painter(request: Request, manifest: Manifest) -> Diagnostic:
    message = f"the shares of `{request.concept}` cannot be measured: there is no model that paints, or no detector"
    help_ = "give `model` a whole pipeline and `verify: {images: {detector: ...}}`, or take `shares` out"
    return Diagnostic("E442", message, request.at("shares"), manifest.source, help=help_)
