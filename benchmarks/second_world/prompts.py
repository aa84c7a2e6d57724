"""The prompts of the second world with which edits are measured."""

from __future__ import annotations

import numpy as np

from benchmarks import world
from benchmarks.second_world.names import OBJECTS, STYLES
from benchmarks.second_world.world import describe_object, scene_of
from editc.demo.captions import Caption


def describe(what: str, rng: np.random.Generator) -> Caption:
    """Return a caption of a random scene of that object, which names the object by any of its names."""
    return describe_object(scene_of(what, rng), rng)


PROMPTS = world.Prompts(OBJECTS, describe, STYLES)
"""The second world, as the measurements of the demo world take it."""
