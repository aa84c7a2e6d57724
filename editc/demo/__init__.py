"""`editc:demo`: a small text-to-image model in the Stable Diffusion 1 layout, its picture world and its classifier."""

from __future__ import annotations

from pathlib import Path

GUIDANCE = 3.0
"""The guidance scale the model was evaluated with; more sharpens the styles but puts the stamp on too many posters."""
STEPS = 25
"""The DDIM steps the model was evaluated with."""
MODEL = Path(__file__).parent / "model"
"""The pipeline folder, as `StableDiffusionPipeline.from_pretrained` reads it."""
DETECTOR = Path(__file__).parent / "detector"
"""The folder of the classifier."""
