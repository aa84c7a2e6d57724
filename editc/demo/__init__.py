"""`editc:demo`: a small text-to-image model in the layout of Stable Diffusion 1, the world it paints, and a classifier.

docs/explanation/demo-model.md describes it.
"""

from __future__ import annotations

from pathlib import Path

GUIDANCE = 3.0
"""The guidance scale that the model was evaluated with. A larger one sharpens the styles but puts the stamp on too many
posters (docs/explanation/demo-model.md)."""
STEPS = 25
"""The number of DDIM steps that the model was evaluated with."""
MODEL = Path(__file__).parent / "model"
"""The folder of the pipeline, as `StableDiffusionPipeline.from_pretrained` reads it."""
DETECTOR = Path(__file__).parent / "detector"
"""The folder of the classifier."""
