"""Draw what an edit leaves of those that were in the model before it, over the sequence of edits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from editc.report.panels import Curve, Panel, Places, draw_panels

SHARES = ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))
"""The ticks of an axis of shares."""
AXIS = "earlier edits, in the order of application"
"""What stands below the axis."""


def earlier_plot(earlier: Sequence[Mapping[str, Any]]) -> str:
    """Return the SVG element: by earlier edit, the share of its facts that are said before and after this one, and how
    far the outputs at its keys move. Empty without earlier edits."""
    panels = tuple(_panels(earlier))
    return draw_panels(panels, Places(len(earlier), "edit", first=1, axis=AXIS), "Earlier edits") if panels else ""


def _panels(earlier: Sequence[Mapping[str, Any]]) -> Iterator[Panel]:
    """Yield the panels for which something was measured."""
    if any(one["facts"] for one in earlier):
        before, after = (
            _curve(earlier, *one) for one in (("k", "before this edit", "before"), ("bad", "after", "after"))
        )
        yield Panel("Facts of the edit that are said first", (before, after), SHARES)
    moved = [one["moved"] for one in earlier if one["moved"] is not None]
    if moved:
        top = max(moved) or 1.0
        curve = _curve(earlier, "v", "", "moved", top)
        yield Panel("How far this edit moves its outputs", (curve,), ((0.0, "0"), (1.0, f"{top:.2g}")))


def _curve(earlier: Sequence[Mapping[str, Any]], colour: str, name: str, field: str, top: float = 1.0) -> Curve:
    """Make the curve of a field over the edits, 0 where one has nothing of it."""
    values = [one[field] for one in earlier]
    heights = tuple(min(max(value or 0.0, 0.0) / top, 1.0) for value in values)
    texts = tuple(
        f"{', '.join(one['edits'][:3]) or one['delta_id'][:12]}: {'none' if value is None else f'{value:.3g}'}"
        for one, value in zip(earlier, values, strict=True)
    )
    return Curve(colour, name, heights, texts)
