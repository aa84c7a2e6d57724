"""Decompose a signal into a few columns of a dictionary, each with a non-negative amount.

Concept Lancet (Luo et al., CVPR 2025, arXiv 2504.02828) decomposes a prompt's representation over a dictionary of named
concepts by an elastic net, to learn which concepts are in it and how much of each. This module takes orthogonal
matching pursuit instead (Pati et al. 1993), and fits the amounts by non-negative least squares (Lawson and Hanson
1974), because a concept cannot be present in a negative amount:

    min over a >= 0, at most `most` of them not zero  |x - D a|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import require_finite

Array: TypeAlias = NDArray[np.float64]

LEAST_GAIN = 0.02
"""The pursuit stops when the best remaining column removes less than this share of |x|^2. Chosen by hand."""


@dataclass(frozen=True)
class Decomposition:
    """A signal as a sum of a few columns of a dictionary: x = sum_k amounts[k] D[:, chosen[k]] + rest.

    The columns are in falling order of their shares.
    """

    chosen: tuple[int, ...]
    """The indices of the chosen columns; empty for a signal of zeros."""
    amounts: tuple[float, ...]
    """How much of each chosen column the sum takes; above 0."""
    shares: tuple[float, ...]
    """The share of |x|^2 that each chosen column explains: amounts[k] <d_k, x> / |x|^2. They sum to 1 - residual^2,
    because the rest of a least-squares fit is orthogonal to the columns."""
    residual: float
    """|rest| / |x|; 0 for a signal of zeros."""
    coherence: float
    """The largest |cosine| between a chosen column and any other column of the dictionary. Near 1 the two columns are
    nearly the same, and which of them was chosen means nothing."""

    @property
    def unique(self) -> bool:
        """True if the coherence is so low that no other choice of as few columns gives the same signal.

        This is Tropp's condition (2004, theorem 3.6): count < (1 + 1 / coherence) / 2. The pursuit then finds the
        columns, whatever their amounts are.
        """
        return len(self.chosen) * 2 * self.coherence < 1 + self.coherence


def decompose(dictionary: Array, signal: Array, most: int = 5, gain: float = LEAST_GAIN) -> Decomposition:
    """Decompose `signal` (d,) into at most `most` columns of `dictionary` (d, n).

    The pursuit stops when the best remaining column removes less than `gain` of |x|^2. Columns may have any length, and
    a column of zeros is never chosen. Of equally good columns the first is taken. Raises NonFiniteError if an entry is
    NaN or infinite.
    """
    require_finite("the dictionary or the signal", dictionary, signal)
    lengths, size = np.linalg.norm(dictionary, axis=0), float(np.linalg.norm(signal))
    units = np.divide(dictionary, lengths, out=np.zeros_like(dictionary), where=lengths > 0)
    chosen: list[int] = []
    weights, rest = np.zeros(0), signal
    while size > 0 and len(chosen) < min(most, units.shape[1]):
        pull = units.T @ rest
        pull[chosen] = -np.inf
        best = int(np.argmax(pull))
        if pull[best] <= 0:
            break
        trial = _fit(units[:, [*chosen, best]], signal)
        left = signal - units[:, [*chosen, best]] @ trial
        if float(rest @ rest - left @ left) < gain * size**2:
            break
        chosen, weights, rest = [*chosen, best], trial, left
    return _decomposition(chosen, weights, units, lengths, signal, float(np.linalg.norm(rest)))


def _fit(columns: Array, signal: Array) -> Array:
    """Return the amounts a >= 0 (k,) that minimise |signal - columns a|, for columns (d, k)."""
    from scipy.optimize import nnls

    return np.asarray(nnls(columns, signal)[0])


def _decomposition(
    chosen: list[int], weights: Array, units: Array, lengths: Array, signal: Array, rest: float
) -> Decomposition:
    """Build the result from `weights`, amounts of columns of length 1, and the `lengths` of the original columns."""
    size = float(np.linalg.norm(signal))
    used = [
        (int(i), float(w), float(w * (units[:, i] @ signal)) / size**2)
        for i, w in zip(chosen, weights, strict=True)
        if w > 0
    ]
    used.sort(key=lambda one: (-one[2], one[0]))
    places = [i for i, _, _ in used]
    return Decomposition(
        tuple(places),
        tuple(w / float(lengths[i]) for i, w, _ in used),
        tuple(share for _, _, share in used),
        rest / size if size else 0.0,
        coherence(units, places),
    )


def coherence(units: Array, chosen: list[int]) -> float:
    """Return the largest |cosine| between a chosen and any other column of `units` (d, n), columns of length 1.

    0 if no column is chosen or there is no other.
    """
    cosines = np.abs(units[:, chosen].T @ units)
    cosines[np.arange(len(chosen)), chosen] = 0.0
    return float(min(1.0, cosines.max(initial=0.0)))
