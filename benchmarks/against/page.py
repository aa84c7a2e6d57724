"""The table and the curves of docs/measurements/against.md, from the figures that were kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import log10
from typing import Any

import numpy as np

from benchmarks.against.problem import Case
from benchmarks.against.run import COUNTS, PRESERVED, name
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
    """The seconds of editc's solve at every measured number of keys, and the plane through them."""
    cases = [Case(**json.loads(key.removeprefix("ours "))) for key in found if key.startswith("ours ")]
    cases = sorted((c for c in cases if c.method == "uce2025" and c.width == width), key=lambda c: c.keys)
    if len(cases) < 3:
        return
    seconds = np.array([found[name("ours", case)]["seconds"] for case in cases])
    keys = np.array([(1.0, case.concepts, case.preserved) for case in cases])
    solution = np.linalg.lstsq(keys, seconds, rcond=None)[0]
    share = 1 - float(np.sum((seconds - keys @ solution) ** 2) / np.sum((seconds - seconds.mean()) ** 2))
    for case, one, line in zip(cases, seconds, keys @ solution, strict=True):
        peak = found[name("ours", case)]["peak"]
        shown = round(line, 2) + 0.0
        yield f"| {width} | {case.concepts} | {case.preserved} | {one:.2f} | {shown:.2f} | {peak / 1e6:.0f} MB |"
    start, concept, kept = np.round((solution[0], *(1e3 * solution[1:])), 2) + 0.0
    slopes = f"{concept:.2f} ms a concept and {kept:.2f} ms a preserved text"
    if len({case.concepts - case.preserved for case in cases}) == 1:
        slopes = f"{kept:.2f} ms a key, of which half are preserved"
    yield f"\nd = {width}: {start:.2f} s, {slopes}; R^2 {share:.4f}.\n"


def picture(found: Figures) -> str:
    """The SVG file: CPU seconds by concepts, one panel for each number of preserved texts."""
    panels = tuple(panel for preserved in PRESERVED if (panel := _panel(found, preserved)) is not None)
    svg = draw_panels(panels, Places(len(COUNTS), "concepts"), "CPU seconds of one solve, by the number of concepts")
    for place, concepts in reversed(tuple(enumerate(COUNTS))):  # from the last: a place may be written like a number
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
