"""Sketches: a distance within its stated error, the same digits everywhere, and fine-tunes told from strangers."""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from tiny_files import KEYS, delta_for, noise, pipeline, refused, sealed, tree

from editc.core.delta import Site
from editc.core.site_bytes import site_record
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.apply.finetune import FARTHEST
from editc.formats.inspect import describe_plan
from editc.numerics.bits.sketch import (
    BLOCK_ENTRIES,
    SUMS,
    TEXT_LENGTH,
    distance,
    joint_distance,
    norm,
    sketch,
)


def change(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A change of W of Frobenius norm 1: everywhere, of rank 4, in one column, in one row."""
    D = rng.normal(size=shape)
    if kind == "rank 4":
        D = rng.normal(size=(shape[0], 4)) @ rng.normal(size=(4, shape[1]))
    if kind == "column":
        D = np.zeros(shape)
        D[:, rng.integers(shape[1])] = rng.normal(size=shape[0])
    if kind == "row":
        D = np.zeros(shape)
        D[rng.integers(shape[0])] = rng.normal(size=shape[1])
    return D / np.linalg.norm(D)


@pytest.mark.parametrize("kind", ["dense", "rank 4", "column", "row"])
def test_the_estimate_is_unbiased_with_the_stated_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    W = rng.normal(size=(40, 64))
    text, size, n = sketch(W), np.linalg.norm(W), 400
    found = np.array([(distance(text, W + 3.0 * change(kind, rng, W.shape)) * size / 3.0) ** 2 for _ in range(n)])
    spread = math.sqrt(2 / SUMS)
    assert abs(found.mean() - 1) < 4 * spread / math.sqrt(n)
    assert found.std() < 1.2 * spread


def test_many_sites_together_are_more_certain() -> None:
    rng = np.random.default_rng(2)
    bases = [rng.normal(size=(30, 50)) for _ in range(32)]
    parts = []
    for W in bases:
        moved = W + 0.02 * np.linalg.norm(W) * change("dense", rng, W.shape)
        parts.append((distance(sketch(W), moved), norm(sketch(W))))
    assert joint_distance(parts) == pytest.approx(0.02, rel=4 * 0.125 / math.sqrt(32))
    assert joint_distance([]) == 0.0


def test_the_same_weight_is_at_no_distance_and_a_stranger_at_141_percent() -> None:
    rng = np.random.default_rng(3)
    W = rng.normal(size=(100, 90))
    assert distance(sketch(W), W) < 1e-7
    assert norm(sketch(W)) == pytest.approx(np.linalg.norm(W), rel=1e-7)
    assert distance(sketch(W), rng.normal(size=W.shape)) == pytest.approx(math.sqrt(2), rel=0.5)
    assert distance(sketch(W), 1e-6 * rng.normal(size=W.shape)) == pytest.approx(1.0, rel=0.5)


def test_the_definition_in_plain_python() -> None:
    """FORMAT.md's words, entry by entry, over a matrix of more than one block."""
    W = noise(4, (257, 259))
    assert W.size > BLOCK_ENTRIES
    sums, square = [0.0] * SUMS, 0.0
    for block in range(2):
        stream = hashlib.shake_128(f"editc-sketch-1/{block}".encode()).digest(BLOCK_ENTRIES)
        plus, minus, part = [0.0] * SUMS, [0.0] * SUMS, 0.0
        for byte, value in zip(
            stream, W.ravel()[block * BLOCK_ENTRIES : (block + 1) * BLOCK_ENTRIES].tolist(), strict=False
        ):
            side = minus if byte & 1 else plus
            side[byte >> 1 & 31] += value
            part += value * value
        sums = [s + (p - m) for s, p, m in zip(sums, plus, minus, strict=True)]
        square += part
    wanted = np.array([math.sqrt(square), *sums], "<f4")
    assert sketch(W) == b64encode(wanted.tobytes()).decode() and len(sketch(W)) == TEXT_LENGTH


def test_the_digits_never_change() -> None:
    digest = hashlib.sha256(sketch(noise(5, (300, 300))).encode()).hexdigest()
    assert digest == "30c85940797d94fe4f72cd57b4c7a400d194fde01603dd63c269b12fcc600b2d"


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_weights_without_a_measure_are_infinitely_far(value: float) -> None:
    W = noise(6, (4, 5))
    bad = W.copy()
    bad[1, 2] = value
    assert not distance(sketch(W), bad) <= FARTHEST
    assert distance(sketch(bad), W) == math.inf
    assert distance(sketch(0 * W), W) == math.inf


def test_a_transposed_site_has_the_sketch_of_the_upright_one() -> None:
    W = noise(7, (4, 6))
    site = Site("unet", "w", (4, 6), "F32", "k")
    flat = Site("unet", "w", (4, 6), "F32", "k", transposed=True)
    from tiny_files import factors_for

    factors = factors_for("shared", [site])
    assert site_record(site, W, factors, 0).sketch == site_record(flat, W.T.copy(), factors, 0).sketch == sketch(W)


@pytest.mark.parametrize("drift", [0.001, 0.05, 0.2])
def test_a_plan_says_how_far_a_fine_tune_is(tmp_path: Path, drift: float) -> None:
    base, tuned = pipeline(tmp_path / "base"), pipeline(tmp_path / "tuned", drift=drift)
    delta = delta_for(base)
    a, b = base.component("unet"), tuned.component("unet")
    moved = sum(float(np.sum((a.read(n) - b.read(n)) ** 2)) for n in KEYS)
    true = math.sqrt(moved / sum(float(np.sum(a.read(n) ** 2)) for n in KEYS))
    plan = plan_apply([delta], tuned, allow_finetune=True)
    assert plan.tier == "relative" and plan.distance == pytest.approx(true, rel=0.5)
    told = describe_plan(plan)
    assert told["distance"] == pytest.approx(plan.distance, rel=1e-2)
    assert [row["distance"] > 0 for row in told["tensors"]] == [True] * len(KEYS)
    assert json.loads(json.dumps(told)) == told
    assert any(f"{float(f'{100 * plan.distance:.2g}'):g} %" in note for note in plan.notes)
    assert plan_apply([delta], base).distance == 0.0


def test_other_weights_are_no_fine_tune(tmp_path: Path) -> None:
    delta = delta_for(pipeline(tmp_path / "base"))
    stranger = pipeline(tmp_path / "other", seed=50)
    before = tree(tmp_path)
    with refused("E622") as error:
        plan_apply([delta], stranger)
    assert "--allow-finetune" not in error.diagnostics[0].help, "it is not offered where it would be refused"
    with refused("E695") as error:
        plan_apply([delta], stranger, allow_finetune=True)
    assert "together" in error.diagnostics[0].notes[0]
    assert tree(tmp_path) == before


def test_one_strange_tensor_among_many_is_refused(tmp_path: Path) -> None:
    from tiny_files import pack, random_tensor, unet, write_pipeline

    from editc.formats.models.model import open_model

    delta = delta_for(pipeline(tmp_path / "base"))
    root = write_pipeline(tmp_path / "m", drift=0.01)
    parts = unet(drift=0.01) | {KEYS[0]: random_tensor(77, "F32", (4, 6))}
    (root / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pack(parts))
    with refused("E695") as error:
        plan_apply([delta], open_model(root), allow_finetune=True)
    assert error.diagnostics[0].message.startswith("1 of 4")


def test_what_is_applied_already_does_not_count(tmp_path: Path) -> None:
    delta = delta_for(pipeline(tmp_path / "base"), size=1.0)
    apply(plan_apply([delta], pipeline(tmp_path / "m")), in_place=True)
    from editc.formats.models.model import open_model

    plan = plan_apply([delta], open_model(tmp_path / "m"), allow_finetune=True)
    assert plan.status == "already" and plan.distance == 0.0


@pytest.mark.parametrize("text", ["", "00", "-" * TEXT_LENGTH, "A" * (TEXT_LENGTH + 1)])
def test_a_sketch_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    from dataclasses import replace

    delta = delta_for(pipeline(tmp_path / "base"))
    with refused("E604"):
        sealed(replace(delta, sites=(replace(delta.sites[0], sketch=text), *delta.sites[1:])))
