"""JSON that editc writes in one canonical spelling and reads strictly.

Canonical: the same values always give the same bytes, so that files can be hashed.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from editc.core.diagnostics import EditcError, fail

DELTA_KEY = "editc"
"""The metadata key of a file under which editc describes the delta in it. editc's own files have this key alone: the
safetensors library writes several keys in an order that changes from process to process."""


def canonical_json(value: Any) -> str:
    """A value as canonical JSON: keys sorted, no spaces, ASCII. Raises E605 for NaN, Infinity and values that JSON
    lacks.

    The value is written, read and written again: a key that is a number takes another place once it is a text.
    """
    try:
        return _dump(json.loads(_dump(value)))
    except (ValueError, TypeError, RecursionError) as error:
        help_text = "a claim or an option is not a finite number or plain JSON; this is a fault of the method or pass"
        raise fail("E605", f"the delta cannot be written: {str(error)[:200]}", help=help_text) from error


def strict_json(text: bytes | str) -> Any:
    """Parse JSON. Raises ValueError for anything malformed, and also for duplicate keys, NaN and Infinity."""
    try:
        with pause_collection():
            return json.loads(text, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@contextmanager
def pause_collection() -> Iterator[None]:
    """Switch the garbage collector off inside the `with` block. For a document of a million lists it would take three
    quarters of the parsing time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def damage_error(reason: str, place: str) -> EditcError:
    """E601: the bytes or the description of a delta are not as editc wrote them."""
    return fail(
        "E601",
        f"the delta is damaged or was changed: {reason}",
        place=place,
        help="do not use it; fetch it again, and compare its sha256 with the publisher's",
    )


def _dump(value: Any) -> str:
    """One pass of canonical JSON; keys that are numbers are sorted as numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object made of these pairs. Raises ValueError where a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(one for one, other in pairwise(names) if one == other)
        raise ValueError(f"the key '{twice[:200]}' is given twice")
    return found


def _refuse_constant(name: str) -> float:
    """Raises ValueError: json calls it for NaN and Infinity."""
    raise ValueError(f"{name} is not JSON")
