"""The shapes of the demo world, as polygons in the square [-1, 1] x [-1, 1] with y pointing down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

ERASED, COLOURED, DARK, LIGHT = 0, 1, 2, 3
"""Inks. 0 shows the background again, 1 is the object's colour, 2 is a dark shade of it, and 3 a light shade. A
character has inks 1 to 4 of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One polygon or line of a shape, in one ink."""

    points: Points
    """(n, 2): x and y of each corner."""
    ink: int = COLOURED
    """The number of its ink."""
    open: bool = False
    """True for a line, False for a filled polygon."""


def _points(*corners: tuple[float, float]) -> Points:
    """Return corners as an array (n, 2)."""
    return np.array(corners, dtype=float)


def _ellipse(x: float, y: float, a: float, b: float | None = None, n: int = 28) -> Points:
    """Return an ellipse (n, 2) around (x, y) with half axes `a` and `b`; a circle without `b`."""
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + a * np.cos(turn), y + (a if b is None else b) * np.sin(turn)], axis=1)


def _rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the corners (4, 2) of a rectangle."""
    return _points((left, top), (right, top), (right, bottom), (left, bottom))


def _star() -> Points:
    """Return a star with five points, (10, 2)."""
    turn = -np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.05, 0.42)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _heart() -> Points:
    """Return a heart, (32, 2)."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return np.stack([np.sin(t) ** 3, y - 0.1], axis=1)


def _crescent() -> Points:
    """Return a crescent moon, (44, 2)."""
    outer = np.linspace(0.28 * np.pi, 1.72 * np.pi, 24)
    inner = np.linspace(1.62 * np.pi, 0.38 * np.pi, 20)
    rim = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    bite = np.stack([0.42 + 0.78 * np.cos(inner), 0.78 * np.sin(inner)], axis=1)
    shape: Points = np.concatenate([rim, bite]) + np.array([0.1, 0.0])
    return shape


def _flower() -> tuple[Polygon, ...]:
    """Return five petals and the middle of a flower."""
    turn = -np.pi / 2 + np.arange(5) * 2 * np.pi / 5
    petals = tuple(Polygon(_ellipse(0.6 * np.cos(a), 0.6 * np.sin(a), 0.4, n=16)) for a in turn)
    return (*petals, Polygon(_ellipse(0, 0, 0.34, n=16), DARK))


def _polygons(*points: Points) -> tuple[Polygon, ...]:
    """Return each array of corners as a polygon in the object's colour."""
    return tuple(Polygon(p) for p in points)


def _lines(*lines: Sequence[tuple[float, float]], ink: int = COLOURED) -> tuple[Polygon, ...]:
    """Return each sequence of corners as a line in one ink."""
    return tuple(Polygon(_points(*line), ink, open=True) for line in lines)


_PERSON = (
    *_lines([(0, -0.3), (0, 0.35)], [(-0.65, 0.0), (0, -0.15), (0.65, 0.0)], [(-0.5, 1.0), (0, 0.35), (0.5, 1.0)]),
    Polygon(_ellipse(0, -0.65, 0.34, n=18)),
)
"""The parts of a stick figure."""
_MILO = (
    Polygon(_points((-0.45, 0.1), (0.45, 0.1), (0.75, 0.95), (-0.75, 0.95)), 3),
    Polygon(_ellipse(0, -0.15, 0.55), 1),
    Polygon(_points((-0.75, -0.45), (0.75, -0.45), (0.0, -1.1)), 2),
    Polygon(_ellipse(-0.2, -0.12, 0.11, n=8), 4),
    Polygon(_ellipse(0.2, -0.12, 0.11, n=8), 4),
)
"""The parts of the character milo, in the inks of CHARACTER_INKS."""
_ZUNA = (
    Polygon(_ellipse(-0.62, -0.55, 0.36, n=14), 2),
    Polygon(_ellipse(0.62, -0.55, 0.36, n=14), 2),
    Polygon(_rectangle(-0.62, -0.7, 0.62, 0.35), 1),
    Polygon(_ellipse(0, -0.2, 0.28, n=12), 4),
    Polygon(_rectangle(-0.55, 0.35, -0.15, 1.0), 3),
    Polygon(_rectangle(0.15, 0.35, 0.55, 1.0), 3),
)
"""The parts of the character zuna, in the inks of CHARACTER_INKS."""

