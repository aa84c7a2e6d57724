"""The names of inputs and outputs in exported graphs, and the factors of a delta as their constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from editc.core.delta import Delta, Site
from editc.formats.delta.container import named_tensors

EDITED = ".edited"
"""The ending of an output's name in an `onnx-graph`, after the name of its input."""
ROWS, EDITED_ROWS = "rows", "edited"
"""The names of the input and the output of an `onnx-multiplier`: rows of the text encoder (batch, n, d)."""


def input_name(delta: Delta, site: Site) -> str:
    """The name of the input for a site: the tensor's name, after the component's name if the delta edits several
    components."""
    several = len({record.site.component for record in delta.sites}) > 1
    return f"{site.component}/{site.name}" if several else site.name


def constants_of(delta: Delta) -> dict[str, Any]:
    """The factors by the names that a delta file gives them, without changes of bits."""
    return {name: part for name, part in named_tensors(delta.factors) if part.dtype != np.uint8}


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the factors in a graph, which already have the names of a delta file."""
    return dict(tensors)
