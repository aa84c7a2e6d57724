"""Show the values between two passes as text: `editc build --print-after PASS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

HIDDEN = frozenset({"spans", "span", "text"})
"""Fields that are left out: places in the manifest, and its text."""
MAX_ITEMS = 12
"""The most items of a sequence that are shown. Chosen by hand, for one screen."""


def dump(value: Any) -> str:
    """The fields of a value, nested, one a line; arrays by shape and norm. Ends with a line break."""
    return "\n".join(_lines(value, "", type(value).__name__)) + "\n"


def _lines(value: Any, indent: str, label: str) -> Iterator[str]:
    """The lines of one value, and of all values inside it. `label` is its name."""
    if is_dataclass(value) and not isinstance(value, type):
        yield f"{indent}{label}"
        for one in fields(value):
            if one.name not in HIDDEN:
                yield from _lines(getattr(value, one.name), indent + "  ", one.name)
    elif isinstance(value, Mapping):
        yield f"{indent}{label}: {len(value)}"
        width = max((len(str(name)) for name in value), default=0) if _is_text_table(value) else 0
        for name, item in value.items():
            yield from _lines(item, indent + "  ", f"{name!s:<{width}}")
    elif isinstance(value, (tuple, list)) and any(is_dataclass(item) or isinstance(item, np.ndarray) for item in value):
        yield f"{indent}{label}: {len(value)}"
        for index, item in enumerate(value[:MAX_ITEMS]):
            yield from _lines(item, indent + "  ", f"[{index}]")
        if len(value) > MAX_ITEMS:
            yield f"{indent}  ... {len(value) - MAX_ITEMS} more"
    else:
        yield f"{indent}{label}: {_leaf(value)}"


def _is_text_table(value: Mapping[Any, Any]) -> bool:
    """True for a mapping of at least two names to texts: its texts are aligned in a column."""
    return len(value) > 1 and all(isinstance(item, str) for item in value.values())


def _leaf(value: Any) -> str:
    """A value without fields on one line: an array by its number format, shape and norm."""
    if isinstance(value, np.ndarray):
        shape = " x ".join(map(str, value.shape))
        return f"{value.dtype} ({shape})" + (f", norm {np.linalg.norm(value):.6g}" if value.dtype.kind == "f" else "")
    if isinstance(value, (tuple, list)):
        shown = ", ".join(repr(item) for item in value[:MAX_ITEMS])
        return f"({shown}{f', ... {len(value) - MAX_ITEMS} more' if len(value) > MAX_ITEMS else ''})"
    return repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
