"""What `benchmarks.against` runs for the published side solves the problems that editc's methods solve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.against.problem import Case, edited, preserved
from benchmarks.against.published import Clock, rece, uce_2023, uce_2025
from benchmarks.against.solves import layers_of, method_of, system_of, turn_of, uce_start

WIDTH = 32
"""d of the small layers."""


@pytest.fixture
def weights() -> list[Any]:
    rng = np.random.default_rng(0)
    return [0.2 * rng.standard_normal((height, WIDTH)).astype(np.float32) for height in (24, 40, 24)]


def _edit_as_published(
    method: str, case: Case, layers: Any, pairs: list[Any], kept: list[Any], weights: list[Any], clock: Clock
) -> None:
    if method == "uce2025":
        uce_2025(layers, [(k[0], t[0]) for k, t in pairs], [rows[0] for rows in kept], clock)
    elif method == "uce2023":
        uce_2023(layers, pairs, kept, case.preserve_scale, clock)
    else:
        rece(layers, pairs, kept[0], case.epochs, layers_of(weights), clock)


@pytest.mark.parametrize("method", ["uce2025", "uce2023", "rece"])
def test_the_published_order_of_work_ends_at_editc_s_solution(method: str, weights: list[Any]) -> None:
    case = Case(method, 1 if method == "rece" else 3, 0 if method == "rece" else 2, WIDTH)
    pairs = [(torch.tensor(k).float(), torch.tensor(t).float()) for k, t in edited(case)]
    kept = [torch.tensor(rows).float() for rows in preserved(case)]
    layers = layers_of(uce_start(case, weights) if method == "rece" else weights)
    clock = Clock({0: 1, 1: 1, 2: 1})
    with torch.no_grad():
        _edit_as_published(method, case, layers, pairs, kept, weights, clock)
    turn = turn_of(method_of(case)(system_of(case, weights)))
    for layer, W in zip(layers, weights, strict=True):
        wanted = W @ turn
        assert np.linalg.norm(layer.weight.detach().numpy() - wanted) <= 0.01 * np.linalg.norm(wanted)
