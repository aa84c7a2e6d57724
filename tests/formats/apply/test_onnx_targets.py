"""Which tensor of an ONNX model is a site's: by content, origin or name, either way round; never by a guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_files as of
import onnx_targets
import pytest
import tiny_files as tiny
from onnx_targets import K0, V0, build, one

from editc.core.delta import Delta, Site
from editc.core.site_bytes import site_record
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

base = onnx_targets.base
delta = onnx_targets.delta


@pytest.mark.parametrize("said", ["dynamo", "legacy", "name"])
def test_a_fine_tune_is_found_by_its_origin_or_name_and_needs_leave(
    delta: Delta, base: Model, tmp_path: Path, said: str
) -> None:
    """The control: where nothing says which tensor is which, nothing is edited."""
    tuned = open_model(of.pico(tmp_path / "model.onnx", drift=0.1, said=said))
    with tiny.refused("E622"):
        plan_apply([delta], tuned)
    plan = plan_apply([delta], tuned, allow_finetune=True)
    assert plan.tier == "relative"
    apply(plan, in_place=True)
    (wanted,) = [t for t in plan.targets if t.record.site.name == V0]
    W = dtypes.decode(tiny.unet(drift=0.1)[V0][2], "F32", (4, 6))
    factors = wanted.factors
    result = W + (W @ factors.left[0].astype(float)) @ factors.right[0].astype(float)
    found = plan_apply([delta], tuned).targets
    assert {t.state for t in found} == {"already"}
    now = tuned.path.read_bytes()[wanted.tensor.offset :][: wanted.tensor.nbytes]
    assert np.allclose(dtypes.decode(now, "F32", (6, 4)).T, result, atol=1e-6)
    with tiny.refused("E620"):
        plan_apply([delta], open_model(of.pico(tmp_path / "mute.onnx", drift=0.1, said="nothing")), True)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_cast_model_is_found_by_content(delta: Delta, tmp_path: Path, dtype: str) -> None:
    plan = plan_apply([delta], open_model(of.pico(tmp_path / "model.onnx", dtype, said="nothing")))
    assert plan.tier == "cast" and all(target.result for target in plan.targets)


def test_a_widened_model_is_found_by_content(base: Model, tmp_path: Path) -> None:
    """Half precision, stored as float32: no hash fits the bytes as they are."""
    half = tiny.pipeline(tmp_path / "half", dtype="F16")
    delta, content = tiny.delta_for(half, "low-rank", [K0]), half.component("unet").read(K0)
    wide = of.tensor("w", "F32", (6, 4), of.raw(dtypes.encode(np.ascontiguousarray(content.T), "F32")))
    (target,) = plan_apply([delta], build(tmp_path / "m.onnx", [wide])).targets
    assert target.state == "cast" and target.tensor.flipped


def test_two_equal_tensors_are_told_apart_by_origin_or_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    twice = [of.tensor(name, "F32", (4, 6), of.raw(content)) for name in ("a", "b")]
    with tiny.refused("E664") as error:
        plan_apply([delta], build(tmp_path / "m.onnx", twice))
    assert "a, b" in error.diagnostics[0].notes[0]
    nodes = [of.node("Gemm", ("x", "b"), "y", of.legacy(K0))]
    plan = plan_apply([delta], build(tmp_path / "n.onnx", twice, nodes))
    assert plan.targets[0].tensor.offset == plan.model.path.read_bytes().rindex(content)
    both = [of.node("Gemm", ("x", n), f"y{n}", of.legacy(K0)) for n in "ab"]
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "o.onnx", twice, both))


def test_a_tensor_of_two_sites_is_refused(base: Model, tmp_path: Path) -> None:
    """Editing it for one site would edit it for the other: here K and V of a layer are made equal."""
    shape, content = (4, 6), base.component("unet").raw(K0)
    sites = [Site("unet", name, shape, "F32", "k") for name in (K0, V0)]
    factors = tiny.factors_for("low-rank", sites)
    values = dtypes.decode(content, "F32", shape)
    records = tuple(site_record(site, values, factors, k) for k, site in enumerate(sites))
    delta = tiny.sealed(replace(one(base)[0], sites=records, factors={"text": factors}))
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "m.onnx", [of.tensor("w", "F32", shape, of.raw(content))]))


def test_bytes_in_common_with_another_tensor_are_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    (tmp_path / "w.bin").write_bytes(content + b"\0" * 128)
    first = of.tensor("w", "F32", (4, 6), of.outside(location="w.bin", offset=0, length=96))
    other = of.tensor("o", "F32", (20,), of.outside(location="w.bin", offset=80, length=80))
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "m.onnx", [first, other]))
    apart = of.tensor("o", "F32", (16,), of.outside(location="w.bin", offset=96, length=64))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [first, apart])).tier == "exact"


def test_which_way_round_a_square_matrix_is(tmp_path: Path) -> None:
    """By its content; a symmetric one by its node; without one it is refused."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(6, 6)).astype(np.float32)
    for values, known in ((plain, True), (plain + plain.T, False)):
        site = Site("unet", K0, (6, 6), "F32", "k")
        factors = tiny.factors_for("low-rank", [site])
        record = site_record(site, values.astype(float), factors, 0)
        delta = tiny.sealed(
            replace(tiny.delta_for(tiny.pipeline(tmp_path / f"{known}")), sites=(record,), factors={"text": factors})
        )
        for stored, op, extra in ((values.T, "MatMul", b""), (values.T, "Gemm", b""), (values, "Gemm", trans_b())):
            node = of.node(op, ("x", "w"), "y", extra=extra)
            made = build(tmp_path / "m.onnx", [of.tensor("w", "F32", (6, 6), of.raw(stored.tobytes()))], [node])
            (target,) = plan_apply([delta], made).targets
            assert target.tensor.flipped == (stored is not values)
        made = build(tmp_path / "m.onnx", [of.tensor("w", "F32", (6, 6), of.raw(values.T.tobytes()))])
        if known:
            assert plan_apply([delta], made).targets[0].tensor.flipped
        else:
            with tiny.refused("E665"):
                plan_apply([delta], made)


