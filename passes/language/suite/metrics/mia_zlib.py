"""`mia_zlib`: the membership attack by the loss per byte of the compressed answer (Carlini et al., 2021)."""

from __future__ import annotations

import zlib

from editc.passes.language.suite.metrics.membership import attack
from editc.passes.language.suite.readings import Metric, Reading


def loss_per_byte(one: Reading) -> float:
    """The mean loss, divided by the bytes that zlib makes of the answer."""
    assert one.answer is not None
    return one.answer.loss / len(zlib.compress(one.item.answer.encode()))


METRIC = Metric("membership by zlib, as AUC: as the oracle's is best", attack("mia_zlib", loss_per_byte))
"""The metric `mia_zlib`."""
