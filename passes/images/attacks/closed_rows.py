"""Rows found in closed form from the keys and values of cross-attention: what `rece` and `certificate` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from editc.core.delta import Array
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import report_shares
from editc.passes.images.diffusion.sampling import paint

Find: TypeAlias = Callable[[Array, Array, Array, Array], Array]
"""Rows (d, m) for the keys C (d, m), from sum W'^T W', sum W'^T W and sum W^T W (d, d) each."""
SENTENCES = 8
"""Sentences whose share s is reported, at most."""


def paint_closed_rows(case: Case, find: Find) -> Outcome:
    """Paint the concept's sentences with every row behind BOS replaced by what `find` makes of it."""
    import torch

    sums = case.model.text_grams()
    rows = case.model.rows(case.prompts)
    for one in rows:
        keys = one[1:].double().numpy().T
        one[1:] = torch.from_numpy(np.ascontiguousarray(find(keys, *sums).T)).float()
    pictures = paint(case.model, rows, case.seeds, case.steps, case.guidance)
    return Outcome(pictures, report_shares(case, rows[:SENTENCES], torch.Generator().manual_seed(case.seed)))
