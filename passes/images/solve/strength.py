"""`strength: auto`: find the least strength that meets the constraints, or say which two of them conflict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Certificate
from editc.core.problem import System
from editc.core.solution import Edit
from editc.numerics.drift import ratio
from editc.passes.images.measure.certificate import certify, shared_sums
from editc.passes.images.solve.outputs import Outputs

STEPS = 1024
"""Strengths are searched in steps of 1/1024. Chosen by hand: ten bisections."""
MARGIN = 0.995
"""Bounds are tightened by half a percent, because verify measures the rounded weights. Chosen by hand."""
GRID = 16
"""Strengths tried before bisection for a bound on `recoverable`, which need not fall with strength. Chosen by hand."""
SWEEPS = 3
"""Rounds in which each edit is tuned in turn, with the others fixed: edits interfere little. Chosen by hand."""


@dataclass(frozen=True)
class Effect:
    """What an edit does, in float64, before the weights are rounded."""

    residuals: tuple[float, ...]
    """For each block, the erase residual."""
    preserve_drift: float
    """The largest drift of a preserved list at any site."""
    unconditional_drift: float
    """The largest drift of the empty prompt at any site."""
    recoverable: Mapping[str, float] = field(default_factory=dict)
    """Certified concept -> `recoverable`. Empty where no certificate was wanted."""


@dataclass(frozen=True)
class Goal:
    """The bounds that one block must meet."""

    index: int
    """The index of the block."""
    concept: str
    """The concept of its request."""
    residual: float
    """The largest erase residual allowed; inf without a bound."""
    recoverable: float | None
    """The largest `recoverable` allowed; None without a bound."""

    def met(self, found: Effect) -> bool:
        """Return whether both bounds hold. A concept without a certificate meets its bound."""
        certified = self.recoverable is None or found.recoverable.get(self.concept, 0.0) <= self.recoverable
        return certified and found.residuals[self.index] <= self.residual


def tune(system: System, solve: Callable[[System], Edit], manifest: Manifest) -> System:
    """Set every block with `strength: auto` to the least strength that meets erase_residual and recoverable.

    The residual of a block falls with its strength and every drift rises, so bisection finds the least strength. For a
    bound on `recoverable` a grid is tried first: the strength found meets the bound, and the grid's strength below it
    does not. Raises E403 where no strength meets the bounds, or where a drift is then too large.
    """
    bounds = manifest.constraints
    auto = [i for i, request in enumerate(manifest.image_edits) if request.strength == "auto"]
    limit = float("inf") if bounds.erase_residual is None else MARGIN * bounds.erase_residual
    certified = None if bounds.recoverable is None else MARGIN * bounds.recoverable
    goals = {i: Goal(i, manifest.image_edits[i].concept, limit, certified) for i in auto}
    full = _with_strengths(system, dict.fromkeys(auto, 1.0))
    outputs = Outputs.of(system)
    best = measure_effect(full, solve(full), outputs=outputs)
    for index in auto:
        if best.residuals[index] > limit:
            raise EditcError(_residual_not_met(manifest, index, best.residuals[index]))
    found = dict.fromkeys(auto, 1.0)
    for _ in range(SWEEPS if len(auto) > 1 else 1):
        for index in auto:
            found[index] = _least_strength(system, solve, found, goals[index], manifest, outputs)
    tuned = _with_strengths(system, found)
    _check_drifts(measure_effect(tuned, solve(tuned), outputs=outputs), bounds, manifest, auto, max(found.values()))
    return tuned


def measure_effect(
    system: System, edit: Edit, certified: bool = False, outputs: tuple[Outputs, ...] | None = None
) -> Effect:
    """Measure residuals over all sites together and the largest drifts at any site, for an edit of any form.

    `certified` adds `recoverable` of each certified concept. `outputs` are those of the system, where they are known.
    """
    outputs = outputs or Outputs.of(system)
    if edit.form == "dense":  # a pair whose right side is the identity
        edit = replace(edit, form="low-rank", right=(np.eye(len(system.preserved.moment)),))
    if edit.form == "low-rank":
        return _layered_effect(system, edit, certified, outputs)
    gram, left, right = system.total_gram(), edit.left[0], edit.right[0]
    residuals = tuple(
        ratio(
            _weighted_norm(gram, b.keys + left @ (right @ b.keys) - b.targets, b.weights),
            _weighted_norm(gram, b.keys - b.targets, b.weights),
        )
        for b in system.blocks
    )
    grams = [_gram(W @ left) for W in system.weights]
    found = certify(system, *shared_sums(system, edit)) if certified else ()
    return Effect(residuals, *_drifts(outputs, grams, [right] * len(grams)), _recoverable_by_concept(found))


def _layered_effect(system: System, edit: Edit, certified: bool, outputs: tuple[Outputs, ...]) -> Effect:
    """Measure a low-rank edit, layer by layer."""
    rights = edit.right if len(edit.right) > 1 else edit.right * len(edit.left)
    squares, sums = np.zeros((2, len(system.blocks))), np.zeros((2, *system.preserved.moment.shape))
    for W, left, right in zip(system.weights, edit.left, rights, strict=True):
        after = W + left @ right
        sums += [after.T @ after, after.T @ W]
        for index, b in enumerate(system.blocks):
            away = W @ (b.keys - b.targets)
            squares[:, index] += [np.sum(b.weights * part**2) for part in (away + left @ (right @ b.keys), away)]
    parts, wholes = np.sqrt(squares)
    residuals = tuple(ratio(float(part), float(whole)) for part, whole in zip(parts, wholes, strict=True))
    found = certify(system, sums[0], sums[1]) if certified else ()
    grams = [_gram(left) for left in edit.left]
    return Effect(residuals, *_drifts(outputs, grams, rights), _recoverable_by_concept(found))


def _gram(left: Array) -> Array:
    """Return left^T left (r, r) for left (d_out, r)."""
    return np.asarray(left.T @ left)


def _recoverable_by_concept(found: Sequence[Certificate]) -> Mapping[str, float]:
    """Return concept -> `recoverable`."""
    return {one.concept: one.recoverable for one in found}


def _drifts(outputs: tuple[Outputs, ...], grams: Sequence[Array], rights: Sequence[Array]) -> tuple[float, float]:
    """Return the largest drift of any preserved list, and of the empty prompt, at any site. `grams` has left^T left of
    each site."""
    *lists, empty = (_worst_drift(one, grams, rights) for one in outputs)
    return max(lists), empty


def _weighted_norm(gram: Array, columns: Array, weights: Array) -> float:
    """Return sqrt(sum_m weights_m |W c_m|^2) over all layers, for columns c (d, m) and gram = sum W^T W (d, d)."""
    return float(np.sqrt(max(0.0, np.einsum("im,ij,jm,m->", columns, gram, columns, weights, optimize=True))))


def _worst_drift(outputs: Outputs, grams: Sequence[Array], rights: Sequence[Array]) -> float:
    """Return the maximum over sites of |left right P| / |W P| for the rows P of a list; `grams` as in `_drifts`."""
    inner: dict[int, Array] = {}  # sites share a right factor, or have each their own
    for b in rights:
        if id(b) not in inner:
            inner[id(b)] = b @ outputs.moment @ b.T
    squares = [float(np.vdot(gram, inner[id(b)])) for gram, b in zip(grams, rights, strict=True)]
    moved = [float(np.sqrt(max(0.0, square))) for square in squares]
    return max(ratio(a, b) for a, b in zip(moved, outputs.sizes, strict=True))


def _with_strengths(system: System, strengths: dict[int, float]) -> System:
    """Set the strengths of some blocks, by their index."""
    blocks = tuple(replace(b, strength=strengths.get(i, b.strength)) for i, b in enumerate(system.blocks))
    return replace(system, blocks=blocks)


def _least_strength(
    system: System,
    solve: Callable[[System], Edit],
    found: dict[int, float],
    goal: Goal,
    manifest: Manifest,
    outputs: tuple[Outputs, ...],
) -> float:
    """Return the least multiple of 1/STEPS that meets `goal`, with the other blocks at `found`. Raises E403."""
    seen: dict[int, Effect] = {}

    def met(step: int) -> bool:
        """Return whether the strength step / STEPS meets the goal."""
        trial = _with_strengths(system, found | {goal.index: step / STEPS})
        seen[step] = measure_effect(trial, solve(trial), goal.recoverable is not None, outputs)
        return goal.met(seen[step])

    low, high = 0, STEPS
    if goal.recoverable is not None:
        grid = range(STEPS // GRID, STEPS + 1, STEPS // GRID)
        first = next((step for step in grid if met(step)), None)
        if first is None:
            raise EditcError(_recoverable_not_met(manifest, goal, seen))
        low, high = first - STEPS // GRID, first
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if met(middle) else (middle, high)
    return high / STEPS


def _recoverable_not_met(manifest: Manifest, goal: Goal, seen: Mapping[int, Effect]) -> Diagnostic:
    """Make the E403 of a bound on `recoverable` that no strength meets; `seen` maps steps to their effects."""
    step = min(seen, key=lambda one: (seen[one].recoverable.get(goal.concept, 0.0), one))
    bounds, value = manifest.constraints, seen[step].recoverable.get(goal.concept, 0.0)
    return Diagnostic(
        "E403",
        f"no strength meets recoverable {bounds.recoverable:g} for `{goal.concept}`: the least found is {value:.3g}, "
        f"at strength {step / STEPS:g}",
        bounds.at("recoverable"),
        manifest.source,
        help="a concept that is only moved can be found elsewhere: lower `preserve.weight`, take "
        "`method: rece` with `keys: span`, or allow more",
    )


def _residual_not_met(manifest: Manifest, index: int, value: float) -> Diagnostic:
    """Make the E403 of a bound on the residual that full strength does not meet; `value` is the residual there."""
    request, bound = manifest.image_edits[index], manifest.constraints.erase_residual
    other = "the rank constraint" if manifest.constraints.rank else "what is preserved and the ridge"
    return Diagnostic(
        "E403",
        f"no strength meets erase_residual {bound:g} for `{request.concept}`: at full strength {value:.3g} is left",
        request.at("strength"),
        manifest.source,
        help=f"it conflicts with {other}: allow a larger erase_residual, or preserve less of what is like the concept",
    )


def _check_drifts(found: Effect, bounds: Constraints, manifest: Manifest, auto: Sequence[int], strength: float) -> None:
    """Raise E403 where a drift is above its bound at the strengths found; `strength` is the largest of them."""
    goal = "erase_residual" if bounds.recoverable is None else "recoverable"
    for name in ("preserve_drift", "unconditional_drift"):
        bound, value = getattr(bounds, name), getattr(found, name)
        if bound is not None and value > MARGIN * bound:
            raise EditcError(
                Diagnostic(
                    "E403",
                    f"{goal} and {name} conflict: the least strength that meets the first, {strength:.3f}, "
                    f"moves {value:.3g} where {bound:g} is allowed",
                    bounds.at(name),
                    manifest.source,
                    help=f"raise either, or choose a target nearer to `{manifest.image_edits[auto[0]].concept}`",
                )
            )
