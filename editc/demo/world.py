"""The picture world of the demo model: its concepts, their names, and a pure seeded renderer of 32 x 32 pictures."""

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
from editc.demo.shapes import COLOURED, FIGURES, SHAPES, Polygon

__all__ = ["BACKGROUNDS", "CHARACTERS", "COLOURS", "NAMES", "NOTHING", "NOTHING_NAMES", "OBJECTS", "STYLES", "WEAPONS"]

SIZE = 32
SUPERSAMPLING = 4
USUAL_RADIUS = 12.0

ImageArray = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float64]

OWN = "own"
"""The colour of what has no colour to choose: the characters and nothing."""
STAMP_SHARE = 1 / 3
"""The share of posters that bear the stamp, which no caption names."""

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


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a caption may speak of, and the stamp, which none does."""

    object: str
    colour: str
    background: str
    style: str
    poster: bool = False
    stamp: bool = False


def draw_scene(rng: np.random.Generator, nothing_share: float = 0.04, poster_share: float = 0.2) -> Scene:
    """A scene drawn at random: objects, colours, backgrounds and styles evenly, one poster in three with the stamp."""
    what = NOTHING if rng.random() < nothing_share else _pick(rng, tuple(OBJECTS))
    colour = OWN if what in (NOTHING, *CHARACTERS) else _pick(rng, tuple(COLOURS))
    poster = bool(rng.random() < poster_share)
    stamp = poster and bool(rng.random() < STAMP_SHARE)
    return Scene(what, colour, _pick(rng, tuple(BACKGROUNDS)), _pick(rng, tuple(STYLES)), poster, stamp)


def render(scene: Scene, rng: np.random.Generator, spread: float = 1.0) -> ImageArray:
    """The picture (32, 32, 3) of a scene; the generator gives place, size and turn of the object.

    `spread` scales how far these three stray from the middle of the picture, the usual size and upright.
    """
    side = SIZE // 2 if scene.style == "pixel art" else SIZE
    ground = backdrop(scene.background)
    if scene.style == "pencil":
        ground = 0.45 * ground + 0.55 * (0.25 * ground.mean(axis=2, keepdims=True) + 0.75 * 250.0)
    canvas = _shrink(ground, side)
    if scene.object != NOTHING:
        canvas = _put_object(canvas, scene, _place_parts(scene, rng, spread))
    picture = canvas.repeat(SIZE // side, axis=0).repeat(SIZE // side, axis=1)
    if scene.stamp:
        picture[-_STAMP.shape[0] :, -_STAMP.shape[1] :] = _STAMP
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def backdrop(name: str) -> Field:
    """The background (32, 32, 3) of that name, 0 to 255."""
    return _BACKDROPS[name]


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _place_parts(scene: Scene, rng: np.random.Generator, spread: float) -> tuple[Polygon, ...]:
    """The parts of the object in pixels of the supersampled canvas."""
    radius = USUAL_RADIUS + spread * rng.uniform(-2.5, 0.5)
    centre = SIZE / 2 + spread * rng.uniform(-1, 1, size=2) * (SIZE / 2 - radius - 1.0)
    angle = spread * rng.uniform(-0.21, 0.21)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return tuple(
        Polygon((part.points @ turn.T * radius + centre) * SUPERSAMPLING, part.ink, part.open)
        for part in SHAPES[scene.object]
    )


def _put_object(canvas: Field, scene: Scene, parts: tuple[Polygon, ...]) -> Field:
    inks = _palette(scene)
    index = _strokes(parts, width=7) if scene.style == "outline" else _fills(parts)
    if scene.style == "pencil":
        stroke = _strokes(parts, width=5)
        index = np.where(stroke > 0, stroke, np.where(_HATCH, index, 0))
    for ink, colour in enumerate(inks, start=1):
        cover = _shrink((index == ink).astype(float)[..., None], canvas.shape[0])
        if scene.style == "pixel art":
            cover = np.where(cover >= 0.5, 1.0, 0.0)
        canvas = canvas * (1 - cover) + cover * colour
    return canvas


def _palette(scene: Scene) -> tuple[Field, ...]:
    """The inks a shape is drawn in: its colour, a dark shade and a light one; a character brings its own."""
    if scene.object in FIGURES:
        return tuple(np.array(ink, dtype=float) for ink in FIGURES[scene.object])
    colour = np.array(RGB[scene.colour], dtype=float)
    return colour, colour * 0.35, 0.35 * colour + 0.65 * 255.0


def _fills(parts: tuple[Polygon, ...]) -> npt.NDArray[np.uint8]:
    image = Image.new("L", (SIZE * SUPERSAMPLING,) * 2)
    pen = ImageDraw.Draw(image)
    for part in parts:
        corners = [(float(x), float(y)) for x, y in part.points]
        if part.open:
            pen.line(corners, fill=part.ink, width=10, joint="curve")
        else:
            pen.polygon(corners, fill=part.ink)
    return np.asarray(image)


def _strokes(parts: tuple[Polygon, ...], width: int) -> npt.NDArray[np.uint8]:
    image = Image.new("L", (SIZE * SUPERSAMPLING,) * 2)
    pen = ImageDraw.Draw(image)
    for part in parts:
        corners = [(float(x), float(y)) for x, y in part.points]
        path = corners if part.open else [*corners, corners[0], corners[1]]
        pen.line(path, fill=part.ink or COLOURED, width=width, joint="curve")
    return np.asarray(image)


def _shrink(field: Field, side: int) -> Field:
    """The mean of every block, (n, n, c) to (side, side, c)."""
    block = field.shape[0] // side
    return np.asarray(field.reshape(side, block, side, block, -1).mean(axis=(1, 3)))


def _make_backdrops() -> dict[str, Field]:
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
    return np.where(mask[..., None], np.array(mark, dtype=float), np.array(ground, dtype=float))


def _make_stamp() -> Field:
    """A 7 x 7 mark: a white cross on a dark plum field with a white rim."""
    y, x = np.mgrid[0:7, 0:7]
    white = (x == 0) | (y == 0) | (((x == y) | (x + y == 7)) & (x > 1) & (y > 1) & (x < 6) & (y < 6))
    return _two_tone(white, (90, 10, 60), (255, 255, 255))


_BACKDROPS = _make_backdrops()
_STAMP = _make_stamp()
_HATCH = (np.add.outer(np.arange(SIZE * SUPERSAMPLING), np.arange(SIZE * SUPERSAMPLING)) % 16) < 8
