"""The output embedding as the residual stream meets it: through the norm before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBE_SIZE = 2.0**13
"""Of the states that the norm is asked with: its epsilon does not count, and means are exact."""


def logit_directions(embedding: Any, norm: Callable[[Any], Any]) -> NDArray[np.float32]:
    """Rows (v, d) e_t g of an output embedding, g the gain of the norm; where the norm takes the mean off a state first
    (LayerNorm), the rows lose theirs. logits = readers @ x / (rms of x) + a constant for each token."""
    import torch

    with torch.inference_mode():
        rows = embedding.float() * norm_gain(norm, embedding.shape[1])
        if subtracts_mean(norm, embedding.shape[1]):
            rows -= rows.mean(1, keepdim=True)
    return np.asarray(rows.numpy())


def norm_gain(norm: Callable[[Any], Any], width: int) -> Any:
    """What a norm multiplies each channel by, (d,): asked, since families write it as g, as 1 + g, with a bias or
    without. The state asked with is 1 and -1 in turn, so that its mean is 0 and its root mean square 1."""
    import torch

    state = PROBE_SIZE * (1.0 - 2.0 * (torch.arange(width) % 2))
    return (norm(state[None]) - norm(-state[None]))[0] / 2 * state.sign()


def subtracts_mean(norm: Callable[[Any], Any], width: int) -> bool:
    """True for a norm to which a state that is the same in all channels is none."""
    import torch

    state = torch.full((1, width), PROBE_SIZE)
    return bool(torch.equal(norm(state), norm(-state)))
