"""`strength: auto`: the least change that meets the constraints, or which two of them conflict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.diagnostics import Diagnostic, EditcError
from editc.ir import Array, Edit, System
from editc.numerics.drift import ratio
from editc.request import Constraints, Manifest

STEPS = 1024
"""Strengths are found to 1/1024."""
MARGIN = 0.995
"""Bounds are met by half a percent, for the rounding of the stored weights that verify will see."""
SWEEPS = 3
"""Edits are tuned in turn, each with the others held, this many times: they interfere little."""


@dataclass(frozen=True)
class Effect:
    """What an edit does, before rounding: the erase residual of each block, and the worst site's drifts."""

    residuals: tuple[float, ...]
    preserve_drift: float
    unconditional_drift: float


def tune(system: System, solve: Callable[[System], Edit], manifest: Manifest) -> System:
    """`system` with every `auto` block at the least strength that meets erase_residual; E403 if the rest then fails.

    The residual of a block falls and every drift rises with its strength, so bisection finds the least.
    """
    bounds = manifest.constraints
    limit = MARGIN * (bounds.erase_residual if bounds.erase_residual is not None else 1.0)
    auto = [i for i, request in enumerate(manifest.edits) if request.strength == "auto"]
    full = _at(system, dict.fromkeys(auto, 1.0))
    best = effect(full, solve(full))
    for index in auto:
        if best.residuals[index] > limit:
            raise EditcError(_unreachable(manifest, index, best.residuals[index]))
    found = dict.fromkeys(auto, 1.0)
    for _ in range(SWEEPS if len(auto) > 1 else 1):
        for index in auto:
            found[index] = _least(system, solve, found, index, limit)
    tuned = _at(system, found)
    _check(effect(tuned, solve(tuned)), bounds, manifest, auto, max(found.values()))
    return tuned


def effect(system: System, edit: Edit) -> Effect:
    """Residuals over all sites at once and drifts by site, in float64, for a shared or a low-rank edit."""
    if edit.form == "dense":
        raise ValueError("strength: auto needs a shared or a low-rank edit")
    if edit.form == "low-rank":
        return _layered_effect(system, edit)
    gram, left, right = system.total_gram(), edit.left[0], edit.right[0]
    residuals = tuple(
        ratio(
            _size(gram, b.keys + left @ (right @ b.keys) - b.targets, b.weights),
            _size(gram, b.keys - b.targets, b.weights),
        )
        for b in system.blocks
    )
    lefts = [W @ left for W in system.weights]
    return Effect(residuals, *_drifts(system, lefts, [right] * len(lefts)))


def _layered_effect(system: System, edit: Edit) -> Effect:
    """As `effect`, with sums of squares taken layer by layer."""
    rights = edit.right if len(edit.right) > 1 else edit.right * len(edit.left)
    squares = np.zeros((2, len(system.blocks)))
    for W, left, right in zip(system.weights, edit.left, rights, strict=True):
        for index, b in enumerate(system.blocks):
            away = W @ (b.keys - b.targets)
            squares[:, index] += [np.sum(b.weights * part**2) for part in (away + left @ (right @ b.keys), away)]
    parts, wholes = np.sqrt(squares)
    residuals = tuple(ratio(float(part), float(whole)) for part, whole in zip(parts, wholes, strict=True))
    return Effect(residuals, *_drifts(system, edit.left, rights))


def _drifts(system: System, lefts: Sequence[Array], rights: Sequence[Array]) -> tuple[float, float]:
    """Of the preserved rows and of the empty prompt's, the worst site each."""
    kept = system.kept
    return _worst(system.weights, lefts, rights, kept.rows), _worst(system.weights, lefts, rights, kept.empty)


def _size(gram: Array, columns: Array, weights: Array) -> float:
    return float(np.sqrt(max(0.0, np.einsum("im,ij,jm,m->", columns, gram, columns, weights, optimize=True))))


def _worst(weights: Sequence[Array], lefts: Sequence[Array], rights: Sequence[Array], rows: Array) -> float:
    """max over sites of |left right P| / |W P|, through the (d, d) moment of P."""
    moment = rows @ rows.T
    squares = [float(np.vdot(a.T @ a, b @ moment @ b.T)) for a, b in zip(lefts, rights, strict=True)]
    moved = [np.sqrt(max(0.0, square)) for square in squares]
    whole = [np.sqrt(float(np.vdot(W @ moment, W))) for W in weights]
    return max(ratio(a, b) for a, b in zip(moved, whole, strict=True))


def _at(system: System, strengths: dict[int, float]) -> System:
    blocks = tuple(replace(b, strength=strengths.get(i, b.strength)) for i, b in enumerate(system.blocks))
    return replace(system, blocks=blocks)


def _least(system: System, solve: Callable[[System], Edit], found: dict[int, float], index: int, limit: float) -> float:
    """The least multiple of 1/STEPS at which block `index` meets `limit`, the others held as they are."""
    low, high = 0, STEPS
    while high - low > 1:
        middle = (low + high) // 2
        trial = _at(system, found | {index: middle / STEPS})
        met = effect(trial, solve(trial)).residuals[index] <= limit
        low, high = (low, middle) if met else (middle, high)
    return high / STEPS


def _unreachable(manifest: Manifest, index: int, value: float) -> Diagnostic:
    request, bound = manifest.edits[index], manifest.constraints.erase_residual
    other = "the rank constraint" if manifest.constraints.rank else "what is preserved and the ridge"
    return Diagnostic(
        "E403",
        f"no strength meets erase_residual {bound:g} for `{request.concept}`: at full strength {value:.3g} is left",
        request.at("strength"),
        manifest.source,
        help=f"it conflicts with {other}: allow a larger erase_residual, or preserve less of what is like the concept",
    )


def _check(found: Effect, bounds: Constraints, manifest: Manifest, auto: Sequence[int], strength: float) -> None:
    for name in ("preserve_drift", "unconditional_drift"):
        bound, value = getattr(bounds, name), getattr(found, name)
        if bound is not None and value > MARGIN * bound:
            raise EditcError(
                Diagnostic(
                    "E403",
                    f"erase_residual and {name} conflict: the least strength that meets the first, {strength:.3f}, "
                    f"moves {value:.3g} where {bound:g} is allowed",
                    bounds.at(name),
                    manifest.source,
                    help=f"raise either, or choose a target nearer to `{manifest.edits[auto[0]].concept}`",
                )
            )
