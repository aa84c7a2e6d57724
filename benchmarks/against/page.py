"""The table and the curves of docs/measurements/against.md, from the figures that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log10
from typing import Any

import numpy as np

from benchmarks.against.problem import Case
from benchmarks.against.run import COUNTS, FIT, PRESERVED, name
from editc.report.depth import DepthPlot
from editc.report.panels import Curve, Panel, Places, draw_panels

Figures = Mapping[str, Any]


def table(found: Figures) -> Iterator[str]:
    """UCE of 2025 against editc: one line a cell. `*`: from one matrix of each shape."""
    heads = "concepts", "preserved", "published", "editc", "times", "times, matrices too"
    yield f"| {' | '.join((*heads, 'error, published', 'error, editc', 'peaks'))} |\n|{'---|' * 9}"
    for preserved in PRESERVED:
        for concepts in COUNTS:
            theirs, ours, mark = _pair(found, concepts, preserved)
            if theirs is None or ours is None:
                continue
            slow, quick, whole = theirs["seconds"], ours["seconds"], ours["seconds"] + ours["apply"]
            yield (
                f"| {concepts} | {preserved} | {slow:.1f}{mark} | {quick:.3f} | {slow / quick:.0f} | "
                f"{slow / whole:.0f} | {theirs['error']:.1e} | {ours['error']:.0e} | "
                f"{theirs['peak'] / 1e6:.0f}, {ours['peak'] / 1e6:.0f} MB |"
            )


def _pair(found: Figures, concepts: int, preserved: int) -> tuple[Any, Any, str]:
    """What was measured of a cell by both sides, and the mark of a sampled one."""
    ours = found.get(name("ours", Case("uce2025", concepts, preserved)))
    for sampled, mark in ((False, ""), (True, "*")):
        theirs = found.get(name("theirs", Case("uce2025", concepts, preserved, sampled=sampled)))
        if theirs is not None:
            return theirs, ours, mark
    return None, ours, ""


def fit(found: Figures, width: int) -> Iterator[str]:
    """The seconds of editc's solve by keys, and the straight line through them."""
    cases = [Case("uce2025", keys // 2, keys // 2, width) for keys in FIT]
    rows = [(case.keys, found[name("ours", case)]) for case in cases if name("ours", case) in found]
    if len(rows) < 3:
        return
    keys, seconds = np.array([row[0] for row in rows]), np.array([row[1]["seconds"] for row in rows])
    slope, start = np.polyfit(keys, seconds, 1)
    off = seconds - (start + slope * keys)
    share = 1 - float(np.sum(off**2) / np.sum((seconds - seconds.mean()) ** 2))
    for (count, one), line in zip(rows, start + slope * keys, strict=True):
        yield f"| {width} | {count} | {one['seconds']:.2f} | {line:.2f} | {one['peak'] / 1e6:.0f} MB |"
    yield f"\nd = {width}: {start:.2f} s + {1000 * slope:.2f} ms a key, R^2 {share:.4f}.\n"


def picture(found: Figures) -> str:
    """The SVG file: CPU seconds by concepts, one panel for each number of preserved texts."""
    panels = tuple(panel for preserved in PRESERVED if (panel := _panel(found, preserved)) is not None)
    svg = draw_panels(panels, Places(len(COUNTS), "concepts"), "CPU seconds of one solve, by the number of concepts")
    for place, concepts in enumerate(COUNTS):
        svg = svg.replace(f'text-anchor="middle">{place}</text>', f'text-anchor="middle">{concepts:,}</text>')
        svg = svg.replace(f"<title>concepts {place}:", f"<title>{concepts:,} concepts:")
    svg = svg.replace("after concepts", "concepts")
    return DepthPlot("", "", svg).standalone


def _panel(found: Figures, preserved: int) -> Panel | None:
    """Both sides at one number of preserved texts, on a logarithmic axis from 0.01 to 100 s."""
    pairs = [_pair(found, concepts, preserved) for concepts in COUNTS]
    if any(theirs is None or ours is None for theirs, ours, _ in pairs):
        return None
    curves = (
        _curve("v", "published", [theirs["seconds"] for theirs, _, _ in pairs]),
        _curve("k", "editc", [ours["seconds"] for _, ours, _ in pairs]),
    )
    ticks = tuple(((power + 2) / 4, f"{10.0**power:g}") for power in range(-2, 3))
    return Panel(f"CPU seconds, {preserved} preserved", curves, ticks)


def _curve(colour: str, title: str, seconds: list[float]) -> Curve:
    heights = tuple(min(max((log10(one) + 2) / 4, 0.0), 1.0) for one in seconds)
    return Curve(colour, title, heights, tuple(f"{one:.3g} s" for one in seconds))
