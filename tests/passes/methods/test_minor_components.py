"""What must be true of directions that are taken out within weak principal components only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_cases import change

from editc.core.delta import Array
from editc.core.language_problem import Writer
from editc.numerics import directions
from editc.numerics.ridge import SingularError
from editc.passes.methods.language.ablate import Ablate
from editc.passes.methods.language.leace import LEACE

D = 10
few = settings(max_examples=12, deadline=None)


def writer(seed: int) -> Writer:
    """States whose strongest component has ten thousand times the energy of the weakest."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(D, D)))
    scales = np.logspace(2, 0, D)
    absent = rng.normal(size=(60, D)) * scales @ axes.T
    present = (rng.normal(size=(60, D)) + 0.8) * scales @ axes.T
    return Writer(rng.normal(size=(D, 7)), (present,), (absent,))


def strong_and_weak(given_: Writer, share: float) -> tuple[Array, Array]:
    """Orthonormal bases of the strong components and of the weak ones."""
    weak = directions.minor_components(np.vstack([*given_.present, *given_.absent]), share)
    return np.linalg.svd(np.eye(D) - weak @ weak.T)[0][:, : D - weak.shape[1]], weak


@given(st.integers(0, 10_000))
@few
def test_the_strong_components_of_what_is_written_stay(seed: int) -> None:
    given_ = writer(seed)
    strong, weak = strong_and_weak(given_, 0.05)
    assert 0 < weak.shape[1] < D
    for method in (Ablate(minor=0.05), LEACE(minor=0.05)):
        D_ = change(method(given_))
        assert np.abs(strong.T @ D_).max() < 1e-9 * np.abs(given_.weight).max()
        assert np.abs(weak.T @ D_).max() > 1e-3
    whole = change(Ablate()(given_))
    assert np.abs(strong.T @ whole).max() > 1e-3


@given(st.integers(0, 10_000))
@few
def test_after_leace_no_probe_of_the_weak_components_tells_the_sets_apart(seed: int) -> None:
    given_ = writer(seed)
    strong, weak = strong_and_weak(given_, 0.05)
    E = -change(LEACE(minor=0.05)(Writer(np.eye(D), given_.present, given_.absent)))
    means = [(one @ (np.eye(D) - E).T).mean(axis=0) for one in (given_.present[0], given_.absent[0])]
    before = given_.present[0].mean(axis=0) - given_.absent[0].mean(axis=0)
    assert np.abs(weak.T @ (means[0] - means[1])).max() < 1e-8 < np.abs(weak.T @ before).max()
    assert np.abs(strong.T @ (means[0] - means[1])).max() > 1e-3


@pytest.mark.parametrize("method", [Ablate, LEACE])
def test_a_share_of_one_is_the_whole_direction(method: Any) -> None:
    given_ = writer(1)
    assert np.allclose(change(method(minor=1)(given_)), change(method()(given_)), atol=1e-8)


def test_components_are_counted_by_their_energy_and_none_is_singular() -> None:
    """Energies 1, 4, 16: a share of 1/21 is the first alone, 5/21 the first two."""
    outputs = np.vstack([np.diag([1.0, 2.0, 4.0]), -np.diag([1.0, 2.0, 4.0])])
    for share, count in ((1 / 21, 1), (0.2, 1), (5 / 21, 2), (1, 3)):
        assert directions.minor_components(outputs, share).shape == (3, count)
    assert np.allclose(np.abs(directions.minor_components(outputs, 0.2)[:, 0]), [1, 0, 0])
    with pytest.raises(SingularError):
        directions.minor_components(outputs, 0.01)
    with pytest.raises(ValueError, match="at most 1"):
        Ablate(minor=1.5)
