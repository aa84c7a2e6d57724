"""A second picture world, for measuring only: 104 objects, many of a kind, drawn from pictograms.

No default of editc is chosen on it. `python -m benchmarks.second_world` trains its model from nothing, and
docs/measurements/second-world.md says what it is and what was measured on it.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "editc-benchmarks" / "second-world"
"""Where everything of this world lies, outside the repository."""
MODEL = FOLDER / "model"
"""The folder of the pipeline, as `StableDiffusionPipeline.from_pretrained` reads it. It brings no prompts."""
DETECTOR = FOLDER / "detector"
"""The folder of the classifier."""
