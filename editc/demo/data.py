"""Render labelled images to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from editc.demo.captions import caption, vocabulary
from editc.demo.world import (
    BACKGROUNDS,
    COLOURS,
    NOTHING,
    OBJECTS,
    OWN,
    SIZE,
    STYLES,
    ImageArray,
    Scene,
    draw_scene,
    render,
)

LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "object": (*OBJECTS, NOTHING),
        "colour": (*COLOURS, OWN),
        "background": tuple(BACKGROUNDS),
        "style": tuple(STYLES),
        "stamp": ("no", "yes"),
    }
)
"""Attribute -> its classes, in the order of the classifier's outputs."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What the training needs of a world. Another world than the demo's is another value of this class.

    Its functions stand in modules, so that a process that is started for the training can import them.
    """

    labels: Mapping[str, tuple[str, ...]]
    """Attribute -> its classes, in the order of the classifier's outputs. `object`, with NOTHING, comes first."""
    draw: Callable[[np.random.Generator, float], Scene]
    """Draws a random scene; the second argument is the share of scenes without an object."""
    render: Callable[[Scene, np.random.Generator, float], ImageArray]
    """Returns the image of a scene; the third argument is the spread, as in `world.render`."""
    caption: Callable[[Scene, np.random.Generator], str]
    """Returns a random caption of a scene."""
    words: tuple[str, ...]
    """Every word that a caption can have: the whole words of the tokenizer."""


DEMO = World(dict(LABELS), draw_scene, render, caption, vocabulary())
"""The demo world."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Rendered images with the scene of each."""

    images: npt.NDArray[np.uint8]
    """(n, 32, 32, 3) uint8."""
    scenes: tuple[Scene, ...]
    """The scene of each image, n of them."""


def make_images(
    count: int, seed: int, nothing_share: float = 0.04, spread: float = 1.0, world: World = DEMO
) -> LabelledImages:
    """Render `count` random scenes. `nothing_share` of them have no object; `spread` is that of `world.render`."""
    rng = np.random.default_rng(seed)
    scenes = tuple(world.draw(rng, nothing_share) for _ in range(count))
    images = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    for i, scene in enumerate(scenes):
        images[i] = world.render(scene, rng, spread)
    return LabelledImages(images, scenes)


def label_numbers(scenes: tuple[Scene, ...], world: World = DEMO) -> npt.NDArray[np.int64]:
    """Return the class numbers (n, attributes) of the scenes, one column an attribute, in the order of the labels."""
    rows = []
    for scene in scenes:
        values = _labels_of(scene)
        rows.append([classes.index(values[attribute]) for attribute, classes in world.labels.items()])
    return np.array(rows, dtype=np.int64)


def to_tensor(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return images (n, h, w, 3) as a float tensor (n, 3, h, w) with values from -1 to 1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_images(batch: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Return a float tensor (n, 3, h, w) as images (n, h, w, 3), clipped and rounded: the inverse of `to_tensor`."""
    scaled = (batch.detach().float().clamp(-1, 1) + 1.0) * 127.5
    images: npt.NDArray[np.uint8] = scaled.round().permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return images


def _labels_of(scene: Scene) -> dict[str, str]:
    """Return attribute -> class of a scene."""
    return {
        "object": scene.object,
        "colour": scene.colour,
        "background": scene.background,
        "style": scene.style,
        "stamp": "yes" if scene.stamp else "no",
    }
