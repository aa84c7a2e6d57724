"""How long each part of the demo model is trained, and with which settings. All values are chosen by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VaePlan:
    """The settings for the training of the autoencoder."""

    seed: int = 11
    """The seed of images and weights."""
    images: int = 20_000
    """How many images are rendered to train on."""
    steps: int = 3_800
    """Training steps."""
    batch: int = 16
    """Images in a step."""
    rate: float = 1.5e-3
    """The highest learning rate."""
    divergence: float = 1e-3
    """The weight of the KL divergence in the loss."""
    bfloat16: bool = True
    """True to compute in bfloat16, which is slower than float32 on a CPU without instructions for it."""


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """The settings for the training of the classifier.

    In its last steps, half of the images come from the autoencoder.
    """

    seed: int = 12
    """The seed of images and weights."""
    images: int = 40_000
    """How many images are rendered to train on."""
    steps: int = 5_000
    """Training steps before the last ones."""
    batch: int = 64
    """Images in a step."""
    rate: float = 2e-3
    """The highest learning rate of these steps."""
    finish_images: int = 10_000
    """How many images are rendered for the last steps. The autoencoder reconstructs a copy of each."""
    finish_steps: int = 700
    """The last training steps."""
    finish_rate: float = 5e-4
    """The highest learning rate of the last steps."""
    spread: float = 1.0
    """How far objects stray from the middle of the image, as in `world.render`."""
    bfloat16: bool = True
    """True to compute in bfloat16."""


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Return the factor for the learning rate: it rises to 1 in `warmup` steps, then falls to 0 along a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@dataclass(frozen=True, slots=True)
class DiffusionPlan:
    """The settings for one stage of training of UNet and text encoder, by processes with one thread each."""

    seed: int = 13
    """The seed of images, captions, noise and weights."""
    images: int = 25_000
    """How many images each process renders to train on."""
    steps: int = 9_000
    """Training steps of the whole schedule."""
    minutes: float = 46.0
    """Minutes of the whole schedule. It is over when either the steps or the minutes are."""
    batch: int = 24
    """Images in a step of one process."""
    rate: float = 1e-3
    """The highest learning rate."""
    warmup: int = 250
    """Steps over which the learning rate rises."""
    caption_dropout: float = 0.1
    """The share of captions that are left empty, so that guidance works."""
    snr_limit: float = 5.0
    """The greatest weight of an error of the image, by its signal-to-noise ratio. See `diffusion._loss`."""
    ema: float = 0.9985
    """The decay of the running average of the weights, for each step."""
    workers: int = 2
    """The number of processes."""
    snapshot_minutes: float = 8.0
    """Minutes between two snapshots."""
    spread: float = 1.0
    """How far objects stray from the middle of the image, as in `world.render`."""
    stop: float = 1.0
    """The share of the schedule after which the stage ends."""
    name: str = "model"
    """The folder for the averaged weights, within the folder of work."""
    text_width: int = 128
    """The width of the text encoder."""
    text_layers: int = 4
    """The layers of the text encoder."""
    unet_channels: tuple[int, int] = (64, 128)
    """Channels of the UNet at its two levels."""
    images_per_caption: int = 1
    """How many noised copies of an image share one caption, which the text encoder then reads once."""
    bfloat16: bool = True
    """True to compute in bfloat16."""
    starts_from: str = ""
    """The folder of the stage whose weights this one starts from; empty: untrained weights."""


DIFFUSION_STAGES: tuple[DiffusionPlan, ...] = (
    DiffusionPlan(stop=0.52, name="wide"),
    DiffusionPlan(seed=14, batch=32, minutes=42.0, warmup=100, spread=0.35, starts_from="wide"),
)
"""First objects are anywhere and of any size. Then they are nearly upright and near the middle, which so few weights
can draw well (docs/explanation/demo-model.md)."""
