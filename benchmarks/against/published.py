"""UCE of 2025 and of 2023, and RECE, with the published order of work, in our own words: float32, one matrix after
another, a deep copy and an explicit inverse for each, and a rank-one update for each key."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from time import process_time
from typing import Any

from benchmarks.against.problem import RIDGE

Tensor = Any
SCALE = 1.0
"""Weight of a key of UCE 2025, edited or preserved. It is an option there, so each update is multiplied by it."""
REGULAR = 0.1
"""r of RECE's derivation."""
ROUND_RIDGE = 0.1
"""lambda of a RECE round."""
ROUND_PRESERVE = 0.1
"""Weight of the empty text in a RECE round."""


@dataclass
class Clock:
    """CPU seconds of a run over all matrices, of which some may have been left out."""

    counts: dict[int, int]
    """Index of a matrix that is edited -> for how many matrices its seconds stand."""
    seconds: float = 0.0
    """CPU seconds so far."""
    begun: float = field(default_factory=process_time)
    """When the part that runs now began."""

    def lap(self, times: int = 1) -> None:
        """Add the seconds since the last lap, `times` over."""
        now = process_time()
        self.seconds += times * (now - self.begun)
        self.begun = now


def uce_2025(layers: Any, edits: Sequence[Any], kept: Sequence[Tensor], clock: Clock) -> None:
    """Edit `layers` in place. `edits`: (key, target) of each concept, (d,) both; `kept`: the preserved keys, (d,)."""
    import torch

    originals = [deepcopy(layer) for layer in layers]
    clock.lap()
    for index, times in clock.counts.items():
        old = originals[index].weight
        right, normal = RIDGE * old, RIDGE * torch.eye(old.shape[1])
        for key, target in [*edits, *((one, one) for one in kept)]:
            right += SCALE * torch.outer(old @ target, key)
            normal += SCALE * torch.outer(key, key)
        layers[index].weight = torch.nn.Parameter(right @ torch.inverse(normal))
        clock.lap(times)


def uce_2023(
    layers: Any, edits: Sequence[Any], kept: Sequence[Tensor], scale: float, clock: Clock, ridge: float = RIDGE
) -> None:
    """Edit `layers` in place. `edits`: (keys, targets) of each concept, (m, d) both; `kept`: rows (n, d) that weigh
    `scale`. The values of every matrix are computed anew for every matrix, and each row gives a matrix of its own."""
    import torch

    originals = deepcopy(layers)
    clock.lap()
    for index, times in clock.counts.items():
        old = originals[index].weight
        right, normal = ridge * old, ridge * torch.eye(old.shape[1])
        for weight, keys, targets in [*((1.0, *pair) for pair in edits), *((scale, one, one) for one in kept)]:
            values = [layer(targets) for layer in originals][index]
            column, row, value = keys[:, :, None], keys[:, None, :], values[:, :, None]
            right += weight * (value @ row).sum(0)
            normal += weight * (column @ row).sum(0)
        layers[index].weight = torch.nn.Parameter(right @ torch.inverse(normal))
        clock.lap(times)


def rece(layers: Any, edits: Sequence[Any], empty: Tensor, epochs: int, first: Any, clock: Clock) -> None:
    """RECE's rounds on `layers`, in place, from a checkpoint that UCE edited; `first`: the layers before that edit."""
    for _ in range(epochs):
        found = [(derive(layers, first, keys), targets) for keys, targets in edits]
        clock.lap()
        uce_2023(layers, found, [empty] * len(found), ROUND_PRESERVE, clock, ROUND_RIDGE)


def derive(layers: Any, first: Any, keys: Tensor) -> Tensor:
    """The rows (m, d) that the layers read as the first ones read `keys`."""
    import torch

    width = keys.shape[1]
    gram, cross = REGULAR * torch.eye(width), torch.zeros(width, width)
    for layer, old in zip(layers, first, strict=True):
        gram += layer.weight.T @ layer.weight
        cross += layer.weight.T @ old.weight
    return keys @ (torch.inverse(gram) @ cross).T
