"""One solve of one side, in a process of its own: seconds, bytes and the error against float64."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.against.problem import RIDGE, Case, edited, error, matrices, preserved, reference, sample
from benchmarks.against.published import (
    REGULAR,
    ROUND_PRESERVE,
    ROUND_RIDGE,
    Clock,
    rece,
    uce_2023,
    uce_2025,
)
from editc.core.manifest import Request
from editc.core.problem import Block, PreservedRows, System
from editc.core.solution import Edit
from editc.passes.methods.images.rece import RECE
from editc.passes.methods.images.uce import UCE

TRUE_WIDTH = 768
"""d of SD 1.5. Other widths are solved without matrices."""
REPEATS = 5
"""Solves whose median is taken."""
ENOUGH = 2.0
"""No more repeats after as many CPU seconds."""


def ours(case: Case, folder: Path) -> dict[str, Any]:
    """editc's method on the case. `apply` has the seconds that the edited matrices take besides, in float32."""
    import scipy.linalg  # noqa: F401  (loaded before the clock runs, as torch is on the other side)

    blocks = tuple(_block(keys, targets) for keys, targets in edited(case))
    kept = list(preserved(case))
    weights = matrices(folder) if case.width == TRUE_WIDTH else []
    found: dict[str, Any] = {}
    gram = None
    if case.method == "rece":
        begun = process_time()
        gram = _gram(weights)
        found["gram"] = process_time() - begun
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH:
        begun = process_time()
        moment = _moment(kept, case.width)
        edit = method_of(case)(System(blocks, PreservedRows(moment, moment, moment, ()), weights, RIDGE, gram))
        seconds.append(process_time() - begun)
    left, right = edit.left[0], edit.right[0]
    begun = process_time()
    edits = [((W := one.astype(np.float64)) + (W @ left) @ right).astype(np.float32) for one in weights]
    found |= {"seconds": median(seconds), "apply": process_time() - begun, "bytes": 4 * (left.size + right.size)}
    return {**found, **_errors(case, edit, edits, weights)}


def _errors(case: Case, edit: Edit, edits: list[Any], weights: list[Any]) -> dict[str, Any]:
    """The error of the solution, and of the matrices in float32, over one matrix of each shape."""
    if not weights or case.method == "rece":
        return {}
    turn, chosen = reference(case), sample([len(W) for W in weights])
    some = [weights[index] for index in chosen]
    exact = [W.astype(np.float64) @ turn_of(edit) for W in some]
    return {"error": error(exact, some, turn), "stored_error": error([edits[i] for i in chosen], some, turn)}


def method_of(case: Case) -> UCE | RECE:
    """The published problem as a method of editc's."""
    if case.method != "rece":
        return UCE(preserve_scale=case.preserve_scale)
    return RECE(case.epochs, REGULAR, lamb=ROUND_RIDGE, preserve_scale=ROUND_PRESERVE, anchor="current")


def _block(keys: Any, targets: Any) -> Block:
    return Block(Request(kind="erase", concept="a name"), keys.T, targets.T, np.ones(len(keys)), ())


def _moment(kept: list[Any], width: int) -> Any:
    rows = np.vstack([np.zeros((0, width)), *kept])
    return rows.T @ rows


def _gram(weights: list[Any]) -> Any:
    nothing = np.zeros((weights[0].shape[1],) * 2)
    return System((), PreservedRows(nothing, nothing, nothing, ()), [W.astype(float) for W in weights]).total_gram()


def turn_of(edit: Edit) -> Any:
    left = edit.left[0]
    return np.eye(len(left)) + left @ edit.right[0]


def theirs(case: Case, folder: Path) -> dict[str, Any]:
    """The published order of work on the case."""
    import torch

    torch.set_grad_enabled(False)
    weights = matrices(folder)
    first = layers_of(weights)
    pairs = [(torch.tensor(k).float(), torch.tensor(t).float()) for k, t in edited(case)]
    kept = [torch.tensor(rows).float() for rows in preserved(case)]
    turn = reference(case) if case.method != "rece" else None
    start = weights if turn is not None else uce_start(case, weights)
    layers = layers_of(start)
    heights = [len(W) for W in weights]
    clock = Clock(sample(heights) if case.sampled else dict.fromkeys(range(len(weights)), 1))
    if case.method == "uce2025":
        uce_2025(layers, [(k[0], t[0]) for k, t in pairs], [rows[0] for rows in kept], clock)
    elif case.method == "uce2023":
        uce_2023(layers, pairs, kept, case.preserve_scale, clock)
    else:
        rece(layers, pairs, kept[0], case.epochs, first, clock)
    chosen = sample(heights)
    done, some = [layers[index].weight.numpy() for index in chosen], [weights[index] for index in chosen]
    found = {"seconds": clock.seconds, "bytes": 4 * sum(W.size for W in weights)}
    if turn is None and not case.sampled:
        turn = turn_of(method_of(case)(system_of(case, weights)))
    return found if turn is None else {**found, "error": error(done, some, turn)}


def uce_start(case: Case, weights: list[Any]) -> list[Any]:
    """The checkpoint that RECE starts from: UCE's edit, solved in float64 and rounded."""
    turn = turn_of(UCE()(system_of(case, weights)))
    return [(W.astype(np.float64) @ turn).astype(np.float32) for W in weights]


def system_of(case: Case, weights: list[Any]) -> System:
    blocks = tuple(_block(keys, targets) for keys, targets in edited(case))
    moment = _moment(list(preserved(case)), case.width)
    return System(blocks, PreservedRows(moment, moment, moment, ()), weights, RIDGE, _gram(weights))


def layers_of(weights: list[Any]) -> Any:
    import torch

    layers = torch.nn.ModuleList(torch.nn.Linear(W.shape[1], W.shape[0], bias=False) for W in weights)
    for layer, W in zip(layers, weights, strict=True):
        layer.weight = torch.nn.Parameter(torch.tensor(W))
    return layers
