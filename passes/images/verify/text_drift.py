"""How far an edited text encoder moves what must stay: the drift of preserved prompts, as keys and values see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from editc.core.delta import Array
from editc.core.family import TEXT_ENCODER
from editc.core.measurements import Claim
from editc.core.ports import Context, Diffusion
from editc.core.solution import Solution
from editc.numerics import drift
from editc.passes.images.verify.bystanders import pick_evenly

PROMPTS = 256
"""Preserved prompts that are encoded twice, at most, evenly picked. Chosen by hand: enough for a root mean square."""
SUBJECT = "keys and values"
"""The subject of the claims: all matrices of the denoiser that read the rows, together."""


def claims(solution: Solution, ctx: Context, changed: Mapping[str, Array]) -> Iterator[Claim]:
    """Yield `preserve_drift` and `unconditional_drift` of an edited text encoder; nothing for other edits.

    sqrt(sum |W (e' - e)|^2 / sum |W e|^2) over the rows e of the prompts and the matrices W that read them.
    """
    plan, model = solution.problem.plan, ctx.diffusion
    if plan.family.component != TEXT_ENCODER or model is None:
        return
    preserved = max((one.preserved.prompts for one in solution.problem.systems.values()), key=len)
    asked = {"preserve_drift": pick_evenly(preserved, PROMPTS), "unconditional_drift": [plan.family.neutral]}
    for name, prompts in asked.items():
        if prompts:
            value = measure_drift(model, prompts, changed)
            bound = getattr(plan.manifest.constraints, name)
            yield Claim(name, value, bound, SUBJECT, plan.manifest.constraints.at(name))


def measure_drift(model: Diffusion, prompts: Sequence[str], changed: Mapping[str, Array]) -> float:
    """The drift of some prompts under the edited weights `changed`."""
    gram = model.text_grams()[2]
    before = _rows(model, prompts)
    with model.use_weights(changed):
        after = _rows(model, prompts)
    return drift.ratio(_size(after - before, gram), _size(before, gram))


def _rows(model: Diffusion, prompts: Sequence[str]) -> Array:
    """(n, d): every row of every prompt, in float64."""
    found: list[Any] = [model.rows([one]).flatten(0, 1).cpu().double().numpy() for one in prompts]
    return np.concatenate(found)


def _size(rows: Array, gram: Array) -> float:
    """sqrt(sum |W e|^2) over rows (n, d), from sum W^T W (d, d)."""
    return float(np.sqrt(max(0.0, np.einsum("nd,de,ne->", rows, gram, rows, optimize=True))))
