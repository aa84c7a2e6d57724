"""The classifier of the demo world. It says which object, colour, background, style and stamp an image shows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from editc.demo import DETECTOR
from editc.demo.data import to_tensor
from editc.demo.names import find_label
from editc.demo.world import SIZE

WEIGHTS = "detector.safetensors"
"""The file of the weights in the classifier's folder."""
LABEL_FILE = "labels.json"
"""The file of the classes in the classifier's folder."""
WIDTHS = (32, 64, 128, 192)
"""Channels of the network before and after each stage. Chosen by hand."""


class ClassifierNetwork(nn.Module):
    """Residual convolutions down to 4 x 4 places, and then one linear head for each attribute."""

    def __init__(self, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1, stride=2)
        pairs = itertools.pairwise(WIDTHS)
        self.stages = nn.ModuleList(
            _Stage(before, after, stride=2 if i < 2 else 1) for i, (before, after) in enumerate(pairs)
        )
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTHS[-1] * 2, count) for name, count in classes.items()})

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits (n, classes) of each attribute, for images (n, 3, 32, 32) with values from -1 to 1."""
        field = self.stem(batch)
        for stage in self.stages:
            field = stage(field)
        pooled = torch.cat([field.mean(dim=(2, 3)), field.amax(dim=(2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}


class _Stage(nn.Module):
    """Two convolutions with a residual connection around the second."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1, stride=stride, bias=False)
        self.norm_first = nn.GroupNorm(8, after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm_second = nn.GroupNorm(8, after)

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map (n, before, h, w) to (n, after, h / stride, w / stride)."""
        field = nn.functional.silu(self.norm_first(self.first(field)))
        return nn.functional.silu(field + self.norm_second(self.second(field)))


class DemoDetector:
    """Judges images by attribute.

    `labels` maps each attribute to its classes, in the order of the columns of `predict`.
    """

    def __init__(self, network: ClassifierNetwork, labels: Mapping[str, tuple[str, ...]]) -> None:
        self.network = network.eval()
        self.labels: Mapping[str, tuple[str, ...]] = MappingProxyType(dict(labels))

    @torch.no_grad()
    def predict(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the probabilities (n, classes) of each attribute for images (n, h, w, 3).

        Images of another size than 32 x 32 are resized.
        """
        batch = to_tensor(images)
        if batch.shape[-2:] != (SIZE, SIZE):
            batch = nn.functional.interpolate(batch, size=(SIZE, SIZE), mode="bilinear", antialias=True)
        chunks = [self.network(chunk) for chunk in torch.split(batch, 256)]
        joined = {name: torch.cat([chunk[name] for chunk in chunks]) for name in self.labels}
        return {name: logits.double().softmax(dim=1).numpy() for name, logits in joined.items()}

    def find_label(self, name: str) -> tuple[str, str] | None:
        """Return the (attribute, class) that a name, canonical or not, stands for.

        None if the world has no such name.
        """
        return find_label(name)

    def save(self, folder: Path) -> None:
        """Write the weights (as float16) and the classes into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.half().contiguous() for k, v in self.network.state_dict().items()}, str(folder / WEIGHTS))
        (folder / WEIGHTS).chmod(0o644)
        (folder / LABEL_FILE).write_text(json.dumps({k: list(v) for k, v in self.labels.items()}, indent=2) + "\n")


def make_network(labels: Mapping[str, tuple[str, ...]]) -> ClassifierNetwork:
    """Return an untrained network for these labels."""
    return ClassifierNetwork({name: len(classes) for name, classes in labels.items()})


def load(folder: Path | None = None) -> DemoDetector:
    """Load the classifier from `folder`, or the one that comes with editc."""
    source = DETECTOR if folder is None else folder
    stored: Any = json.loads((source / LABEL_FILE).read_text())
    labels = {name: tuple(classes) for name, classes in stored.items()}
    network = make_network(labels)
    network.load_state_dict({k: v.float() for k, v in load_file(str(source / WEIGHTS)).items()})
    return DemoDetector(network, labels)
