"""Pictures from rows, and noised pictures: what attacks and training have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.ports import Diffusion

BATCH = 16
"""Pictures painted at a time; each is asked twice, for guidance."""


def add_noise(model: Diffusion, clean: Any, times: Any, noise: Any) -> Any:
    """(n, c, h, w): sqrt(a) clean + sqrt(1 - a) noise, a the level at each of `times` (n,)."""
    level = model.levels[times][:, None, None, None]
    return level.sqrt() * clean + (1 - level).sqrt() * noise


def goal_of_noise(model: Diffusion, clean: Any, times: Any, noise: Any) -> Any:
    """(n, c, h, w): what a perfect network answers for `noised`: noise, v or the clean latents, as the model does."""
    if model.kind == "epsilon":
        return noise
    if model.kind == "sample":
        return clean
    level = model.levels[times][:, None, None, None]
    return level.sqrt() * noise - (1 - level).sqrt() * clean


def clean_of(model: Diffusion, latents: Any, times: Any, answer: Any) -> Any:
    """(n, c, h, w): the clean latents that an answer to `latents` at `times` (n,) stands for."""
    level = model.levels[times][:, None, None, None]
    if model.kind == "epsilon":
        return (latents - (1 - level).sqrt() * answer) / level.sqrt()
    if model.kind == "sample":
        return answer
    return level.sqrt() * latents - (1 - level).sqrt() * answer


def denoise(
    model: Diffusion,
    rows: Any,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    latents: Any = None,
    skip: int = 0,
    ask: Callable[[Any, Any, Any, Any], Any] | None = None,
    watch: Callable[[Any, int], None] | None = None,
    stop: int | None = None,
) -> Any:
    """The clean latents (n, c, h, w) of one picture for each row set (n, t, d) and seed, guided away from the empty
    prompt. `latents` begin in place of noise, after `skip` steps. `ask` gives the guided answer in place of the usual
    one, from latents, times, rows and the empty prompt's rows. `watch` is called with the latents before each step, and
    its timestep. `stop`: the number of steps after which the latents are returned as they are."""
    import torch

    empty = model.rows([""])
    with torch.no_grad():
        parts = [slice(start, start + BATCH) for start in range(0, len(seeds), BATCH)]
        begun = model.start(seeds) if latents is None else latents
        ask = ask or _guided(model, guidance)
        times = model.timesteps(steps)[skip:stop]
        return torch.cat([_walk(model, rows[p], empty, begun[p], times, ask, watch) for p in parts])


def paint(model: Diffusion, rows: Any, seeds: Sequence[int], steps: int, guidance: float) -> NDArray[np.uint8]:
    """The pictures (n, h, w, 3) of `denoise`."""
    return model.decode(denoise(model, rows, seeds, steps, guidance))


def _guided(model: Diffusion, guidance: float) -> Callable[[Any, Any, Any, Any], Any]:
    import torch

    def ask(latents: Any, times: Any, rows: Any, empty: Any) -> Any:
        if guidance == 1:
            return model.answer(latents, times, rows)
        both = torch.cat([empty.expand(len(rows), -1, -1), rows])
        away, toward = model.answer(latents.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
        return away + guidance * (toward - away)

    return ask


def _walk(
    model: Diffusion,
    rows: Any,
    empty: Any,
    latents: Any,
    times: Sequence[int],
    ask: Callable[..., Any],
    watch: Callable[[Any, int], None] | None,
) -> Any:
    import torch

    for time in times:
        if watch is not None:
            watch(latents, time)
        latents = model.step(ask(latents, torch.full((len(latents),), time), rows, empty), time, latents)
    return latents
