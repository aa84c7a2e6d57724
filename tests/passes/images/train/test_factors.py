"""Factors beside a layer: what they do to its answer, and what a delta stores of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import train_cases
from train_cases import ask, stir

from editc.core.delta import Array, Site
from editc.core.ports import Diffusion
from editc.numerics.bits.dtypes import are_halves
from editc.passes.images.schemes.feeds.trajectories import Trajectories
from editc.passes.training.factors import Factors, attach_factors

model, sites, factors = train_cases.model, train_cases.sites, train_cases.factors


def _matrix(weight: Any) -> Array:
    """A weight in float64, a kernel as the matrix that a site is."""
    return np.asarray(weight.detach().double().numpy()).reshape(len(weight), -1)


def test_factors_are_what_a_delta_makes_of_the_weights(
    model: Diffusion, sites: tuple[Site, ...], factors: Factors
) -> None:
    """W + up down as a weight answers as W with the factors beside it."""
    stir(factors)
    one = ask(model, factors, Trajectories("concept", 2))
    with_factors = one.edited().detach()
    weights = dict(model.network.named_parameters())
    changed: dict[str, Array] = {
        site.name: _matrix(weights[site.name]) + factors.left(site.name) @ factors.right(site.name) for site in sites
    }
    with model.use_weights(changed):
        written = one.frozen_for(one.pool.told("own", one.index))
    torch.testing.assert_close(with_factors, written, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(with_factors, one.frozen())


def test_a_start_is_part_of_the_edited_model_and_not_of_the_unedited_one(
    model: Diffusion, sites: tuple[Site, ...]
) -> None:
    rng = np.random.default_rng(0)
    start = {site.name: (rng.normal(size=(site.shape[0], 1)), rng.normal(size=(1, site.shape[1]))) for site in sites}
    with attach_factors(model, (), 1, 1, start) as found:
        one = ask(model, found, Trajectories("concept", 2))
        assert not torch.allclose(one.edited(), one.frozen())
        with found.switched(False):
            torch.testing.assert_close(
                one.frozen(),
                model.answer(one.pool.latents[one.index], one.pool.times[one.index], one.pool.told("own", one.index)),
            )


def test_free_factors_move_nothing_that_is_preserved(model: Diffusion, sites: tuple[Site, ...]) -> None:
    """However they are trained, the right factor with the projector in it is 0 on every preserved row."""
    rng = np.random.default_rng(1)
    free: dict[str, Array] = {}
    kept = {site.name: rng.normal(size=(site.shape[1], 5)) for site in sites}
    for name, rows in kept.items():
        q, _ = np.linalg.qr(rows)
        free[name] = np.eye(len(rows)) - q @ q.T
    with attach_factors(model, sites, 2, 1, free=free) as found:
        stir(found)
        for name, rows in kept.items():
            assert np.abs(found.right(name) @ rows).max() < 1e-5
            assert np.abs(found.rounded(name)[1] @ rows).max() < 1e-5  # as a delta stores it


def test_factors_are_stored_in_half_precision_and_stay_what_they_are_however_small(
    sites: tuple[Site, ...], factors: Factors
) -> None:
    """Half precision has 11 bits, so a product is off by at most 2^-10 of its own size where no number is too small."""
    stir(factors)
    name = sites[0].name
    down, up = factors.pairs[name]
    with torch.no_grad():
        up *= 1e-9  # far below what half precision holds, beside a large right factor
        down *= 1e5
        up[:, 1] = 0
    left, right = factors.rounded(name)
    assert are_halves(left.astype(np.float32)) and are_halves(right.astype(np.float32))
    one, two = factors.left(name), factors.right(name)
    np.testing.assert_allclose(np.outer(left[:, 0], right[0]), np.outer(one[:, 0], two[0]), rtol=2**-10, atol=1e-8)
    assert left[:, 1].any() == 0 and right[1].any()
