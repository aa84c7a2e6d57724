"""The exact minimum over a ball is one: nothing in the ball goes below it, and descent from anywhere comes to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from editc.core.delta import Array
from editc.numerics.ball import Ball, Ellipsoid, join_balls
from editc.numerics.ridge import NonFiniteError
from editc.numerics.trust import NearestProblem, minimise_in_ball, nearest_problem

WIDTH = 20


def ball(rng: np.random.Generator, width: int = WIDTH, centred: bool = True, radius: float | None = None) -> Ball:
    """A LayerNorm's ball with random gains and shifts."""
    gamma = rng.uniform(0.5, 1.5, width) * rng.choice([-1, 1], width)
    return Ball(gamma, 0.3 * rng.normal(size=width), radius or float(np.sqrt(width)), centred, True)


def layernorm(rng: np.random.Generator, of: Ball, count: int, eps: float = 1e-5) -> Array:
    """Rows (n, count) as they leave that LayerNorm."""
    h = rng.normal(size=(len(of.gamma), count)) * rng.lognormal(sigma=3, size=count) + rng.normal()
    u = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + eps)
    return np.asarray(of.gamma[:, None] * u + of.beta[:, None])


def problem(
    seed: int, rank: int = WIDTH, size: float = 1.0, change: float = 1.0, keys: int = 3
) -> tuple[NearestProblem, Array, Ball]:
    """Layers of `rank` rows in all, edited at random by about `change`, and keys that the LayerNorm gives."""
    rng = np.random.default_rng(seed)
    one = ball(rng)
    W = rng.normal(size=(rank, WIDTH))
    after = size * W @ (np.eye(WIDTH) + change * rng.normal(size=(WIDTH, 2)) @ rng.normal(size=(2, WIDTH)) / WIDTH)
    return nearest_problem(join_balls([one]), after.T @ after, after.T @ W, W.T @ W), layernorm(rng, one, keys), one


def descended(near: NearestProblem, key: Array, starts: int, seed: int, steps: int = 3000) -> Array:
    """f at the ends (starts,) of accelerated projected gradient descent over the ball from random starts."""
    ellipsoid, rng = near.ellipsoid, np.random.default_rng(seed)
    H = ellipsoid.frame.T @ near.gram @ ellipsoid.frame
    g = ellipsoid.frame.T @ (near.gram @ ellipsoid.shift - near.cross @ key)[:, None]
    y = rng.normal(size=(H.shape[0], starts))
    y *= ellipsoid.radius * rng.uniform(size=starts) / np.linalg.norm(y, axis=0)
    speed, ahead, t = 1 / np.linalg.norm(H, 2), y, 1.0
    for _ in range(steps):
        new = ahead - speed * (H @ ahead + g)
        new *= np.minimum(1.0, ellipsoid.radius / np.maximum(np.linalg.norm(new, axis=0), ellipsoid.radius))
        later = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead, y, t = new + (t - 1) / later * (new - y), new, later
    return near.objective(ellipsoid.shift[:, None] + ellipsoid.frame @ y, np.repeat(key[:, None], starts, axis=1))


# ---------------------------------------------------------------- the minimum


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_descent_from_a_hundred_starts_beats_it_and_the_best_reaches_it(seed: int, size: float) -> None:
    near, keys, _ = problem(seed, rank=40, size=size)
    found = near.minimise(keys)
    for column in range(keys.shape[1]):
        ends = descended(near, keys[:, column], 100, seed)
        assert ends.min() >= found.values[column] * (1 - 1e-9)
        assert ends.min() <= found.values[column] * (1 + 1e-6)
    if size == 0.3:
        assert not found.inside.any(), "a control: here the ball matters"


@given(st.integers(0, 10**6), st.sampled_from([2, 7, WIDTH, 40]), st.floats(0.05, 5), st.floats(0, 30))
@example(84992, 20, 5.0, 18.0)  # G' is 10^5 times G, so the rounding of G' is more than 1e-9 of the key's own square
def test_optimality_holds_for_any_problem(seed: int, rank: int, size: float, change: float) -> None:
    near, keys, _ = problem(seed, rank, size, change)
    found = near.minimise(keys)
    y = np.linalg.lstsq(near.ellipsoid.frame, found.points - near.ellipsoid.shift[:, None], rcond=None)[0]
    length = np.linalg.norm(y, axis=0)
    assert (length <= near.ellipsoid.radius * (1 + 1e-9)).all()
    assert (found.multipliers >= 0).all()
    assert (found.inside | (np.abs(length - near.ellipsoid.radius) <= 1e-9 * near.ellipsoid.radius)).all()
    assert (found.multipliers[found.inside] == 0).all()
    assert found.residual.max() < 1e-10
    scale = np.einsum("im,im->m", keys, near.base @ keys)
    assert (found.lower <= found.values + 1e-12 * scale).all()
    rounding = near.cutoff * near.ellipsoid.radius**2  # of G': the lower bound leaves room for it
    assert (found.values - found.lower <= 1e-9 * scale + rounding).all(), "the dual value meets the primal one"


