"""What is different where the text encoder is trained: its patterns name the last block, whose number a model has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from editc.core.family import LAST_BLOCK, Family


def with_last_block(family: Family, names: Sequence[str]) -> Family:
    """The family with the number of the last block in the patterns of its layers, as these parameter names have it."""
    numbers = [int(found[1]) for name in names if (found := re.search(r"\blayers\.(\d+)\.", name))]
    last = str(max(numbers, default=0))
    layers = {kind: tuple(one.replace(LAST_BLOCK, last) for one in each) for kind, each in family.layers.items()}
    return replace(family, layers=layers)
