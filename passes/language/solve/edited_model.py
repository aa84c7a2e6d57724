"""A language model with the edits that are solved so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.delta import Array, Site
from editc.core.network import Network
from editc.core.ports import Weights
from editc.core.solution import Edit, Training
from editc.passes.stored import as_in_file, read_weight, stored_weight


@dataclass
class EditedModel:
    """The edits that are solved so far, and the model as they leave it."""

    weights: Weights
    """The weights of the base."""
    network: Network
    """The model that is run."""
    edits: dict[str, list[Edit]]
    """Site name -> its edits, in the order of the stages."""
    weights_now: dict[str, Array]
    """Site name -> the edited weight as it will be stored, float64, in the file's orientation."""
    training: Training | None = None
    """How the factors of a stage were trained. None where no stage was."""

    def add(self, site: Site, edit: Edit) -> None:
        """Add one more edit of a site."""
        self.edits.setdefault(site.name, []).append(edit)
        W = read_weight(self.weights, site)
        self.weights_now[site.name] = as_in_file(site, stored_weight(W, combine_edits(self.edits[site.name]), 0, site))

    def current_weight(self, site: Site) -> Array:
        """The weight W (d_out, d_in) of a site with its edits so far."""
        found = self.weights_now.get(site.name)
        return read_weight(self.weights, site) if found is None else found.T if site.transposed else found


def combine_edits(edits: Sequence[Edit]) -> Edit:
    """Join the edits of one matrix into one: their factors side by side, or a dense edit if one of them is dense."""
    if len(edits) == 1:
        return edits[0]
    worst = max(edits, key=lambda one: one.stats.condition).stats
    if any(one.form == "dense" for one in edits):
        total = np.sum([dense_change(one) for one in edits], axis=0)
        return Edit("dense", (total,), (), replace(worst, rank=min(total.shape)))
    left, right = np.hstack([one.left[0] for one in edits]), np.vstack([one.right[0] for one in edits])
    return Edit("low-rank", (left,), (right,), replace(worst, rank=len(right)))


def dense_change(edit: Edit) -> Array:
    """The change W' - W (d_out, d_in) of an edit of one matrix."""
    return edit.left[0] if edit.form == "dense" else edit.left[0] @ edit.right[0]
