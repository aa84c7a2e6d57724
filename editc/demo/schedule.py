"""How long each part of the demo model is trained, and at which rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VaePlan:
    """The autoencoder."""

    seed: int = 11
    images: int = 20_000
    steps: int = 3_800
    batch: int = 16
    rate: float = 1.5e-3
    divergence: float = 1e-3


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """The classifier; the last steps see half of their pictures through the autoencoder."""

    seed: int = 12
    images: int = 40_000
    steps: int = 5_000
    batch: int = 64
    rate: float = 2e-3
    softened: int = 10_000
    finish_steps: int = 700
    finish_rate: float = 5e-4


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor on the rate: rises to 1 in `warmup` steps, then falls to zero along a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@dataclass(frozen=True, slots=True)
class DiffusionPlan:
    """UNet and text encoder together, by `workers` processes of one thread; `batch` is that of one process.

    `spread` is that of the pictures (`world.render`); `stop` the share of the schedule after which the stage ends;
    `name` is the folder its averaged weights go to; a stage starts from the weights in `resumes`, if any.
    """

    seed: int = 13
    images: int = 25_000
    steps: int = 9_000
    minutes: float = 46.0
    batch: int = 24
    rate: float = 1e-3
    warmup: int = 250
    caption_dropout: float = 0.1
    snr_limit: float = 5.0
    ema: float = 0.9985
    workers: int = 2
    snapshot_minutes: float = 8.0
    spread: float = 1.0
    stop: float = 1.0
    name: str = "model"
    resumes: str = ""


DIFFUSION_STAGES: tuple[DiffusionPlan, ...] = (
    DiffusionPlan(stop=0.52, name="wide"),
    DiffusionPlan(seed=14, batch=32, minutes=42.0, warmup=100, spread=0.35, resumes="wide"),
)
"""First objects anywhere, at any size; then nearly upright ones near the middle, which so few weights can draw well."""
