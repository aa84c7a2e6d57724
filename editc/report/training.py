"""Draw how an edit was trained: the terms of its loss, and what the attacks of its rounds found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import floor, log10
from typing import Any

from editc.core.solution import Training
from editc.report.panels import Curve, Panel, Places, draw_panels

COLOURS = ("k", "v", "x", "bad")
"""Colours of the style sheet, for the terms in turn."""
DECADES = 6
"""Powers of ten that the axis of the loss has at most; what is smaller lies at its foot. Chosen by hand: what stays
begins at 0."""


def training_fields(training: Training | None, concepts: Sequence[str]) -> Mapping[str, Any]:
    """Return the field `training` of report.json; nothing where the edit was solved for."""
    if training is None:
        return {}
    own = dict(zip(concepts, training.own, strict=False))
    return {"training": {**asdict(training), "concepts": list(concepts), "own": own}}


def training_plots(training: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the SVG elements: the loss, and the attacks where the method has some."""
    plots = [_plot_losses(training)]
    if training["searches"]:
        plots.append(_plot_searches(training))
    return tuple(plots)


def _plot_losses(training: Mapping[str, Any]) -> str:
    """Draw each term on a logarithmic axis that all share."""
    points = training["losses"]
    logs = [[log10(max(abs(value), 1e-12)) for value in point] for point in points]
    high = floor(max(map(max, logs))) + 1
    low = max(floor(min(map(min, logs))), high - DECADES)
    curves = tuple(
        Curve(
            COLOURS[number % len(COLOURS)],
            name,
            tuple(max(row[number] - low, 0.0) / (high - low) for row in logs),
            tuple(f"{point[number]:.3g}" for point in points),
        )
        for number, name in enumerate(training["terms"])
    )
    ticks = tuple(((power - low) / (high - low), f"1e{power}") for power in range(low, high + 1))
    places = Places(len(points), "step", -(-training["steps"] // len(points)))
    return draw_panels((Panel("Loss", curves, ticks),), places, "Loss by step")


def _plot_searches(training: Mapping[str, Any]) -> str:
    """Draw the most and the mean that the attacks of each round found, as shares of the concept."""
    found = [one["reached"] for one in training["searches"]]
    most, mean = [max(one) for one in found], [sum(one) / len(one) for one in found]
    curves = (_shares("bad", "most", most), _shares("k", "mean", mean))
    panel = Panel("Found by the attack of a round", curves, ((0.0, "0"), (0.5, "0.5"), (1.0, "1")))
    return draw_panels((panel,), Places(len(found), "round"), "Attacks")


def _shares(colour: str, name: str, values: Sequence[float]) -> Curve:
    """Make a curve of shares, drawn from 0 to 1."""
    heights = tuple(min(max(value, 0.0), 1.0) for value in values)
    return Curve(colour, name, heights, tuple(f"{value:.2f}" for value in values))
