"""A small delta, when two deltas are the same, and a delta file that somebody else wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_files import KEYS, delta_for, frame, pipeline

from editc.core.delta import Delta
from editc.formats.containers.canonical import DELTA_KEY, canonical_json


@pytest.fixture(scope="module")
def delta(tmp_path_factory: pytest.TempPathFactory) -> Delta:
    return delta_for(pipeline(tmp_path_factory.mktemp("base") / "m"), names=KEYS[:1], rank=1)


def same(one: Delta, two: Delta) -> bool:
    """Equality of deltas; arrays by their bytes."""
    plain = replace(one, factors={}) == replace(two, factors={})
    return plain and _factor_bytes(one) == _factor_bytes(two)


def _factor_bytes(delta: Delta) -> Any:
    return {
        group: (f.form, f.sites, [(p.shape, p.tobytes()) for p in (*f.left, *f.right)])
        for group, f in delta.factors.items()
    }


def f32(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones(shape, np.float32)


def rewritten(data: bytes, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    """The file with its header changed and written by somebody else's JSON, canonical or not."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header["__metadata__"][DELTA_KEY])
    change(header, described)
    header["__metadata__"][DELTA_KEY] = canonical_json(described)
    return frame(canonical_json(header).encode(), data[8 + length :])
