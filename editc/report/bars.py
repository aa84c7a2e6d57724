"""What the HTML report draws: one bar a matrix as coordinates for an inline SVG, and pictures as PNG data URIs."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 540.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 14.0, 34.0
PICTURE_SIDE = 160
"""Longest side of a picture in the report, in pixels; larger ones are reduced."""
_LAYER = re.compile(r"(?:.*\.)?(?:model|transformer)\.(?:.*\.)?(?:layers|h)\.(\d+)\.")
LETTER_WIDTH = 6.3
"""Width of a letter of the axis, roughly: a block's name is left out where it has no room."""


@dataclass(frozen=True)
class Bar:
    """One matrix: `role` picks its colour, `title` is its tooltip, `over` says that it is above the bound, `faint` that
    it was left out."""

    x: float
    y: float
    width: float
    height: float
    role: str
    title: str
    over: bool
    faint: bool = False


@dataclass(frozen=True)
class AxisMark:
    """A place on an axis with its text."""

    at: float
    text: str


@dataclass(frozen=True)
class BlockBand:
    """A run of matrices of the same block, shaded in turn; `text` is empty where it would not fit."""

    x: float
    width: float
    text: str
    shaded: bool


@dataclass(frozen=True)
class Plot:
    """A bar chart, ready to be written: every coordinate is in a box of WIDTH x HEIGHT."""

    title: str
    summary: str
    bars: tuple[Bar, ...]
    ticks: tuple[AxisMark, ...]
    bands: tuple[BlockBand, ...]
    roles: tuple[str, ...]
    bound: AxisMark | None
    bound_note: str
    box: tuple[float, float, float, float] = (LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    size: tuple[float, float] = (WIDTH, HEIGHT)


def plot(sites: Sequence[Mapping[str, Any]], key: str, title: str, bound: float | None) -> Plot:
    """`key` of every site from left to right; a bound far above all of them is named and not drawn."""
    values = [float(site[key]) for site in sites]
    finite = [value for value in values if isfinite(value)] or [0.0]
    near = bound is not None and bound <= 4 * max(finite)
    ticks, top = _ticks(max([*finite, bound or 0.0]) if near else max(finite))
    worst = sites[int(np.argmax(values))]
    return Plot(
        title,
        f"largest {max(values):.3g} at {worst['name']}",
        tuple(_bars(sites, values, top, bound)),
        tuple(AxisMark(_y(tick, top), f"{tick:g}") for tick in ticks),
        tuple(_bands(sites)),
        tuple(dict.fromkeys(str(site["role"]) for site in sites)),
        AxisMark(_y(bound, top), f"bound {bound:g}") if near and bound is not None else None,
        "" if near or bound is None else f"bound {bound:g}, above the scale",
    )


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """A picture (h, w, 3) as a PNG inside a data URI."""
    from PIL import Image

    image, file = Image.fromarray(pixels), BytesIO()
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def block_of(name: str) -> str:
    """`up_blocks.1` of `up_blocks.1.attentions.0...`, `mid_block` of `mid_block.attentions.0...`; without `block`.
    A language model's `model.layers.5.mlp...` is `layer 5`."""
    if found := _LAYER.match(name):
        return f"layer {found[1]}"
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    short = first.removesuffix("_blocks").removesuffix("_block") or first
    return f"{short} {number}" if number.isdigit() else short


def _ticks(largest: float) -> tuple[list[float], float]:
    """Ticks at 1, 2 or 5 times a power of ten, about four of them, and the top of the axis."""
    if largest <= 0:
        return [0.0], 1.0
    power = 10.0 ** floor(log10(largest / 4))
    step = next(times * power for times in (1, 2, 5, 10) if largest / (times * power) <= 4.5)
    count = floor(largest / step + 1e-9)
    return [float(f"{step * i:.6g}") for i in range(count + 1)], largest * 1.06


def _y(value: float, top: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value / top, 0.0), 1.0)), 2)


def _slot_width(count: int) -> float:
    return (WIDTH - LEFT - RIGHT) / count


def _bars(
    sites: Sequence[Mapping[str, Any]], values: Sequence[float], top: float, bound: float | None
) -> Iterator[Bar]:
    slot = _slot_width(len(sites))
    gap = min(0.22 * slot, 5.0)
    width = round(min(slot - gap, 26.0), 2)
    for index, (site, value) in enumerate(zip(sites, values, strict=True)):
        y = _y(value if isfinite(value) else top, top)
        x = round(LEFT + slot * (index + 0.5) - width / 2, 2)
        over = bound is not None and not value <= bound
        text = f"{site['name']}: {value:.4g}"
        faint = not site.get("kept", True)
        text += ", left out" if faint else ""
        yield Bar(x, y, width, round(HEIGHT - BOTTOM - y, 2), str(site["role"]), text, over, faint)


def _bands(sites: Sequence[Mapping[str, Any]]) -> Iterator[BlockBand]:
    """Neighbours whose names begin alike."""
    slot, start = _slot_width(len(sites)), 0
    names = [block_of(str(site["name"])) for site in sites]
    ends = [i for i in range(1, len(names) + 1) if i == len(names) or names[i] != names[i - 1]]
    for number, end in enumerate(ends):
        width = round(slot * (end - start), 2)
        text = _band_label(names[start], width)
        yield BlockBand(round(LEFT + slot * start, 2), width, text, number % 2 == 1)
        start = end


def _band_label(name: str, width: float) -> str:
    """A block's name where it has room; of a layer else its number, and where those are crowded every fifth."""
    if len(name) * LETTER_WIDTH <= width:
        return name
    number = name.removeprefix("layer ")
    roomy = width >= 3 * LETTER_WIDTH
    return number if number != name and (roomy or int(number) % 5 == 0) else ""
