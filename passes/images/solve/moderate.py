"""Search for the pulls of `moderate` at which pictures of a concept show each concept of `toward` as often as wanted.

This is UCE's debiasing (Gandikota et al., arXiv 2308.14761): paint the concept, let a detector count how often each
concept of `toward` is shown, and change the pull towards each in proportion to (wanted - shown). Every round solves
anew from the original weights, so only the sum of the changes matters. The other edits of the manifest stay as they
are.

editc adds three things. Every round paints the same prompts and seeds, so that rounds can be compared and the best one
is taken. The step of a share shrinks to half when it has crossed the wanted share, and else grows by half. A share
within its tolerance is not changed. Verify paints with other seeds (`PURPOSE`), so that the shares that it reports are
not fitted to its own pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.image_check import ShareSearch
from editc.core.manifest import Manifest, Request
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
"""Part of the seeds of the search, which makes them differ from those of verify. No concept contains a line break."""
PATIENCE = 6
"""Rounds in a row without a better one after which the search has stalled. Chosen by hand: with four, a search on
the demo model ended too early (docs/measurements/erasure.md)."""
STEP_GROWTH, STEP_SHRINK, LARGEST_STEP = 1.5, 0.5, 4.0
"""Factors by which the step of a share grows while it stays on one side of the wanted share and shrinks when it
crosses, and the largest step. Chosen by hand."""
SHARE_DIGITS = 12
"""Decimals of a share that count: shares are quotients of small numbers of pictures, so the rest is rounding."""

Systems = Mapping[str, System]
"""Group -> its system."""
SearchedSystems = tuple[dict[str, System], tuple[PullSearch, ...]]
"""The systems at the pulls that were found, and how these were found."""


@dataclass(frozen=True)
class SearchResult:
    """The result of a search for pulls."""

    rounds: tuple[tuple[Array, Array], ...]
    """For each round the pulls (k,) that were tried and the shares (k,) that pictures then showed."""
    best: int
    """The index of the best round, which is taken."""
    stopped: str
    """Why the search stopped; see `PullSearch`."""


def search(
    measure: Callable[[Array], Array], wanted: Array, tolerance: Array, rounds: Iterable[object]
) -> SearchResult:
    """Search for pulls (k,) at which the shown shares are within `tolerance` (k,) of the `wanted` ones (k,).

    `measure` maps pulls (k,) to shown shares (k,). The search takes one item of `rounds` in each round; the first round
    has no pull. A round is better if its largest gap, relative to the tolerance, is smaller; between equals, if the sum
    of its gaps is smaller.
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


def find_pulls(problem: Problem, systems: Systems, solver: Solver, ctx: Context) -> SearchedSystems:
    """Find the pulls of all requests that give `shares`, in one joint search, and put them into the systems.

    Raises E504 (the detector does not know a concept) and E442 (no painter or no detector). Where nothing else is
    edited, also E440 (the model already shows the wanted shares) and E441 (no round came nearer to them).
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
    searches = tuple(_pull_searches(found, asked, np.cumsum(sizes)[:-1]))
    if found.best == 0 and len(asked) == len(manifest.image_edits):
        raise EditcError(*(_no_pull_helps(one, manifest) for one in searches))
    return with_pulls(systems, {one.index: one.pulls for one in searches}), searches


def with_pulls(systems: Systems, pulls: Mapping[int, Sequence[float]]) -> dict[str, System]:
    """Set the targets of some requests to their pulls.

    `pulls` maps the index of a request to one pull for each target.
    """

    def pulled(index: int, block: Block) -> Block:
        """Return the block with the targets of its request's pulls, if the request has pulls."""
        return (
            replace(block, targets=moderate_targets(block.keys, block.pulls, pulls[index])) if index in pulls else block
        )

    return {
        group: replace(system, blocks=tuple(pulled(i, block) for i, block in enumerate(system.blocks)))
        for group, system in systems.items()
    }


def claims(solution: Solution) -> Iterator[Claim]:
    """Yield `toward_fitted` of each search: the largest gap left, on its own pictures, with its tolerance as bound."""
    for one in solution.pull_searches:
        request = solution.problem.plan.manifest.image_edits[one.index]
        span = request.shares.at("tolerance") if request.shares else None
        yield Claim("toward_fitted", one.gap, one.tolerance, request.concept, span, "share")


def as_json(one: PullSearch) -> Mapping[str, Any]:
    """Return a search as deltas and reports record it."""
    return {
        "wanted": list(one.wanted),
        "tolerance": one.tolerance,
        "rounds": [{"pulls": list(each.pulls), "shown": list(each.shown)} for each in one.rounds],
        "taken": one.taken,
        "stopped": one.stopped,
    }


def from_json(index: int, record: Mapping[str, Any]) -> PullSearch:
    """Read the search of edit `index` from the record that `as_json` made."""
    rounds = tuple(PullRound(tuple(each["pulls"]), tuple(each["shown"])) for each in record["rounds"])
    return PullSearch(index, tuple(record["wanted"]), record["tolerance"], rounds, record["taken"], record["stopped"])


