"""The inputs of matrices that a retain set hardly uses: what factors there do moves no retained answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.passes.language.schemes.answers import Batch
from editc.passes.language.schemes.model import Trainable
from editc.passes.language.schemes.subject import Row

ZERO = 1e-9
"""A direction is not used where it has at most this share of the largest energy. Chosen by hand: the tokens are
float32, so smaller shares are rounding."""
ROWS = 16
"""Rows in one run. Chosen by hand."""


def find_free(
    network: Trainable, sites: Sequence[Site], rows: Sequence[Row], energy: float, manifest: Manifest
) -> Mapping[str, Array]:
    """Site name -> projector (d_in, d_in) onto the directions of the matrix's input with the smallest energy over the
    tokens of the rows, which together hold at most the share `energy` of it.

    Each token counts alike: its vector has length 1, so that the attention sink does not outweigh all others. Where
    `energy` is 0 and no retained token has a part in these directions, no retained state moves, whatever is trained:
    the first trained layer answers as before, so the next one reads what it read. Raises E410 where no direction of
    some matrix is left.
    """
    found = {name: _free_directions(moment, energy) for name, moment in _moments(network, sites, rows).items()}
    for name, basis in found.items():
        if not basis.shape[1]:
            edit = manifest.on_rows[0]
            message = f"the retain set uses every direction that `{name}` reads"
            help_ = "raise `energy`, name fewer rows to retain, or leave `free` out"
            raise EditcError(Diagnostic("E410", message, edit.at("free"), manifest.source, help=help_))
    return {name: basis @ basis.T for name, basis in found.items()}


def _free_directions(moment: Array, energy: float) -> Array:
    """(d_in, f): the eigenvectors of a moment whose eigenvalues together are at most that share of its trace."""
    values, vectors = np.linalg.eigh(moment)
    values = np.clip(values, 0.0, None)
    held = np.cumsum(values) / max(values.sum(), 1e-300)
    return np.asarray(vectors[:, (held <= energy) | (values <= ZERO * values[-1])])


def _moments(network: Trainable, sites: Sequence[Site], rows: Sequence[Row]) -> dict[str, Array]:
    """Site name -> (d_in, d_in): the second moment of the directions of what the matrix reads over the rows."""
    import torch

    found = {site.name: np.zeros((site.shape[1], site.shape[1])) for site in sites}
    mask: list[Any] = []

    def add(name: str, module: Any, given: Any) -> None:
        states = given[0].reshape(-1, given[0].shape[-1])[mask[0]].cpu().double()
        states = states / states.norm(dim=1, keepdim=True).clamp(min=1e-300)
        found[name] += (states.T @ states).numpy()

    with ExitStack() as stack, torch.no_grad():
        for site in sites:
            handle = network.layer(site.name).register_forward_pre_hook(partial(add, site.name))
            stack.callback(handle.remove)
        for start in range(0, len(rows), ROWS):
            batch = Batch.of([one.own for one in rows[start : start + ROWS]])
            mask[:] = [batch.mask.reshape(-1) > 0]
            network.run_tokens(batch.ids, batch.mask)
    return found
