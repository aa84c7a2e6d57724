"""What a head answers before and after a class is taken out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Claim
from editc.passes.heads.methods import Examples, Head, Mask

ROUNDING = 1e-5
"""Directions of the logits whose spread is at most this share of the largest are rounding of float32, and no probe
reads them. Chosen by hand."""


def measure_head(
    before: Head, after: Head, examples: Examples, gone: Sequence[int], bounds: Mapping[str, float]
) -> Iterator[Claim]:
    """The claims about examples.

    `answered_before`, `answered`: the share of the examples of the erased classes that are answered with one of these.
    `others_same`: the share of the other examples whose answer is what it was, of those that were not answered with an
    erased class. `others_right_before`, `others_right`: the share of the labelled others that are answered rightly.
    `told_apart_before`, `told_apart`: the share of the variance of "is of the class" that a linear probe of the logits
    explains on these examples, the largest over the classes; 0 where the logits do not tell.
    """
    own = examples.of(gone)
    logits = before.logits(examples.features), after.logits(examples.features)
    said = [one.argmax(axis=1) for one in logits]
    if own.any():
        yield _share("answered_before", np.isin(said[0][own], gone))
        yield _share("answered", np.isin(said[1][own], gone), bounds.get("answered"))
    settled = ~own & ~np.isin(said[0], gone)
    if settled.any():
        yield _share("others_same", said[0][settled] == said[1][settled], bounds.get("others_same"), least=True)
    labelled = ~own & (examples.labels >= 0)
    for name, answers in zip(("others_right_before", "others_right"), said, strict=True):
        if labelled.any():
            yield _share(name, answers[labelled] == examples.labels[labelled])
    if own.any() and not own.all():
        for name, one in zip(("told_apart_before", "told_apart"), logits, strict=True):
            yield Claim(name, max(explained(one, examples.of([c])) for c in gone), unit="share")


def _share(name: str, holds: Mask, bound: float | None = None, least: bool = False) -> Claim:
    """A share of examples."""
    return Claim(name, float(np.mean(holds)), bound, unit="share", least=least, of=len(holds))


def explained(logits: Array, of_class: Mask) -> float:
    """The share of the variance of a label that the best affine function of the logits explains, on these examples."""
    wanted = of_class - of_class.mean()
    if not wanted.any():
        return 0.0
    centred = logits - logits.mean(axis=0)
    found = np.linalg.lstsq(centred, wanted, rcond=ROUNDING)[0]
    rest = wanted - centred @ found
    return float(max(0.0, 1.0 - (rest @ rest) / (wanted @ wanted)))