def trans_b() -> bytes:
    return of.data(5, of.data(1, "transB") + of.number(3, 1) + of.number(20, 2))


def test_a_transposed_site_is_found_both_ways_round(base: Model, tmp_path: Path) -> None:
    """GPT-2's own layout, (d_in, d_out), is what MatMul takes as it is."""
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    site = Site("unet", K0, (4, 6), "F32", "k", transposed=True)
    factors = tiny.factors_for("low-rank", [site])
    record = site_record(site, values.astype(float), factors, 0)
    delta = tiny.sealed(replace(tiny.delta_for(base), sites=(record,), factors={"text": factors}))
    for stored in (values, values.T):
        content = of.tensor("w", "F32", stored.shape, of.raw(np.ascontiguousarray(stored).tobytes()))
        model = build(tmp_path / "m.onnx", [content])
        apply(plan_apply([delta], model), in_place=True)
        (target,) = plan_apply([delta], model).targets
        assert target.state == "already" and target.tensor.flipped == (stored is not values)
        revert(model)


def test_constants_and_subgraphs_count(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    weight = of.tensor("", "F32", (4, 6), of.raw(content))
    constant = of.node("Constant", (), "w", extra=of.data(5, of.data(1, "value") + of.data(5, weight)))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [], [constant])).tier == "exact"
    inner = of.graph([of.tensor("w", "F32", (4, 6), of.raw(content))])
    branch = of.node("If", ("c",), "y", extra=of.data(5, of.data(1, "then_branch") + of.data(6, inner)))
    assert plan_apply([delta], build(tmp_path / "n.onnx", [], [branch])).tier == "exact"


def test_numbers_one_by_one_and_quantised_ones_are_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    halves = np.frombuffer(content, "<f4").astype("<f2").view("<u2")
    packed = b"".join(of.number(0, int(v))[1:] for v in halves)
    node = of.node("Gemm", ("x", "w"), "y", of.legacy(K0))
    with tiny.refused("E663"):
        plan_apply([delta], build(tmp_path / "m.onnx", [of.tensor("w", "F16", (4, 6), of.data(5, packed))], [node]))
    quantised = of.tensor("w", "I8", (4, 6), of.raw(b"\1" * 24))
    with tiny.refused("E616"):
        plan_apply([delta], build(tmp_path / "m.onnx", [quantised], [node]), True)
    floats = of.tensor("w", "F32", (4, 6), of.data(4, content))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [floats])).tier == "exact"