@dataclass(frozen=True)
class _ShareMeter:
    """Measures the shares of a round: solve at the pulls, paint with the weights as they would be stored, and count."""

    problem: Problem
    """The problem, for its plan."""
    systems: Systems
    """The systems, with the strengths that were found."""
    solver: Solver
    """Solves the systems at the pulls of a round."""
    ctx: Context
    """The ports, among them a painter and a detector."""
    indices: tuple[int, ...]
    """The indices of the requests whose pulls are searched for."""
    tasks: tuple[PictureTask, ...]
    """The pictures to paint in every round."""

    def measure(self, pulls: Array) -> Array:
        """Return the share of pictures that show each concept of `toward`, (k,), one request after the other."""
        assert self.ctx.painter is not None and self.ctx.detector is not None
        prompts, seeds = [task.prompt for task in self.tasks], [task.seed for task in self.tasks]
        painted = self.ctx.painter.paint(prompts, seeds, self._edited_weights(pulls))
        judged = pictures.judge_pictures(self.tasks, painted, self.ctx.detector)
        return np.concatenate([self._share(index, judged) for index in self.indices])

    def _edited_weights(self, pulls: Array) -> Mapping[str, Array] | None:
        """Return the edited weights by name. None without pulls and without other edits: that is the base."""
        requests = self.problem.plan.manifest.image_edits
        if not pulls.any() and len(self.indices) == len(requests):
            return None
        parts = np.split(pulls, np.cumsum([len(requests[index].toward) for index in self.indices])[:-1])
        these = {index: _floats(part) for index, part in zip(self.indices, parts, strict=True)}
        systems = with_pulls(self.systems, these)
        solution = Solution(replace(self.problem, systems=systems), self.solver.solve_all(systems), (), ())
        return StoredWeights(solution, frozenset(site.name for site in self.problem.plan.sites))

    def _share(self, index: int, judged: Sequence[NDArray[np.bool_]]) -> Array:
        """Return the share of one request's pictures that show each concept of its `toward`, (k,)."""
        mine = [seen for task, seen in zip(self.tasks, judged, strict=True) if task.request == index]
        return np.asarray(np.mean(mine, axis=0))


def _plan_pictures(
    problem: Problem, ctx: Context, asked: Mapping[int, tuple[Request, ShareSearch]]
) -> Iterator[PictureTask]:
    """Yield the pictures to paint for each request: in the contexts of verify, with other seeds.

    Raises E504 and E442.
    """
    plan = problem.plan
    if ctx.painter is None or ctx.detector is None:
        raise EditcError(*(_no_painter(request, plan.manifest) for request, _ in asked.values()))
    pictures.refuse_unknown(plan.manifest, ctx.detector)
    for index, (request, options) in asked.items():
        judged = tuple(name for name, _ in request.toward)
        first = PictureTask(index, False, request.concept, "", plan.manifest.seed, judged)
        yield from pictures.picture_series(first, request.names, plan.contexts(request), options.pictures, PURPOSE)


def _pull_searches(
    found: SearchResult, asked: Mapping[int, tuple[Request, ShareSearch]], cuts: Array
) -> Iterator[PullSearch]:
    """Yield the record of the search for each request. `cuts` says where the pulls of the next request begin."""
    parts = [(np.split(pulls, cuts), np.split(shown, cuts)) for pulls, shown in found.rounds]
    for number, (index, (request, options)) in enumerate(asked.items()):
        rounds = tuple(PullRound(_floats(pulls[number]), _floats(shown[number])) for pulls, shown in parts)
        wanted = tuple(share for _, share in request.toward)
        yield PullSearch(index, wanted, options.tolerance, rounds, found.best, found.stopped)


def _floats(values: Array) -> tuple[float, ...]:
    """Return the values (k,) as floats of Python."""
    return tuple(float(value) for value in values)


def _no_pull_helps(one: PullSearch, manifest: Manifest) -> Diagnostic:
    """Make E440 or E441 for a search whose best round has no pull."""
    request = manifest.image_edits[one.index]
    figures = zip(request.toward, one.rounds[0].shown, strict=True)
    shown = ", ".join(f"`{name}` {value:.3g} (wanted {share:.3g})" for (name, share), value in figures)
    if one.stopped == "reached":
        message = f"pictures of `{request.concept}` show the wanted shares without an edit: {shown}"
        help_ = "nothing is left to do; a smaller `tolerance` and more `pictures` measure more exactly"
        return Diagnostic("E440", message, request.at("toward"), manifest.source, help=help_)
    tried = len(one.rounds) - 1
    message = f"no pull brings pictures of `{request.concept}` nearer to the wanted shares: {shown} without an edit"
    notes = tuple(_describe_round(number, each) for number, each in enumerate(one.rounds) if number)
    end = "no more rounds" if one.stopped == "rounds" else "none was better"
    why = f"stopped after {count(tried, 'edit')}: {end}"
    help_ = "name in `toward` what the model does paint and the detector does recognise, or give other `contexts`"
    return Diagnostic("E441", message, request.at("toward"), manifest.source, help=help_, notes=(why, *notes))


def _describe_round(number: int, each: PullRound) -> str:
    """Describe one round, as a note of E441."""
    pulls, shown = (", ".join(f"{value:.3g}" for value in part) for part in (each.pulls, each.shown))
    return f"round {number}: pulls {pulls}, shown {shown}"


def _no_painter(request: Request, manifest: Manifest) -> Diagnostic:
    """Make the E442 of a request whose shares cannot be measured."""
    message = f"the shares of `{request.concept}` cannot be measured: there is no model that paints, or no detector"
    help_ = "give `model` a whole pipeline and `verify: {images: {detector: ...}}`, or remove `shares`"
    return Diagnostic("E442", message, request.at("shares"), manifest.source, help=help_)
