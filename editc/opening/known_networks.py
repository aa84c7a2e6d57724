"""Recognises published networks by their settings and the names and shapes of their tensors, without diffusers.

`known_networks.json` lists them: the settings that shape each, and a digest of each header that diffusers reads into
it. `python -m benchmarks.known_networks --write` makes the list with diffusers, and a test compares the two. A network
that is not listed is made by diffusers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from editc.formats.models.model import Checkpoint

LIST = Path(__file__).with_name("known_networks.json")
"""Class of diffusers -> its settings (`defaults`), those that shape no tensor (`free`), and its `networks`."""
BOOKKEEPING = frozenset({"_class_name", "_diffusers_version", "_name_or_path"})
"""Entries of config.json that are no settings of a network."""


def is_known(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> bool:
    """True where the settings of a config.json are those of a listed network, and the header is one of its own."""
    kind = _read().get(str(settings.get("_class_name")))
    if kind is None:
        return False
    shaping = shaping_settings(settings, kind["defaults"], kind["free"])
    headers = [one["headers"] for one in kind["networks"] if _text(one["settings"]) == _text(shaping)]
    return any(digest({name: checkpoint.shape(name) for name in checkpoint.names()}) in one for one in headers)


def shaping_settings(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], free: list[str]
) -> Mapping[str, Any] | None:
    """The settings that shape tensors and differ from the defaults. None where one is unknown to the class, or where a
    free one has a value of another type, which diffusers might refuse."""
    given = {name: value for name, value in settings.items() if name not in BOOKKEEPING}
    for name, value in given.items():
        if name not in defaults or (name in free and not _harmless(value, defaults[name])):
            return None
    return {name: value for name, value in given.items() if name not in free and _text(value) != _text(defaults[name])}


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """sha256 of the names of a network's tensors with their shapes."""
    return sha256(_text([[name, list(shapes[name])] for name in sorted(shapes)]).encode()).hexdigest()


def _harmless(value: Any, default: Any) -> bool:
    """True for the default, for a number, and for null in place of a boolean."""
    number = isinstance(value, int | float) and isfinite(value)
    return number or value == default or (value is None and isinstance(default, bool))


def _text(value: Any) -> str:
    """A value as JSON. Unlike Python's, this comparison tells 1 from True."""
    return json.dumps(value, sort_keys=True)


@cache
def _read() -> Mapping[str, Any]:
    """The list."""
    found: Mapping[str, Any] = json.loads(LIST.read_text(encoding="utf-8"))
    return found
