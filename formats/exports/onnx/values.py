"""What the values in exported graphs are called, and the factors of a delta as their constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from editc.core.delta import Delta, Site
from editc.formats.delta.container import named_tensors

EDITED = ".edited"
"""What follows the name of an `onnx-graph`'s input in that of its output."""
ROWS, EDITED_ROWS = "rows", "edited"
"""The input and the output of an `onnx-multiplier`: rows of the text encoder (batch, n, d)."""


def input_name(delta: Delta, site: Site) -> str:
    """The tensor's name, with its component's before it where a delta edits several."""
    several = len({record.site.component for record in delta.sites}) > 1
    return f"{site.component}/{site.name}" if several else site.name


def constants_of(delta: Delta) -> dict[str, Any]:
    """The factors by the names that a delta file gives them; changes of bits are left out."""
    return {name: part for name, part in named_tensors(delta.factors) if part.dtype != np.uint8}


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The factors in a graph, which have the names of a delta file already."""
    return dict(tensors)
