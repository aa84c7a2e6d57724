"""Measurements, run by hand: `python -m benchmarks.NAME`. The pico models are the tests' own, in tests/support."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
