"""MEMIT and AlphaEdit on one matrix of SmolLM2-135M's shape, 576 x 1536, in the published order of work and by editc.

The published side solves a system of d_in equations for every matrix, MEMIT in float64 and AlphaEdit in float32.
Errors are of the change D of the matrix, |D - D64| / |D64|. The second moment has eigenvalues that fall by a power of
their number, and keys are drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.against.problem import Array, Case
from editc.core.language_problem import Memory
from editc.passes.methods.language.alphaedit import AlphaEdit
from editc.passes.methods.language.memit import MEMIT

WIDTH, HEIGHT = 1536, 576
"""d_in and d_out of an MLP's down projection in SmolLM2-135M."""
LAMB = 15_000.0
"""lambda of MEMIT, as published for GPT-J."""
THRESHOLD = 2e-2
"""Eigenvalues below it count as null space in AlphaEdit, as published."""
RIDGE = 10.0
"""L2 of AlphaEdit, as published."""
REPEATS = 3
"""Solves whose median is taken, on both sides."""


@dataclass(frozen=True)
class Solved:
    """The change of the matrix by one side."""

    change: Any
    """D (d_out, d_in)."""
    seconds: float
    """CPU seconds of the solve."""


def memory(case: Case) -> Memory:
    """The keys of a case; the preserved ones are of earlier edits."""
    rng = np.random.default_rng([11, case.concepts, case.preserved])
    values = 5.0 * np.arange(1, WIDTH + 1) ** -1.2
    basis = np.linalg.qr(np.random.default_rng(3).standard_normal((WIDTH, WIDTH)))[0]
    keys = basis @ (np.sqrt(values)[:, None] * rng.standard_normal((WIDTH, case.keys)))
    residuals = rng.standard_normal((HEIGHT, case.concepts))
    moment = (basis * values) @ basis.T
    return Memory(keys[:, : case.concepts], keys, residuals, (moment + moment.T) / 2, keys[:, case.concepts :])


def ours(case: Case) -> dict[str, Any]:
    """editc's method; AlphaEdit's includes the search for the null space."""
    import scipy.linalg  # noqa: F401  (loaded before the clock runs)

    given = memory(case)
    method = MEMIT(LAMB) if case.method == "memit" else AlphaEdit(threshold=THRESHOLD, l2=RIDGE)
    seconds = []
    for _ in range(REPEATS):
        begun = process_time()
        edit = method(given)
        seconds.append(process_time() - begun)
    left, right = edit.left[0], edit.right[0]
    found = {"seconds": median(seconds), "bytes": 4 * (left.size + right.size)}
    return {**found, "error": _error(left @ right, _reference(case, given))}


def theirs(case: Case) -> dict[str, Any]:
    """The published order of work; `projection` has the seconds of AlphaEdit's null space, a part of `seconds`."""
    import torch

    torch.set_grad_enabled(False)
    given = memory(case)
    K, C, R, Kp = (torch.tensor(one).float() for one in (given.keys, given.moment, given.residuals, given.preserved))
    weight = torch.zeros(HEIGHT, WIDTH)
    torch.linalg.solve(torch.eye(8), torch.ones(8, 1))
    seconds, projection = [], 0.0
    for _ in range(REPEATS if case.method == "memit" else 1):
        begun = process_time()
        saved = weight.clone()
        if case.method == "memit":
            change = _memit(K, C + Kp @ Kp.T, R)
        else:
            P = _projection(C)
            projection = process_time() - begun
            change = torch.linalg.solve(P @ (K @ K.T + Kp @ Kp.T) + RIDGE * torch.eye(WIDTH), P @ K @ R.T).T
        saved += change
        seconds.append(process_time() - begun)
    found = {"seconds": median(seconds), "projection": projection, "bytes": 4 * HEIGHT * WIDTH}
    return {**found, "error": _error(change.double().numpy(), _reference(case, given))}


def _memit(K: Any, C: Any, R: Any) -> Any:
    """The change in float64, rounded."""
    import torch

    adjoint = torch.linalg.solve(LAMB * C.double() + K.double() @ K.double().T, K.double())
    return (R.double() @ adjoint.T).float()


def _projection(C: Any) -> Any:
    """The projection on the directions with small singular values."""
    import torch

    left, values, _ = torch.linalg.svd(C, full_matrices=False)
    quiet = left[:, values < THRESHOLD]
    return quiet @ quiet.T


def _reference(case: Case, given: Memory) -> Array:
    """D in float64, by LU of the system of d_in equations."""
    K, Kp = given.keys, given.preserved
    if case.method == "memit":
        return np.asarray(given.residuals @ np.linalg.solve(LAMB * (given.moment + Kp @ Kp.T) + K @ K.T, K).T)
    values, vectors = np.linalg.eigh(given.moment)
    P = vectors[:, values < THRESHOLD] @ vectors[:, values < THRESHOLD].T
    system = P @ (K @ K.T + Kp @ Kp.T) + RIDGE * np.eye(WIDTH)
    return np.asarray(np.linalg.solve(system, P @ K @ given.residuals.T).T)


def _error(found: Any, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
