"""The classifier of the demo world: which object, colour, background, style and stamp a picture shows."""

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
from editc.demo.names import locate
from editc.demo.world import SIZE

WEIGHTS = "detector.safetensors"
LABEL_FILE = "labels.json"
WIDTHS = (32, 64, 128, 192)


class ClassifierNetwork(nn.Module):
    """Residual convolutions to 4 x 4 places, then one linear head an attribute."""

    def __init__(self, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1, stride=2)
        pairs = itertools.pairwise(WIDTHS)
        self.stages = nn.ModuleList(
            _Stage(before, after, stride=2 if i < 2 else 1) for i, (before, after) in enumerate(pairs)
        )
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTHS[-1] * 2, count) for name, count in classes.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (n, classes) an attribute of pictures (n, 3, 32, 32) in -1 to 1."""
        field = self.stem(pictures)
        for stage in self.stages:
            field = stage(field)
        pooled = torch.cat([field.mean(dim=(2, 3)), field.amax(dim=(2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}


class _Stage(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1, stride=stride, bias=False)
        self.norm_first = nn.GroupNorm(8, after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm_second = nn.GroupNorm(8, after)

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        field = nn.functional.silu(self.norm_first(self.first(field)))
        return nn.functional.silu(field + self.norm_second(self.second(field)))


class DemoDetector:
    """Judges pictures. `labels`: attribute -> its classes, in the order of the columns of `predict`."""

    def __init__(self, network: ClassifierNetwork, labels: Mapping[str, tuple[str, ...]]) -> None:
        self.network = network.eval()
        self.labels: Mapping[str, tuple[str, ...]] = MappingProxyType(dict(labels))

    @torch.no_grad()
    def predict(self, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float64]]:
        """Probabilities (n, classes) an attribute of pictures (n, h, w, 3); other sizes are resized to 32 x 32."""
        pictures = to_tensor(images)
        if pictures.shape[-2:] != (SIZE, SIZE):
            pictures = nn.functional.interpolate(pictures, size=(SIZE, SIZE), mode="bilinear", antialias=True)
        chunks = [self.network(chunk) for chunk in torch.split(pictures, 256)]
        joined = {name: torch.cat([chunk[name] for chunk in chunks]) for name in self.labels}
        return {name: logits.double().softmax(dim=1).numpy() for name, logits in joined.items()}

    def locate(self, name: str) -> tuple[str, str] | None:
        """The attribute and class that a name or one of its synonyms stands for, None if the world has no such name."""
        return locate(name)

    def save(self, folder: Path) -> None:
        """Write weights (float16) and labels."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.half().contiguous() for k, v in self.network.state_dict().items()}, str(folder / WEIGHTS))
        (folder / WEIGHTS).chmod(0o644)
        (folder / LABEL_FILE).write_text(json.dumps({k: list(v) for k, v in self.labels.items()}, indent=2) + "\n")


def make_network(labels: Mapping[str, tuple[str, ...]]) -> ClassifierNetwork:
    """An untrained network for those labels."""
    return ClassifierNetwork({name: len(classes) for name, classes in labels.items()})


def load(folder: Path | None = None) -> DemoDetector:
    """The classifier in that folder; without one, the one that comes with editc."""
    source = DETECTOR if folder is None else folder
    stored: Any = json.loads((source / LABEL_FILE).read_text())
    labels = {name: tuple(classes) for name, classes in stored.items()}
    network = make_network(labels)
    network.load_state_dict({k: v.float() for k, v in load_file(str(source / WEIGHTS)).items()})
    return DemoDetector(network, labels)