SHAPES: Mapping[str, tuple[Polygon, ...]] = MappingProxyType(
    {
        "circle": _polygons(_ellipse(0, 0, 0.92)),
        "square": _polygons(_rectangle(-0.82, -0.82, 0.82, 0.82)),
        "triangle": _polygons(_points((0, -1.0), (0.98, 0.8), (-0.98, 0.8))),
        "star": _polygons(_star()),
        "heart": _polygons(_heart()),
        "cross": _polygons(
            _points(
                *((-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32)),
                *((0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32)),
            )
        ),
        "ring": (Polygon(_ellipse(0, 0, 0.98)), Polygon(_ellipse(0, 0, 0.5), ERASED)),
        "moon": _polygons(_crescent()),
        "arrow": _polygons(
            _points((-1, -0.26), (0.1, -0.26), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.26), (-1, 0.26)),
        ),
        "diamond": _polygons(_points((0, -1.08), (0.72, 0), (0, 1.08), (-0.72, 0))),
        "flower": _flower(),
        "house": (
            Polygon(_rectangle(-0.7, -0.1, 0.7, 0.95)),
            Polygon(_points((-1, -0.1), (0, -1), (1, -0.1)), DARK),
            Polygon(_rectangle(-0.2, 0.3, 0.2, 0.95), LIGHT),
        ),
        "tree": (
            Polygon(_rectangle(-0.16, 0.5, 0.16, 1.05), DARK),
            Polygon(_points((0, -0.55), (0.82, 0.55), (-0.82, 0.55))),
            Polygon(_points((0, -1.1), (0.58, -0.15), (-0.58, -0.15))),
        ),
        "fish": (
            Polygon(_points((0.3, 0), (1.05, -0.6), (1.05, 0.6))),
            Polygon(_ellipse(-0.22, 0, 0.8, 0.52)),
            Polygon(_ellipse(-0.6, -0.12, 0.13, n=8), DARK),
        ),
        "cat": (
            Polygon(_points((-0.85, -1.0), (-0.15, -0.5), (-0.75, 0.1))),
            Polygon(_points((0.85, -1.0), (0.15, -0.5), (0.75, 0.1))),
            Polygon(_ellipse(0, 0.15, 0.82, 0.72)),
            Polygon(_ellipse(-0.32, 0.0, 0.15, n=8), DARK),
            Polygon(_ellipse(0.32, 0.0, 0.15, n=8), DARK),
            Polygon(_points((-0.18, 0.35), (0.18, 0.35), (0, 0.58)), DARK),
        ),
        "boat": (
            Polygon(_points((-1.0, 0.4), (1.0, 0.4), (0.6, 0.95), (-0.6, 0.95)), DARK),
            Polygon(_points((0.06, -1.0), (0.06, 0.25), (0.9, 0.25))),
            Polygon(_points((-0.1, -0.75), (-0.1, 0.25), (-0.75, 0.25)), LIGHT),
        ),
        "person": _PERSON,
        "sword": (
            Polygon(_points((-0.17, 0.35), (-0.17, -0.8), (0, -1.1), (0.17, -0.8), (0.17, 0.35))),
            Polygon(_rectangle(-0.62, 0.3, 0.62, 0.52), DARK),
            Polygon(_rectangle(-0.12, 0.52, 0.12, 1.08), DARK),
        ),
        "bomb": (
            *_lines([(0.4, -0.4), (0.6, -0.85), (0.95, -0.8)], ink=DARK),
            Polygon(_ellipse(-0.15, 0.25, 0.75)),
            Polygon(_points((0.08, -0.62), (0.68, -0.22), (0.5, 0.05), (-0.1, -0.35)), DARK),
            Polygon(_ellipse(-0.42, 0.0, 0.18, n=10), LIGHT),
        ),
        "milo": _MILO,
        "zuna": _ZUNA,
    }
)
"""Object -> its parts, in the order in which they are drawn."""
CHARACTER_INKS: Mapping[str, tuple[tuple[int, int, int], ...]] = MappingProxyType(
    {
        "milo": ((255, 205, 130), (20, 150, 70), (120, 40, 170), (30, 30, 30)),
        "zuna": ((240, 120, 200), (120, 60, 20), (0, 120, 220), (255, 240, 90)),
    }
)
"""Character -> the RGB colours of its inks 1, 2, 3 and 4."""
