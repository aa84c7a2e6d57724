"""The numeric cases of this repository: what the published code computes in float64 is what the methods compute."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from places import GOLDEN, ROOT

CASES = sorted(path.parent for path in GOLDEN.glob("*/case.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_case(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from tests.golden.cases import run

    error, tolerance = run(folder)
    assert error <= tolerance
