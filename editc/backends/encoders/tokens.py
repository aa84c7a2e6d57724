"""The tokens of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """Some prompts as a tokenizer cuts them, padded to one length t."""

    ids: NDArray[np.int64]
    """(n, t): the numbers of the tokens."""
    seen: NDArray[np.bool_]
    """(n, t): False for padding."""
    spans: Sequence[Sequence[tuple[int, int]]]
    """For each prompt and token: where it begins and ends in the prompt; an empty span for a special token."""
