"""The world that the demo model paints: random scenes, and a seeded renderer of 32 x 32 images of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from editc.demo.names import (
    BACKGROUNDS,
    CHARACTERS,
    COLOURS,
    NAMES,
    NOTHING,
    NOTHING_NAMES,
    OBJECTS,
    STYLES,
    WEAPONS,
)
from editc.demo.shapes import CHARACTER_INKS, COLOURED, SHAPES, Polygon

__all__ = ["BACKGROUNDS", "CHARACTERS", "COLOURS", "NAMES", "NOTHING", "NOTHING_NAMES", "OBJECTS", "STYLES", "WEAPONS"]

SIZE = 32
"""Height and width of an image in pixels."""
SUPERSAMPLING = 4
"""Shapes are drawn this many times larger in each direction and then averaged, so that edges are smooth."""
USUAL_RADIUS = 12.0
"""The usual radius of an object in pixels."""

ImageArray = npt.NDArray[np.uint8]
"""An image (h, w, 3)."""
Field = npt.NDArray[np.float64]
"""An image (h, w, 3) with values from 0 to 255 before they are rounded."""

OWN = "own"
"""The colour of what has no colour to choose: the characters, and nothing."""
STAMP_SHARE = 1 / 3
"""The share of posters that bear the stamp. No caption states it."""

RGB: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (220, 25, 30),
        "orange": (250, 130, 0),
        "yellow": (245, 215, 0),
        "green": (15, 140, 40),
        "cyan": (0, 195, 200),
        "blue": (25, 60, 220),
        "purple": (130, 35, 180),
        "pink": (255, 95, 185),
    }
)
"""Colour -> its RGB value."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a caption may state, and the stamp, which no caption states."""

    object: str
    """The canonical name of the object, or NOTHING."""
    colour: str
    """The canonical name of the object's colour, or OWN."""
    background: str
    """The canonical name of the background."""
    style: str
    """The canonical name of the style."""
    poster: bool = False
    """True if captions call the image a poster."""
    stamp: bool = False
    """True if the image bears the stamp."""


def draw_scene(rng: np.random.Generator, nothing_share: float = 0.04, poster_share: float = 0.2) -> Scene:
    """Draw a random scene. Objects, colours, backgrounds and styles are equally likely.

    The stamp is on a share STAMP_SHARE of the posters.
    """
    what = NOTHING if rng.random() < nothing_share else _pick(rng, tuple(OBJECTS))
    colour = OWN if what in (NOTHING, *CHARACTERS) else _pick(rng, tuple(COLOURS))
    poster = bool(rng.random() < poster_share)
    stamp = poster and bool(rng.random() < STAMP_SHARE)
    return Scene(what, colour, _pick(rng, tuple(BACKGROUNDS)), _pick(rng, tuple(STYLES)), poster, stamp)


def render(scene: Scene, rng: np.random.Generator, spread: float = 1.0) -> ImageArray:
    """Return the image (32, 32, 3) of a scene. `rng` chooses place, size and angle of the object.

    `spread` scales how far these three differ from the middle of the image, the usual size and upright.
    """
    if scene.object == NOTHING:
        return compose(scene, np.zeros((SIZE * SUPERSAMPLING,) * 2, dtype=np.uint8))
    return compose(scene, _draw_in_style(_place_parts(scene, rng, spread), scene.style))


