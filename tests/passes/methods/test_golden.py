"""The numeric cases of this repository: what the published code computes in float64 is what the methods compute."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import GOLDEN

from tests.golden.cases import run

CASES = sorted(path.parent for path in GOLDEN.glob("*/case.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_case(folder: Path) -> None:
    error, tolerance = run(folder)
    assert error <= tolerance