@given(st.integers(0, 10**6), st.floats(0.05, 5))
def test_nothing_that_a_layernorm_gives_is_nearer(seed: int, size: float) -> None:
    near, keys, one = problem(seed, size=size)
    rows = layernorm(np.random.default_rng(seed + 1), one, 200)
    assert near.ellipsoid.contains(rows).all()
    for column, least in enumerate(near.minimise(keys).lower):
        assert near.objective(rows, np.repeat(keys[:, [column]], 200, axis=1)).min() >= least
    assert (near.objective(keys, keys) >= near.minimise(keys).lower).all(), "the key itself is such a row"


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_weights_that_do_not_span_the_space(rank: int) -> None:
    """A degenerate Gram: directions that no layer sees have no part in the minimiser, and the value is right."""
    near, keys, _ = problem(3, rank=rank, size=0.2)
    found = near.minimise(keys)
    assert np.isfinite(found.points).all() and near.ellipsoid.contains(found.points).all()
    for column in range(keys.shape[1]):
        best = descended(near, keys[:, column], 20, 0).min()
        assert best == pytest.approx(found.values[column], rel=1e-6, abs=1e-9)
    nothing = nearest_problem(near.ellipsoid, 0 * near.gram, 0 * near.cross, near.base)
    left = nothing.minimise(keys)
    np.testing.assert_allclose(left.values, np.einsum("im,im->m", keys, near.base @ keys), rtol=1e-12)
    assert left.inside.all()


def test_an_unedited_layer_gives_the_key_itself() -> None:
    near, keys, _ = problem(5, rank=40, change=0.0)
    found = near.minimise(keys)
    assert (found.values == 0).all() and (found.lower == 0).all()
    np.testing.assert_allclose(found.points, keys, atol=1e-5)


def test_thousands_of_columns_are_as_many_single_ones() -> None:
    near, keys, _ = problem(6, size=0.5, keys=1100)
    found = near.minimise(keys)
    for column in (0, 511, 512, 1099):
        alone = near.minimise(keys[:, [column]])
        assert found.values[column] == pytest.approx(alone.values[0], rel=1e-12)


def test_what_is_not_finite_is_refused() -> None:
    near, keys, _ = problem(0)
    for broken in (near.gram * np.nan, near.gram * np.inf):
        with pytest.raises(NonFiniteError):
            nearest_problem(near.ellipsoid, broken, near.cross, near.base)
    with pytest.raises(NonFiniteError):
        near.minimise(keys * np.nan)


# ---------------------------------------------------------------- the secular equation


def brute(values: Array, g: Array, radius: float) -> float:
    """The least of many points of a two-dimensional ball."""
    angle, length = np.meshgrid(np.linspace(0, 2 * np.pi, 20_001), radius * np.linspace(0, 1, 41))
    x, y = length * np.cos(angle), length * np.sin(angle)
    return float((values[0] * x**2 + values[1] * y**2 + 2 * g[0] * x + 2 * g[1] * y).min())


@pytest.mark.parametrize("g", [(0.0, 0.7), (0.0, 0.0), (1e-13, 0.7), (1e-5, 0.7), (0.3, 0.7), (-4.0, 1.0)])
@pytest.mark.parametrize("values", [(-1.0, 2.0), (-1.0, -1.0), (0.0, 2.0), (1.0, 2.0), (0.0, 0.0)])
def test_any_curvature_and_the_hard_case(values: tuple[float, float], g: tuple[float, float]) -> None:
    """g without a part along the lowest eigenvector and negative curvature there: the hard case."""
    spectrum, pull = np.array(values), np.array(g)[:, None]
    y, mu, inside = minimise_in_ball(spectrum, pull, 1.5)
    value = float(spectrum @ y[:, 0] ** 2 + 2 * pull[:, 0] @ y[:, 0])
    assert brute(spectrum, pull[:, 0], 1.5) - 1e-3 <= value <= brute(spectrum, pull[:, 0], 1.5) + 1e-12
    assert float(np.linalg.norm(y)) <= 1.5 * (1 + 1e-12)
    assert mu[0] >= max(0.0, -values[0])
    assert inside[0] <= (values[0] >= 0)


# ---------------------------------------------------------------- several encoders


