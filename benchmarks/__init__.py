"""Measurements, run by hand as modules of this package. The pico models are those of the tests, in tests/support."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
