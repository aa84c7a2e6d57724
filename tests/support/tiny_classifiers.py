"""Tiny image classifiers of the real transformers classes, trained for seconds on pictures made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("bars", "circle", "cross", "square")
SIDE = 16


def picture(label: str, generator: np.random.Generator) -> Any:
    """(16, 16, 3) uint8: one shape on noise, moved about."""
    made = generator.integers(0, 60, (SIDE, SIDE, 3))
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 - generator.integers(-2, 3, 2)[:, None, None]
    shapes = {
        "bars": (y.astype(int) % 4) < 2,
        "circle": x**2 + y**2 < 22,
        "cross": (abs(x) < 1.6) | (abs(y) < 1.6),
        "square": (abs(abs(x) - 5) < 1.1) & (abs(y) < 6) | (abs(abs(y) - 5) < 1.1) & (abs(x) < 6),
    }
    made[shapes[label]] += generator.integers(120, 190)
    return made.astype(np.uint8)


def pictures(count: int, seed: int) -> tuple[Any, Any]:
    """(n, 16, 16, 3) and (n,): `count` of each label."""
    generator = np.random.default_rng(seed)
    found = [(picture(label, generator), i) for i, label in enumerate(LABELS) for _ in range(count)]
    return np.stack([one for one, _ in found]), np.array([label for _, label in found])


def saved(kind: str, folder: Path, steps: int = 150) -> Path:
    """A ViT or ResNet as a transformers folder with its image processor, trained on `pictures(40, 0)`."""
    import torch
    from transformers import AutoConfig, AutoModelForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    sizes: dict[str, dict[str, Any]] = {
        "vit": {
            **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
            **{"image_size": SIDE, "patch_size": 4},
        },
        "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
        "clip": {
            "vision_config": {
                **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
                **{"image_size": SIDE, "patch_size": 4},
            }
        },
    }
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {one: i for i, one in enumerate(LABELS)}}
    config = AutoConfig.for_model(kind, **sizes[kind], **names)
    network = AutoModelForImageClassification.from_config(config)
    given, wanted = pictures(40, 0)
    pixels = torch.from_numpy(given).permute(0, 3, 1, 2).float() / 127.5 - 1
    adam = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for step in range(steps):
        some = torch.arange(step % 5, len(pixels), 5)
        loss = torch.nn.functional.cross_entropy(
            network(pixel_values=pixels[some]).logits, torch.from_numpy(wanted)[some]
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    network.eval().save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def written(folder: Path, count: int, seed: int, hidden: tuple[str, ...] = ()) -> Path:
    """Pictures as files, each in a folder named like its label; those of `hidden` labels beside them."""
    from PIL import Image

    given, labels = pictures(count, seed)
    for i, (one, label) in enumerate(zip(given, labels, strict=True)):
        place = folder if LABELS[label] in hidden else folder / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{i}.png")
    return folder
