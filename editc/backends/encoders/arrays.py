"""What the text models in numpy read and make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
"""Rows and parameters."""
Ids: TypeAlias = NDArray[np.int64]
"""(n, t): the numbers of tokens."""
Seen: TypeAlias = NDArray[np.bool_]
"""(n, t): False for padding."""
Shape: TypeAlias = tuple[int, ...]
"""The shape of a parameter."""
Read: TypeAlias = Callable[[str], NDArray[np.floating]]
"""Reads a parameter by the network's name for it, in its shape and in any float type."""
