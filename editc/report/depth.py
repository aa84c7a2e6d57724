"""Draw where a language model holds what was edited, layer by layer: one panel for each kind of evidence.

The window of edited layers is shaded. The SVG takes its colours from the report's style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Any

from editc.report.panels import Curve, Panel, Places, draw_panels

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


def depth_plot(depth: Mapping[str, Any]) -> DepthPlot:
    """Draw the evidence `depth`, the fields of `findings.Depth` as report.json has them. Evidence that was not taken
    has no panel."""
    panels = tuple(_panels(depth))
    layers = max((len(curve.heights) for panel in panels for curve in panel.curves), default=0)
    window = [int(layer) for layer in depth.get("window", ())]
    summary = str(depth.get("why", ""))
    svg = draw_panels(panels, Places(layers, "layer"), f"Evidence by layer: {summary}", window)
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


def _power_label(power: int) -> str:
    """Write a power of ten briefly: 100, 1k, 100k, 1M."""
    return f"{10 ** (power % 3)}{('', 'k', 'M', 'G')[power // 3]}"
