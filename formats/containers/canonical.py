"""JSON as editc writes it, the same bytes for the same values, and as it reads it, strictly."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from editc.core.diagnostics import EditcError, fail

DELTA_KEY = "editc"
"""The key of a file's metadata under which editc describes the delta in it. It is the one key of editc's own files: a
header with several has another order in every process of the safetensors library."""


def canonical_json(value: Any) -> str:
    """Canonical JSON: keys sorted, no spaces, ASCII. Raises E605 for NaN, Infinity and values that JSON lacks.

    Written, read and written again, because keys that are numbers sort otherwise once they are texts.
    """
    try:
        return _dump(json.loads(_dump(value)))
    except (ValueError, TypeError, RecursionError) as error:
        help_text = "a claim or an option is not a finite number or plain JSON; this is a fault of the method or pass"
        raise fail("E605", f"the delta cannot be written: {str(error)[:200]}", help=help_text) from error


def strict_json(text: bytes | str) -> Any:
    """JSON without duplicate keys, NaN and Infinity. Raises ValueError for everything else that is wrong too."""
    try:
        with pause_collection():
            return json.loads(text, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@contextmanager
def pause_collection() -> Iterator[None]:
    """The garbage collector rests: it would take three quarters of the time of a document of a million lists."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def damage_error(reason: str, place: str) -> EditcError:
    """E601, for a delta whose bytes or description are not as they were written."""
    return fail(
        "E601",
        f"the delta is damaged or was changed: {reason}",
        place=place,
        help="do not use it; fetch it again, and compare its sha256 with the publisher's",
    )


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(one for one, other in pairwise(names) if one == other)
        raise ValueError(f"the key '{twice[:200]}' stands twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
