"""Sparse non-negative decomposition: which few columns of a dictionary, and how much of each, make up a signal.

Concept Lancet (Luo et al., CVPR 2025, arXiv 2504.02828) decomposes a prompt's representation over a dictionary of named
concepts by an elastic net, to learn what is in it and how much. Here orthogonal matching pursuit (Pati et al. 1993),
with every refit non-negative (Lawson and Hanson 1974), for an ingredient is there or it is not:

    min over a >= 0, at most `most` of them not zero  |x - D a|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.numerics.ridge import require_finite

Array: TypeAlias = NDArray[np.float64]

GAIN = 0.02
"""The pursuit stops when the best column left takes less than this share of |x|^2 away."""


@dataclass(frozen=True)
class Decomposition:
    """A signal as a few columns of a dictionary: x = sum_k amounts[k] D[:, chosen[k]] + a rest.

    The columns stand in falling order of their shares.
    """

    chosen: tuple[int, ...]
    """The numbers of the columns."""
    amounts: tuple[float, ...]
    """How much of each."""
    shares: tuple[float, ...]
    """amounts[k] <d_k, x> / |x|^2. They sum to 1 - residual^2: the rest of a least-squares fit is orthogonal."""
    residual: float
    """|rest| / |x|."""
    coherence: float
    """The largest |cosine| of a chosen column with any other of the dictionary: near 1, the two say the same, and which
    of them was chosen means nothing."""

    @property
    def recoverable(self) -> bool:
        """True when the coherence is low enough that no other choice of so few columns could have made the signal.

        Tropp's condition (2004, theorem 3.6) for the pursuit to find a signal of so many columns, whatever their
        amounts: count < (1 + 1 / coherence) / 2.
        """
        return len(self.chosen) * 2 * self.coherence < 1 + self.coherence


def decompose(dictionary: Array, signal: Array, most: int = 5, gain: float = GAIN) -> Decomposition:
    """The pursuit, at most `most` columns, until the best of the rest gains less than `gain` of |x|^2.

    dictionary (d, n), its columns of any length (a column of zeros is never chosen); signal (d,). Equal gains go to the
    first column. Raises NonFiniteError. A signal of zeros has no ingredients and residual 0.
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
    from scipy.optimize import nnls

    return np.asarray(nnls(columns, signal)[0])


def _decomposition(
    chosen: list[int], weights: Array, units: Array, lengths: Array, signal: Array, rest: float
) -> Decomposition:
    size = float(np.linalg.norm(signal))
    kept = [
        (int(i), float(w), float(w * (units[:, i] @ signal)) / size**2)
        for i, w in zip(chosen, weights, strict=True)
        if w > 0
    ]
    kept.sort(key=lambda one: (-one[2], one[0]))
    places = [i for i, _, _ in kept]
    return Decomposition(
        tuple(places),
        tuple(w / float(lengths[i]) for i, w, _ in kept),
        tuple(share for _, _, share in kept),
        rest / size if size else 0.0,
        coherence(units, places),
    )


def coherence(units: Array, chosen: list[int]) -> float:
    """The largest |cosine| between a chosen column and any other, columns (d, n) of length 1; 0 where there is none."""
    cosines = np.abs(units[:, chosen].T @ units)
    cosines[np.arange(len(chosen)), chosen] = 0.0
    return float(min(1.0, cosines.max(initial=0.0)))
