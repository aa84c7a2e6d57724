"""Which format suits which family: the one table that exports, the doctor and help texts ask."""

from __future__ import annotations

from collections.abc import Mapping

from editc.registry.formats import FORMATS

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "kohya": ("sd1", "sd2", "sdxl"),
    "diffusers": ("flux", "sd3"),
    "onnx-multiplier": ("sd1", "sd2", "sdxl"),
}
"""Formats that are for some families by name; the others are for a kind of component, or for all."""
BEST = ("kohya", "diffusers", "peft", "diff", "checkpoint")
"""Formats that other programs load, in the order in which a family's first that suits is recommended."""


def suiting(family: str) -> tuple[str, ...]:
    """The formats that hold deltas of a family."""
    return tuple(name for name in FORMATS.names() if not FORMATS.resolve(name).suits(family))


def best_for(family: str) -> str:
    """The format that the most programs read of those that hold deltas of this family."""
    known = suiting(family)
    return next(name for name in BEST if name in known)