def test_a_layernorms_rows_are_inside_whatever_the_epsilon() -> None:
    rng = np.random.default_rng(0)
    one = ball(rng)
    ellipsoid = join_balls([one])
    assert ellipsoid.exact and ellipsoid.frame.shape == (WIDTH, WIDTH - 1)
    for eps in (1e-12, 1e-5, 1.0, 100.0):
        assert ellipsoid.contains(layernorm(rng, one, 100, eps)).all()
    outside = one.beta[:, None] + 1.01 * (layernorm(rng, one, 100, 1e-12) - one.beta[:, None])
    assert not ellipsoid.contains(outside).any()
    assert not ellipsoid.contains(layernorm(rng, one, 100) + one.gamma[:, None]).any(), "there sum(u) is not 0"


def test_what_is_brought_inside_is_inside_and_what_was_stays() -> None:
    rng = np.random.default_rng(1)
    one = ball(rng)
    ellipsoid, rows = join_balls([one]), layernorm(rng, one, 50)
    np.testing.assert_allclose(ellipsoid.move_inside(rows), rows, atol=1e-12)
    assert ellipsoid.contains(ellipsoid.move_inside(5 * rng.normal(size=(WIDTH, 50)))).all()


def test_axes_along_coordinates_are_given_by_their_lengths() -> None:
    """As the same axes in columns. One that is shorter than rounding is no direction of the set."""
    rng = np.random.default_rng(4)
    lengths = np.array([2.0, 0.5, 1.0, 1e-18])
    short, long = Ellipsoid(np.ones(4), lengths, 1.5, True, True), np.diag(lengths)
    columns = 3 * rng.normal(size=(4, 60))
    np.testing.assert_allclose(short.move_inside(columns), nearest_inside(short, long, columns), rtol=1e-14)
    assert np.array_equal(short.combine(columns), long @ columns)
    assert np.array_equal(short.project(columns), long.T @ columns)
    assert join_balls([Ball(np.ones(8), np.zeros(8), 4.0, centred=False, proven=False)]).frame.shape == (8,)


def nearest_inside(ellipsoid: Ellipsoid, frame: Array, columns: Array) -> Array:
    """`move_inside` by least squares with the axes as columns."""
    y = np.linalg.lstsq(frame, columns - ellipsoid.shift[:, None], rcond=1e-15 * len(frame))[0]
    y *= np.minimum(1.0, ellipsoid.radius / np.linalg.norm(y, axis=0))
    return np.asarray(ellipsoid.shift[:, None] + frame @ y)


@pytest.mark.parametrize("gain", [0.7, -1e-3, 0.0])
@pytest.mark.parametrize("balls", [1, 2, 3])
def test_axes_of_centred_rows_are_applied_without_a_matrix(balls: int, gain: float) -> None:
    """They span just what sums to 0 for each encoder, stretched. A gain of 0 leaves a coordinate where it is."""
    rng = np.random.default_rng(6)
    parts = [ball(rng, 9 + index, centred=index != 1) for index in range(balls)]
    parts[0].gamma[3] = gain
    found, normals = join_balls(parts), np.zeros((sum(len(one.gamma) for one in parts), 0))
    for end, one in zip(np.cumsum([len(one.gamma) for one in parts]), parts, strict=True):
        normal = np.zeros((len(normals), 1))
        normal[end - len(one.gamma) : end] = 1.0
        normals = np.hstack([normals, normal]) if one.centred else normals
    scale = np.concatenate([one.gamma * one.radius for one in parts])[:, None]
    frame = scale * np.linalg.qr(normals, mode="complete")[0][:, normals.shape[1] :]
    assert found.frame.shape == frame.shape
    np.testing.assert_allclose(found.frame @ found.frame.T, frame @ frame.T, atol=1e-12)
    columns, y = 3 * rng.normal(size=(len(frame), 60)), rng.normal(size=(frame.shape[1], 60))
    np.testing.assert_allclose(found.combine(y), found.frame @ y, atol=1e-12)
    np.testing.assert_allclose(found.project(columns), found.frame.T @ columns, atol=1e-12)
    np.testing.assert_allclose(found.move_inside(columns), nearest_inside(found, frame, columns), atol=1e-11)


def test_two_encoders_in_one_ball_are_a_relaxation() -> None:
    rng = np.random.default_rng(2)
    balls = [ball(rng, 12), Ball(np.ones(8), np.zeros(8), 4.0, centred=False, proven=False)]
    ellipsoid = join_balls(balls)
    assert not ellipsoid.exact and not ellipsoid.proven and ellipsoid.frame.shape == (20, 19)
    free = rng.normal(size=(8, 300))
    rows = np.vstack([layernorm(rng, balls[0], 300), 4.0 * free / np.linalg.norm(free, axis=0)])
    assert ellipsoid.contains(rows).all()
    W = rng.normal(size=(30, 20))
    after = 0.3 * W
    near = nearest_problem(ellipsoid, after.T @ after, after.T @ W, W.T @ W)
    assert near.objective(rows, np.repeat(rows[:, :1], 300, axis=1)).min() >= near.minimise(rows[:, :1]).lower[0]
