"""Draw curves in panels, one below the other, over layers or over steps. Colours are the report's style sheet's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, PANEL, GAP = 540.0, 118.0, 34.0
"""Width of the drawing, height of a panel and the gap between panels, in SVG units."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 22.0, 36.0
"""Margins, in SVG units."""
NUMBERED_PLACES = 16
"""Places with a number on the axis, at most. Chosen by hand to leave room between them."""


@dataclass(frozen=True)
class Curve:
    """One line over the places."""

    colour: str
    """The name of its colour in the style sheet."""
    name: str
    """Its name in the legend. Empty where the panel has one curve."""
    heights: tuple[float, ...]
    """The height at each place, 0 to 1 of the panel."""
    texts: tuple[str, ...]
    """The tooltip of each point."""


@dataclass(frozen=True)
class Panel:
    """Curves over one axis."""

    title: str
    """What is drawn."""
    curves: tuple[Curve, ...]
    """The curves."""
    ticks: tuple[tuple[float, str], ...]
    """Marks of the vertical axis: height, 0 to 1, and text."""


@dataclass(frozen=True)
class Places:
    """What the curves run over."""

    count: int
    """How many."""
    name: str
    """What one is called: `layer`, `step`."""
    every: int = 1
    """How many of what the name says one place stands for."""
    first: int = 0
    """The number of the first place."""
    axis: str = ""
    """What stands below the axis. Empty: `after` and the name."""

    def number(self, place: int) -> int:
        """Return the number of a place as a reader counts."""
        return self.first + place * self.every

    def span(self, window: Sequence[int]) -> str:
        """Name a run of places: `layer 5` or `layers 4 to 8`."""
        first, last = self.number(window[0]), self.number(window[-1])
        return f"{self.name} {first}" if len(window) == 1 else f"{self.name}s {first} to {last}"


def draw_panels(panels: Sequence[Panel], places: Places, label: str, window: Sequence[int] = ()) -> str:
    """Return the SVG element. `window` has the numbers of the places that are shaded."""
    bottom = TOP + len(panels) * (PANEL + GAP) - GAP
    parts = [part for number, panel in enumerate(panels) for part in _panel(panel, number, places, window)]
    parts += list(_axis(places, bottom))
    begin = f'<svg viewBox="0 0 {WIDTH:g} {bottom + BOTTOM:g}" role="img" aria-label="{escape(label)}">'
    return begin + "\n" + "\n".join(parts) + "\n</svg>"


def _panel(panel: Panel, number: int, places: Places, window: Sequence[int]) -> Iterator[str]:
    """Yield the SVG of one panel: the shaded window, the ticks, the title, the curves."""
    top = TOP + number * (PANEL + GAP)
    if window:
        slot = (WIDTH - LEFT - RIGHT) / places.count
        x, width = LEFT + slot * window[0], slot * (window[-1] + 1 - window[0])
        yield (
            f'<rect x="{x:.1f}" y="{top:g}" width="{width:.1f}" height="{PANEL:g}" style="fill:var(--k);opacity:.16">'
            f"<title>{places.span(window)}: edited</title></rect>"
        )
    for height, text in panel.ticks:
        y = top + PANEL * (1 - height)
        yield f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="axis" x="{LEFT - 7:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    names = "".join(
        f'<tspan dx="10" style="fill:var(--{curve.colour})">&#9679; {escape(curve.name)}</tspan>'
        for curve in panel.curves
        if curve.name
    )
    yield f'<text class="axis" x="{LEFT:g}" y="{top - 8:g}">{escape(panel.title)}{names}</text>'
    for curve in panel.curves:
        yield from _line(curve, top, places)


def _line(curve: Curve, top: float, places: Places) -> Iterator[str]:
    """Yield the SVG of one curve with a point and a tooltip for each place."""
    spots = [(_x(place, places.count), top + PANEL * (1 - height)) for place, height in enumerate(curve.heights)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    yield f'<polyline points="{points}" style="fill:none;stroke:var(--{curve.colour});stroke-width:1.8"/>'
    for place, ((x, y), text) in enumerate(zip(spots, curve.texts, strict=True)):
        title = f"<title>{places.name} {places.number(place)}: {text}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" style="fill:var(--{curve.colour})">{title}</circle>'


def _axis(places: Places, bottom: float) -> Iterator[str]:
    """Yield the SVG of the places' numbers below the lowest panel."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if places.count <= NUMBERED_PLACES * step)
    for place in range(0, places.count, step):
        x, number = _x(place, places.count), places.number(place)
        yield f'<text class="axis" x="{x:.1f}" y="{bottom + 16:g}" text-anchor="middle">{number}</text>'
    if places.count:
        middle, label = LEFT + (WIDTH - LEFT - RIGHT) / 2, places.axis or f"after {places.name}"
        yield f'<text class="axis" x="{middle:g}" y="{bottom + 32:g}" text-anchor="middle">{escape(label)}</text>'


def _x(place: int, count: int) -> float:
    """Return where a place lies across, in SVG units."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / count
