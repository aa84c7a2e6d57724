"""The output embedding as the residual stream meets it: behind the norm that stands before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBE_SIZE = 2.0**13
"""Size of the states with which the norm is measured. A power of two, so that means are exact, and so large that the
norm's epsilon does not count."""


def logit_directions(embedding: Any, norm: Callable[[Any], Any]) -> NDArray[np.float32]:
    """Return rows (v, d): the output embedding (v, d) times the norm's gain.

    A norm that subtracts the mean of a state (LayerNorm) takes the mean off the rows as well. The logits of a state x
    (d,) are rows @ x / (rms of x) + a constant for each token.
    """
    import torch

    with torch.inference_mode():
        rows = embedding.float() * norm_gain(norm, embedding.shape[1])
        if subtracts_mean(norm, embedding.shape[1]):
            rows -= rows.mean(1, keepdim=True)
    return np.asarray(rows.numpy())


def norm_gain(norm: Callable[[Any], Any], width: int) -> Any:
    """Measure the factor (d,) by which a norm multiplies each channel.

    Families write it as g or 1 + g, with a bias or without, so it is measured. The probe alternates between 1 and -1,
    so that its mean is 0 and its root mean square 1.
    """
    import torch

    state = PROBE_SIZE * (1.0 - 2.0 * (torch.arange(width) % 2))
    return (norm(state[None]) - norm(-state[None]))[0] / 2 * state.sign()


def subtracts_mean(norm: Callable[[Any], Any], width: int) -> bool:
    """True for a norm that subtracts the mean of a state: it maps a constant state to its bias, whatever the sign."""
    import torch

    state = torch.full((1, width), PROBE_SIZE)
    return bool(torch.equal(norm(state), norm(-state)))