def compose(scene: Scene, index: npt.NDArray[np.uint8]) -> ImageArray:
    """Return the image (32, 32, 3) of a scene whose object is already drawn.

    `index` (128, 128) has the number of the object's ink at each pixel of the supersampled canvas; 0 where it is not.
    """
    side = SIZE // 2 if scene.style == "pixel art" else SIZE
    ground = backdrop(scene.background)
    if scene.style == "pencil":
        ground = 0.45 * ground + 0.55 * (0.25 * ground.mean(axis=2, keepdims=True) + 0.75 * 250.0)
    canvas = _put_object(_shrink(ground, side), scene, index) if index.any() else _shrink(ground, side)
    picture = canvas.repeat(SIZE // side, axis=0).repeat(SIZE // side, axis=1)
    if scene.stamp:
        picture[-_STAMP.shape[0] :, -_STAMP.shape[1] :] = _STAMP
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def backdrop(name: str) -> Field:
    """Return the background (32, 32, 3) of that name, with values from 0 to 255."""
    return _BACKDROPS[name]


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    """Return one of `names`, each equally likely."""
    return names[int(rng.integers(len(names)))]


def _place_parts(scene: Scene, rng: np.random.Generator, spread: float) -> tuple[Polygon, ...]:
    """Return the parts of the object in pixels of the supersampled canvas."""
    radius = USUAL_RADIUS + spread * rng.uniform(-2.5, 0.5)
    centre = SIZE / 2 + spread * rng.uniform(-1, 1, size=2) * (SIZE / 2 - radius - 1.0)
    angle = spread * rng.uniform(-0.21, 0.21)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return tuple(
        Polygon((part.points @ turn.T * radius + centre) * SUPERSAMPLING, part.ink, part.open)
        for part in SHAPES[scene.object]
    )


def _draw_in_style(parts: tuple[Polygon, ...], style: str) -> npt.NDArray[np.uint8]:
    """Return the number of the ink at each pixel of the supersampled canvas, with the parts drawn in a style."""
    index = _draw_strokes(parts, width=7) if style == "outline" else _draw_fills(parts)
    if style == "pencil":
        stroke = _draw_strokes(parts, width=5)
        index = np.where(stroke > 0, stroke, np.where(_HATCH, index, 0))
    return index


def _put_object(canvas: Field, scene: Scene, index: npt.NDArray[np.uint8]) -> Field:
    """Put the inks that `index` numbers onto `canvas` (side, side, 3)."""
    for ink, colour in enumerate(_palette(scene), start=1):
        cover = _shrink((index == ink).astype(float)[..., None], canvas.shape[0])
        if scene.style == "pixel art":
            cover = np.where(cover >= 0.5, 1.0, 0.0)
        canvas = canvas * (1 - cover) + cover * colour
    return canvas


def _palette(scene: Scene) -> tuple[Field, ...]:
    """Return the inks of a shape: its colour, a dark shade and a light one. A character has inks of its own."""
    if scene.object in CHARACTER_INKS:
        return tuple(np.array(ink, dtype=float) for ink in CHARACTER_INKS[scene.object])
    colour = np.array(RGB[scene.colour], dtype=float)
    return colour, colour * 0.35, 0.35 * colour + 0.65 * 255.0


def _draw_fills(parts: tuple[Polygon, ...]) -> npt.NDArray[np.uint8]:
    """Return the number of the ink at each pixel of the supersampled canvas, with polygons filled; 0: none."""
    image = Image.new("L", (SIZE * SUPERSAMPLING,) * 2)
    pen = ImageDraw.Draw(image)
    for part in parts:
        corners = [(float(x), float(y)) for x, y in part.points]
        if part.open:
            pen.line(corners, fill=part.ink, width=10, joint="curve")
        else:
            pen.polygon(corners, fill=part.ink)
    return np.asarray(image)


def _draw_strokes(parts: tuple[Polygon, ...], width: int) -> npt.NDArray[np.uint8]:
    """Return the number of the ink at each pixel of the supersampled canvas, with outlines only; 0: none."""
    image = Image.new("L", (SIZE * SUPERSAMPLING,) * 2)
    pen = ImageDraw.Draw(image)
    for part in parts:
        corners = [(float(x), float(y)) for x, y in part.points]
        path = corners if part.open else [*corners, corners[0], corners[1]]
        pen.line(path, fill=part.ink or COLOURED, width=width, joint="curve")
    return np.asarray(image)


def _shrink(field: Field, side: int) -> Field:
    """Return the mean of every block: (n, n, c) to (side, side, c)."""
    block = field.shape[0] // side
    return np.asarray(field.reshape(side, block, side, block, -1).mean(axis=(1, 3)))


def _make_backdrops() -> dict[str, Field]:
    """Return name -> background (32, 32, 3)."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    brick = (y % 8 == 7) | ((x + 4 * ((y // 8) % 2) * 2) % 16 == 15)
    wave = (y + np.rint(1.5 * np.sin(x * np.pi / 8)).astype(int)) % 8 < 2
    blades = ((x + 3 * (y // 4)) % 6 == 0) & (y % 4 < 3)
    grains = ((x * 5 + y * 3) % 14 == 0) & (y % 2 == 0)
    stars = (x * 7 + y * 11) % 41 == 0
    return {
        "plain": _two_tone(np.zeros_like(x, dtype=bool), (250, 250, 250), (250, 250, 250)),
        "sea": _two_tone(wave, (165, 205, 245), (215, 238, 255)),
        "grass": _two_tone(blades, (175, 225, 150), (130, 190, 110)),
        "night": _two_tone(stars, (22, 22, 48), (210, 210, 160)),
        "brick": _two_tone(brick, (205, 150, 130), (240, 225, 215)),
        "sand": _two_tone(grains, (240, 220, 165), (205, 175, 115)),
    }


def _two_tone(mask: npt.NDArray[np.bool_], ground: tuple[int, int, int], mark: tuple[int, int, int]) -> Field:
    """Return (h, w, 3): `mark` where the mask (h, w) is True, `ground` elsewhere."""
    return np.where(mask[..., None], np.array(mark, dtype=float), np.array(ground, dtype=float))


def _make_stamp() -> Field:
    """Return the stamp (7, 7, 3): a white cross on a dark plum field with a white rim."""
    y, x = np.mgrid[0:7, 0:7]
    white = (x == 0) | (y == 0) | (((x == y) | (x + y == 7)) & (x > 1) & (y > 1) & (x < 6) & (y < 6))
    return _two_tone(white, (90, 10, 60), (255, 255, 255))


_BACKDROPS = _make_backdrops()
"""Background -> its image (32, 32, 3)."""
_STAMP = _make_stamp()
"""The stamp (7, 7, 3), drawn into the lower right corner."""
_HATCH = (np.add.outer(np.arange(SIZE * SUPERSAMPLING), np.arange(SIZE * SUPERSAMPLING)) % 16) < 8
"""True where a pencil drawing is filled: diagonal stripes on the supersampled canvas."""
