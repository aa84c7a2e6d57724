"""Scenes, pictures and captions of the second world. Colours, backgrounds and grammar are those of the demo world."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from benchmarks.second_world.names import LEXICON, OBJECTS, PICTOGRAMS, STYLES
from benchmarks.second_world.pictograms import Mask, draw_pictogram
from editc.demo.captions import Caption, describe, vocabulary
from editc.demo.data import World
from editc.demo.names import BACKGROUNDS, COLOURS, NOTHING
from editc.demo.shapes import COLOURED, DARK, LIGHT
from editc.demo.world import OWN, SIZE, SUPERSAMPLING, ImageArray, Scene, compose

SHIFT = 3
"""How far an object may stand from the middle of the picture, in pixels of the supersampled canvas: less than a pixel
of the picture, so that few weights learn many shapes."""
RIM = 9
"""The width of the filter that draws a sticker's rim: 4 pixels of the supersampled canvas on each side."""
DROP = 6
"""How far the shadow of a raised object lies to the right and below, in pixels of the supersampled canvas."""
_GLYPHS = {name: glyph for kind in PICTOGRAMS.values() for name, (glyph, _) in kind.items()}
"""Object -> the name of its pictogram."""
_STRIPES = np.add.outer(np.arange(SIZE * SUPERSAMPLING), np.zeros(SIZE * SUPERSAMPLING, dtype=int)) % 16 < 8
"""True where a striped object has the light ink: level stripes of two pixels of the picture."""


def draw_scene(rng: np.random.Generator, nothing_share: float = 0.04) -> Scene:
    """Draw a random scene. Objects, colours, backgrounds and styles are equally likely; there are no posters."""
    what = NOTHING if rng.random() < nothing_share else _pick(rng, tuple(OBJECTS))
    return scene_of(what, rng)


def scene_of(what: str, rng: np.random.Generator) -> Scene:
    """Return a random scene of that object."""
    colour = OWN if what == NOTHING else _pick(rng, tuple(COLOURS))
    return Scene(what, colour, _pick(rng, tuple(BACKGROUNDS)), _pick(rng, tuple(STYLES)))


def render(scene: Scene, rng: np.random.Generator, spread: float = 1.0) -> ImageArray:
    """Return the image (32, 32, 3) of a scene. `rng` and `spread` choose how far the object is from the middle."""
    if scene.object == NOTHING:
        return compose(scene, np.zeros((SIZE * SUPERSAMPLING,) * 2, dtype=np.uint8))
    down, right = np.rint(spread * rng.uniform(-SHIFT, SHIFT, size=2)).astype(int)
    mask = np.roll(draw_pictogram(_GLYPHS[scene.object]), (down, right), axis=(0, 1))
    return compose(scene, _draw_in_style(mask, scene.style))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return a random caption of the scene."""
    return describe(scene, rng, lexicon=LEXICON).text


def describe_object(scene: Scene, rng: np.random.Generator) -> Caption:
    """Return a random caption that names the object, by any of its names, and what it states."""
    return describe(scene, rng, kinds_share=0.0, lexicon=LEXICON)


def _draw_in_style(mask: Mask, style: str) -> npt.NDArray[np.uint8]:
    """Return the number of the ink at each pixel of the supersampled canvas (128, 128); 0: none."""
    index = np.where(mask, COLOURED, 0)
    if style == "striped":
        index = np.where(mask & _STRIPES, LIGHT, index)
    if style == "sticker":
        wide = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(RIM))) > 0
        index = np.where(wide & ~mask, LIGHT, index)
    if style == "raised":
        index = np.where(np.roll(mask, (DROP, DROP), axis=(0, 1)) & ~mask, DARK, index)
    return index.astype(np.uint8)


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    """Return one of `names`, each equally likely."""
    return names[int(rng.integers(len(names)))]


WORLD = World(
    {
        "object": (*OBJECTS, NOTHING),
        "colour": (*COLOURS, OWN),
        "background": tuple(BACKGROUNDS),
        "style": tuple(STYLES),
    },
    draw_scene,
    render,
    caption,
    vocabulary(LEXICON),
)
"""The second world, as the training of the demo model takes it."""
