"""A small delta, and when two deltas are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_files import KEYS, delta_for, pipeline

from editc.core.delta import Delta


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
