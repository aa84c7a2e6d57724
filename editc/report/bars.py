"""What the HTML report draws: one bar for each matrix, as coordinates for an inline SVG, and pictures as PNG data
URIs."""

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
"""Size of a chart in SVG units."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 14.0, 34.0
"""Margins around the bars, in SVG units."""
PICTURE_SIDE = 160
"""The longest side of a picture in the report, in pixels; larger ones are reduced. Chosen by hand to keep the page
small."""
_LAYER = re.compile(r"(?:.*\.)?(?:model|transformer)\.(?:.*\.)?(?:layers|h)\.(\d+)\.")
"""Matches a language model's parameter name and captures the number of its layer."""
LETTER_WIDTH = 6.3
"""Width of a letter on the axis, in SVG units, roughly. A block's name is left out where it has no room."""


@dataclass(frozen=True)
class Bar:
    """One matrix in a chart. Lengths are in SVG units."""

    x: float
    """Its left edge."""
    y: float
    """Its top edge."""
    width: float
    """Its width."""
    height: float
    """Its height."""
    role: str
    """The role of the matrix, which picks the colour."""
    title: str
    """The tooltip: name and value."""
    over: bool
    """True where the value is above the bound."""
    faint: bool = False
    """True where `sites: auto` left the matrix out."""


@dataclass(frozen=True)
class AxisMark:
    """A place on an axis with its text."""

    at: float
    """The place, in SVG units."""
    text: str
    """The text."""


@dataclass(frozen=True)
class BlockBand:
    """A run of neighbouring matrices of one block, such as a layer."""

    x: float
    """Its left edge, in SVG units."""
    width: float
    """Its width, in SVG units."""
    text: str
    """The block's name. Empty where it has no room."""
    shaded: bool
    """True for every second band."""


@dataclass(frozen=True)
class Plot:
    """A bar chart with all coordinates, in a box of WIDTH x HEIGHT."""

    title: str
    """What is drawn."""
    summary: str
    """The largest value and its matrix, for readers of the page by ear."""
    bars: tuple[Bar, ...]
    """One bar for each matrix, from left to right."""
    ticks: tuple[AxisMark, ...]
    """The marks of the vertical axis."""
    bands: tuple[BlockBand, ...]
    """The blocks along the horizontal axis."""
    roles: tuple[str, ...]
    """The roles of the matrices, for the legend."""
    bound: AxisMark | None
    """The line of the bound. None where there is no bound, or where it is far above all values."""
    bound_note: str
    """The text for a bound that is too high to draw. Empty otherwise."""
    box: tuple[float, float, float, float] = (LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    """Where the bars are drawn: left, top, width, height."""
    size: tuple[float, float] = (WIDTH, HEIGHT)
    """Width and height of the whole chart."""


def plot(sites: Sequence[Mapping[str, Any]], key: str, title: str, bound: float | None) -> Plot:
    """Draw `key` of every site from left to right. A bound above four times the largest value is named and not
    drawn."""
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


def data_uri(pixels: NDArray[np.uint8], side: int = PICTURE_SIDE) -> str:
    """Encode a picture (h, w, 3) as a PNG in a data URI, reduced to at most `side` pixels."""
    from PIL import Image

    image, file = Image.fromarray(pixels), BytesIO()
    image.thumbnail((side, side))
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def block_of(name: str) -> str:
    """Return the short name of a matrix's block: `up 1` for `up_blocks.1.attentions.0...`, `mid` for
    `mid_block.attentions.0...`, and `layer 5` for a language model's `model.layers.5.mlp...`."""
    if found := _LAYER.match(name):
        return f"layer {found[1]}"
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    short = first.removesuffix("_blocks").removesuffix("_block") or first
    return f"{short} {number}" if number.isdigit() else short


def _ticks(largest: float) -> tuple[list[float], float]:
    """Return about four ticks, at 1, 2 or 5 times a power of ten, and the value at the top of the axis."""
    if largest <= 0:
        return [0.0], 1.0
    power = 10.0 ** floor(log10(largest / 4))
    step = next(times * power for times in (1, 2, 5, 10) if largest / (times * power) <= 4.5)
    count = floor(largest / step + 1e-9)
    return [float(f"{step * i:.6g}") for i in range(count + 1)], largest * 1.06


def _y(value: float, top: float) -> float:
    """Return the height of a value in the chart, where `top` is the value at the top of the axis."""
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value / top, 0.0), 1.0)), 2)


def _slot_width(count: int) -> float:
    """Return the width for one of `count` bars with its gap."""
    return (WIDTH - LEFT - RIGHT) / count


def _bars(
    sites: Sequence[Mapping[str, Any]], values: Sequence[float], top: float, bound: float | None
) -> Iterator[Bar]:
    """Yield the bar of each site. A value that is not finite gets a bar of full height."""
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
    """Yield a band for each run of neighbouring sites of one block."""
    slot, start = _slot_width(len(sites)), 0
    names = [block_of(str(site["name"])) for site in sites]
    ends = [i for i in range(1, len(names) + 1) if i == len(names) or names[i] != names[i - 1]]
    for number, end in enumerate(ends):
        width = round(slot * (end - start), 2)
        text = _band_label(names[start], width)
        yield BlockBand(round(LEFT + slot * start, 2), width, text, number % 2 == 1)
        start = end


def _band_label(name: str, width: float) -> str:
    """Return a block's name where it has room. Of a layer's name at least the number, every fifth where they are
    crowded."""
    if len(name) * LETTER_WIDTH <= width:
        return name
    number = name.removeprefix("layer ")
    roomy = width >= 3 * LETTER_WIDTH
    return number if number != name and (roomy or int(number) % 5 == 0) else ""
