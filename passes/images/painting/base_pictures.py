"""Pictures of the unedited model, cached between builds: they do not depend on the edit.

The pictures of a batch are one entry, because the last bits of a picture may depend on the others that are painted with
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.ports import Context
from editc.core.storage.caching import load_or_compute

LAYOUT = "base pictures 1"
"""Part of the cache key. Change it whenever `_pack` changes."""
PLACES = np.array([1, 256, 65536], np.uint32)
"""What red, green and blue count in a packed pixel."""


def paint_base(prompts: Sequence[str], seeds: Sequence[int], ctx: Context) -> NDArray[np.uint8]:
    """Paint one picture (h, w, 3) per prompt and seed with the unedited model, or take them from the cache. Return
    (n, h, w, 3). Nothing is cached where the painter has no mark."""
    painter = ctx.painter
    assert painter is not None

    def compute() -> Mapping[str, Array]:
        return {"pixels": _pack(painter.paint(prompts, seeds))}

    texts = [f"{seed} {prompt}" for prompt, seed in zip(prompts, seeds, strict=True)]
    found = load_or_compute(
        texts, LAYOUT, compute, ctx.picture_cache, ctx.painter_mark, "pictures of the unedited model", ["pixels"]
    )
    return _unpack(found["pixels"])


def _pack(pictures: NDArray[np.uint8]) -> Array:
    """Pictures (n, h, w, 3) as one number a pixel, (n, h, w). It is below 2^24, so a cache that stores float32 loses
    nothing."""
    return np.asarray((pictures * PLACES).sum(-1), np.float64)


def _unpack(pixels: Array) -> NDArray[np.uint8]:
    """The pictures (n, h, w, 3) that `_pack` was given."""
    return np.asarray((pixels[..., None].astype(np.uint32) // PLACES) % 256, np.uint8)
