"""Draw where a language model holds what was edited, layer by layer: one panel for each kind of evidence.

The window of edited layers is shaded. The SVG takes its colours from the report's style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10
from typing import Any

WIDTH, PANEL, GAP = 540.0, 118.0, 34.0
"""Width of the drawing, height of a panel and the gap between panels, in SVG units."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 22.0, 36.0
"""Margins, in SVG units."""
NUMBERED_LAYERS = 16
"""Layers with a number on the axis, at most. Chosen by hand to leave room between them."""
STYLE = """<style>
:root { --paper: #ffffff; --line: #dfe3e7; --soft: #5a6570; --k: #3f6fb5; --v: #d1862b; --x: #7a6aa8; }
text { font: 11.5px system-ui, "DejaVu Sans", sans-serif; fill: var(--soft); } .grid { stroke: var(--line); }
</style>"""
"""The style sheet of a drawing in a file of its own."""


@dataclass(frozen=True)
class DepthPlot:
    """The drawing of one stage's evidence."""

    title: str
    """The caption."""
    summary: str
    """Why `auto` chose the window, in words."""
    svg: str
    """The SVG element for a page. Empty where there is no evidence."""

    @property
    def standalone(self) -> str:
        """The drawing as the text of an SVG file."""
        begin, rest = self.svg.split(">", 1)
        return f'{begin} xmlns="http://www.w3.org/2000/svg">{STYLE}{rest}\n'


@dataclass(frozen=True)
class Curve:
    """One line over the layers."""

    colour: str
    """The name of its colour in the style sheet."""
    name: str
    """Its name in the legend. Empty where the panel has one curve."""
    heights: tuple[float, ...]
    """The height at each layer, 0 to 1 of the panel."""
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


def depth_plot(depth: Mapping[str, Any]) -> DepthPlot:
    """Draw the evidence `depth`, the fields of `findings.Depth` as report.json has them. Evidence that was not taken
    has no panel."""
    panels = tuple(_panels(depth))
    layers = max((len(curve.heights) for panel in panels for curve in panel.curves), default=0)
    window = [int(layer) for layer in depth.get("window", ())]
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    parts = [part for i, panel in enumerate(panels) for part in _panel(panel, i, layers, window)]
    parts += list(_axis(layers, TOP + len(panels) * (PANEL + GAP) - GAP))
    summary = str(depth.get("why", ""))
    label = escape(f"Evidence by layer: {summary}")
    svg = f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{label}">\n' + "\n".join(parts) + "\n</svg>"
    return DepthPlot("Evidence by layer", summary, svg if panels else "")


def _panels(depth: Mapping[str, Any]) -> Iterator[Panel]:
    """Yield the panels: causal tracing, logit lens, probe."""
    shares = (0.0, "0"), (0.5, "0.5"), (1.0, "1")
    traced = (("k", "at the subject", "traced"), ("v", "at the prompt's end", "moved"))
    curves = tuple(_share_curve(*one, depth, 0.0) for one in traced if depth.get(one[2]))
    if curves:
        yield Panel("Causal tracing, share restored", curves, shares)
    if depth.get("lens"):
        yield _rank_panel([float(rank) + 1 for rank in depth["lens"]])
    if depth.get("probed"):
        curve = _share_curve("x", "", "probed", depth, 0.5)
        yield Panel("Linear probe, accuracy", (curve,), ((0.0, "0.5"), (0.5, "0.75"), (1.0, "1")))


def _share_curve(colour: str, name: str, key: str, depth: Mapping[str, Any], bottom: float) -> Curve:
    """Make the curve of shares `depth[key]`, drawn from `bottom` to 1."""
    values = [float(value) for value in depth[key]]
    heights = tuple(min(max((value - bottom) / (1 - bottom), 0.0), 1.0) for value in values)
    return Curve(colour, name, heights, tuple(f"{value:.2f}" for value in values))


def _rank_panel(ranks: Sequence[float]) -> Panel:
    """Make the panel of ranks. Rank 1, the likeliest, is on top; the axis is logarithmic."""
    powers = max(ceil(log10(max(ranks)) - 1e-9), 1)
    heights = tuple(1 - log10(rank) / powers for rank in ranks)
    step = ceil(powers / 4)
    ticks = tuple((1 - power / powers, _power_label(power)) for power in range(0, powers + 1, step))
    title = "Logit lens, median rank of the answer"
    return Panel(title, (Curve("x", "", heights, tuple(f"rank {rank:g}" for rank in ranks)),), ticks)


def _window_name(window: Sequence[int]) -> str:
    """Name the layers of a window: `layer 5` or `layers 4 to 8`."""
    return f"layer {window[0]}" if len(window) == 1 else f"layers {window[0]} to {window[-1]}"


def _power_label(power: int) -> str:
    """Write a power of ten briefly: 100, 1k, 100k, 1M."""
    return f"{10 ** (power % 3)}{('', 'k', 'M', 'G')[power // 3]}"


def _panel(panel: Panel, number: int, layers: int, window: Sequence[int]) -> Iterator[str]:
    """Yield the SVG of one panel: the shaded window, the ticks, the title, the curves."""
    top = TOP + number * (PANEL + GAP)
    if window:
        slot = (WIDTH - LEFT - RIGHT) / layers
        x, width = LEFT + slot * window[0], slot * (window[-1] + 1 - window[0])
        yield (
            f'<rect x="{x:.1f}" y="{top:g}" width="{width:.1f}" height="{PANEL:g}" style="fill:var(--k);opacity:.16">'
            f"<title>{_window_name(window)}: edited</title></rect>"
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
        yield from _line(curve, top, layers)


def _line(curve: Curve, top: float, layers: int) -> Iterator[str]:
    """Yield the SVG of one curve with a point and a tooltip for each layer."""
    places = [(_x(layer, layers), top + PANEL * (1 - height)) for layer, height in enumerate(curve.heights)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{points}" style="fill:none;stroke:var(--{curve.colour});stroke-width:1.8"/>'
    for layer, ((x, y), text) in enumerate(zip(places, curve.texts, strict=True)):
        title = f"<title>layer {layer}: {text}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" style="fill:var(--{curve.colour})">{title}</circle>'


def _axis(layers: int, bottom: float) -> Iterator[str]:
    """Yield the SVG of the layer numbers below the lowest panel."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if layers <= NUMBERED_LAYERS * step)
    for layer in range(0, layers, step):
        yield f'<text class="axis" x="{_x(layer, layers):.1f}" y="{bottom + 16:g}" text-anchor="middle">{layer}</text>'
    if layers:
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
        yield f'<text class="axis" x="{middle:g}" y="{bottom + 32:g}" text-anchor="middle">after layer</text>'


def _x(layer: int, layers: int) -> float:
    """Return the horizontal place of a layer, in SVG units."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (layer + 0.5) / layers
