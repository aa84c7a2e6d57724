"""What flows between two passes, as text that a person can read: `editc build --print-after PASS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

HIDDEN = frozenset({"spans", "span", "text"})
MAX_ITEMS = 12
"""Items of a sequence shown before the rest is counted."""


def dump(value: Any) -> str:
    """Nested fields, one a line; arrays by shape and norm; ends with a line break."""
    return "\n".join(_lines(value, "", type(value).__name__)) + "\n"


def _lines(value: Any, indent: str, label: str) -> Iterator[str]:
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
    """True for a table of texts, whose second column reads better in line."""
    return len(value) > 1 and all(isinstance(item, str) for item in value.values())


def _leaf(value: Any) -> str:
    if isinstance(value, np.ndarray):
        shape = " x ".join(map(str, value.shape))
        return f"{value.dtype} ({shape})" + (f", norm {np.linalg.norm(value):.6g}" if value.dtype.kind == "f" else "")
    if isinstance(value, (tuple, list)):
        shown = ", ".join(repr(item) for item in value[:MAX_ITEMS])
        return f"({shown}{f', ... {len(value) - MAX_ITEMS} more' if len(value) > MAX_ITEMS else ''})"
    return repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
