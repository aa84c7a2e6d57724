"""Quantised weights: refused by name, or edited with the loss reported; never an edit that is not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import llama_files as llama
import numpy as np
import pytest
from tiny_files import noise, pack, refused, tree

from editc.formats import quantised
from editc.formats.apply import apply, plan_apply, revert
from editc.formats.checkpoint import Model, open_model
from editc.formats.inspect import describe_applied, describe_plan
from editc.formats.status import status
from editc.ir import Delta, Form
from editc.numerics import blocks, dtypes

BLOCKS = tuple(blocks.KINDS)
EIGHT = tuple(dtypes.EIGHT_BITS)
FORMS: tuple[Form, ...] = ("low-rank", "shared", "dense")


def quantised_model(place: Path, kind: str) -> Model:
    if kind in EIGHT:
        return llama.eight_bit(place / "model", kind)
    return llama.gguf(place / "model.gguf", kind)


def values(model: Model, name: str) -> Any:
    part = open_model(model.path).component()
    return quantised.decoded(part.raw(name), part.where(name))


def change(delta: Delta, k: int) -> Any:
    (factors,) = delta.factors.values()
    return factors.left[k].astype(np.float64) @ factors.right[k].astype(np.float64)


@pytest.mark.parametrize("kind", [*BLOCKS, *EIGHT])
def test_refused_until_asked_for(tmp_path: Path, kind: str) -> None:
    model = quantised_model(tmp_path, kind)
    with refused("E690") as error:
        plan_apply([llama.delta()], model)
    (said,) = error.diagnostics
    assert kind in said.notes[0] and "--requantize" in said.help and "before they are quantised" in said.help
    assert kind not in EIGHT or "one scale" in said.notes[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F8_E4M3"])
def test_only_targets_change_and_come_back(tmp_path: Path, kind: str, form: Form) -> None:
    model = quantised_model(tmp_path, kind)
    place = model.path if model.path.is_dir() else tmp_path
    before, delta = tree(place), llama.delta(form)
    untouched = {n: model.component().raw(n) for n in model.component().names() if "down" not in n}
    plan = plan_apply([delta], model, requantize=True)
    assert plan.tier == "requantised"
    done = apply(plan, in_place=True)
    assert done.results == {("model", t.record.site.name): t.result for t in plan.targets}
    after = open_model(model.path).component()
    assert all(after.raw(name) == raw for name, raw in untouched.items())
    assert plan_apply([delta], open_model(model.path), requantize=True).status == "already"
    assert status(open_model(model.path)).applied == (delta.delta_id,)
    assert revert(open_model(model.path)).tensors == len(llama.DOWN)
    assert {n: raw for n, (raw, _) in tree(place).items()} == {n: raw for n, (raw, _) in before.items()}


@pytest.mark.parametrize("kind", ["Q8_0", "F8_E5M2"])
def test_a_copy_is_the_same_as_in_place(tmp_path: Path, kind: str) -> None:
    model, delta = quantised_model(tmp_path, kind), llama.delta()
    out = tmp_path / ("copy" if model.path.is_dir() else "copy.gguf")
    done = apply(plan_apply([delta], model, requantize=True), out)
    again = plan_apply([delta], open_model(out), requantize=True)
    assert again.status == "already" and {t.base for t in again.targets} == set(done.results.values())
    inside = apply(plan_apply([delta], model, requantize=True), in_place=True)
    assert inside.results == done.results


@pytest.mark.parametrize("kind", [*BLOCKS, *EIGHT])
def test_the_loss_is_what_a_reader_of_the_file_finds(tmp_path: Path, kind: str) -> None:
    """Error and survival from the plan, against the files before and after and nothing else."""
    model, delta = quantised_model(tmp_path, kind), llama.delta(size=1.0)
    before = [values(model, name) for name in llama.DOWN]
    plan = plan_apply([delta], model, requantize=True)
    apply(plan, in_place=True)
    for k, target in enumerate(plan.targets):
        moved, wanted = values(model, llama.DOWN[k]) - before[k], change(delta, k)
        assert target.loss is not None
        assert target.loss.error == pytest.approx(np.linalg.norm(moved - wanted) / np.linalg.norm(wanted), rel=1e-9)
        assert target.loss.survived == pytest.approx((moved * wanted).sum() / (wanted**2).sum(), rel=1e-9)
    rows = describe_plan(plan)["tensors"]
    assert [row["survived"] for row in rows] == [t.loss.survived for t in plan.targets if t.loss]
    assert "of the edit is left" in " ".join(plan.notes)


@pytest.mark.parametrize("kind", ["Q4_0", "F8_E4M3"])
def test_an_edit_below_the_steps_is_an_error_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    model = quantised_model(tmp_path, kind)
    place = model.path if model.path.is_dir() else tmp_path
    before = tree(place)
    with refused("E693") as error:
        plan_apply([llama.delta(size=1e-3)], model, requantize=True)
    assert "%" in error.diagnostics[0].message and tree(place) == before


def test_control_a_large_edit_survives_whole_and_finer_formats_keep_more(tmp_path: Path) -> None:
    found = {}
    for kind in (*BLOCKS, *EIGHT):
        (tmp_path / kind).mkdir()
        plan = plan_apply([llama.delta(size=1.0)], quantised_model(tmp_path / kind, kind), requantize=True)
        found[kind] = quantised.total(t.loss for t in plan.targets if t.loss)
    assert all(0.9 < loss.survived < 1.05 for loss in found.values())
    assert found["Q8_0"].error < found["Q5_0"].error < found["Q4_0"].error


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("scale", ["weight_scale", "scale_weight", "weight_scale_inv"])
def test_scales_are_found_under_every_name(tmp_path: Path, scale: str, rows: bool) -> None:
    """The control is the weights' size: without the scale they would be some thousand times as large."""
    model = llama.eight_bit(tmp_path / "m", "F8_E4M3", scale, rows)
    for name in (*llama.DOWN, *llama.OUT):
        exact = llama.weights()[name]
        assert np.abs(values(model, name) - exact).max() < 0.04 * np.abs(exact).max()
    plan = plan_apply([llama.delta()], model, requantize=True)
    assert all(t.loss and t.loss.survived > 0.9 for t in plan.targets)


def test_8_bit_weights_without_scales_are_taken_as_they_are(tmp_path: Path) -> None:
    parts = {n: ("F8_E5M2", v.shape, dtypes.encode(v, "F8_E5M2")) for n, v in llama.weights().items() if v.ndim == 2}
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    plan = plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=True)
    assert all(t.loss and t.loss.survived > 0.9 for t in plan.targets)


def block_scales(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[f"{name}_scale_inv"] = ("F32", (2, 4), bytes(32))


def two_scales(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[f"{name}_scale"] = parts[f"{name[:-7]}.scale_weight"] = ("F32", (1,), dtypes.encode(np.ones(1), "F32"))


def a_scale_a_column(parts: dict[str, Any]) -> None:
    """As many as rows here, for the matrix is square."""
    for name in llama.DOWN:
        parts[name] = ("F8_E4M3", (64, 64), bytes(64 * 64))
        parts[f"{name}_scale"] = ("F32", (1, 64), dtypes.encode(np.ones(64), "F32"))


def int8(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[name] = ("I8", parts[name][1], parts[name][2])
        parts[f"{name[:-7]}.SCB"] = ("F32", (llama.WIDTH,), bytes(4 * llama.WIDTH))


def four_bits(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        size = len(parts[name][2]) // 2
        parts[name] = ("U8", (size, 1), bytes(size))
        parts[f"{name}.absmax"] = ("F32", (4,), bytes(16))


def gptq(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        del parts[name]
        parts[f"{name[:-7]}.qweight"] = ("I32", (4, 4), bytes(64))


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "change_,said",
    [
        (block_scales, "scales"),
        (a_scale_a_column, "scales"),
        (two_scales, "2 scales"),
        (int8, "bitsandbytes"),
        (four_bits, "4 bits"),
        (gptq, "GPTQ"),
    ],
    ids=lambda a: getattr(a, "__name__", ""),
)
def test_what_cannot_be_requantised_is_named(tmp_path: Path, change_: Any, said: str, asked: bool) -> None:
    parts: dict[str, Any] = {
        n: ("F8_E4M3", v.shape, dtypes.encode(v, "F8_E4M3")) for n, v in llama.weights().items() if v.ndim == 2
    }
    change_(parts)
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    with refused("E691") as error:
        plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=asked)
    assert said in error.diagnostics[0].notes[0] and "before" in error.diagnostics[0].help


def test_a_method_that_only_config_json_names(tmp_path: Path) -> None:
    model = llama.folder(tmp_path / "m")
    (model.path / "config.json").write_text('{"quantization_config": {"quant_method": "aqlm"}}')
    parts = {"model.layers.0.mlp.down_proj.codes": ("I16", (4, 4), bytes(32))}
    (model.path / "model.safetensors").write_bytes(pack(parts))
    with refused("E691") as error:
        plan_apply([llama.delta()], model)
    assert "aqlm" in error.diagnostics[0].notes[0]


@pytest.mark.parametrize("scale", [np.nan, 0.0, -1.0, np.inf])
def test_a_scale_that_is_no_scale(tmp_path: Path, scale: float) -> None:
    parts: dict[str, Any] = {}
    for name in llama.DOWN:
        parts[name] = ("F8_E4M3", (llama.WIDTH, llama.INNER), bytes(llama.WIDTH * llama.INNER))
        parts[f"{name}_scale"] = ("F32", (), dtypes.encode(np.array(scale), "F32"))
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    with refused("E691"):
        plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=True)


def test_what_lies_past_the_range_is_cut_and_counted(tmp_path: Path) -> None:
    """A tensor's scale stays as it is, and E4M3 ends at 448: never NaN, and the loss says how much is missing."""
    model = llama.eight_bit(tmp_path / "m", "F8_E4M3")
    plan = plan_apply([llama.delta(size=2)], model, requantize=True)
    loss = quantised.total(t.loss for t in plan.targets if t.loss)
    assert loss.cut > 0 and loss.survived < 0.9 and f"{loss.cut} weights" in " ".join(plan.notes)
    limits = [np.abs(values(model, name)).max() for name in llama.DOWN]
    apply(plan, in_place=True)
    for name, limit in zip(llama.DOWN, limits, strict=True):
        assert np.abs(values(model, name)).max() == limit
    small = plan_apply([llama.delta(names=llama.OUT, size=0.1)], model, requantize=True)
    assert sum(t.loss.cut for t in small.targets if t.loss) < loss.cut


def test_a_convolution_with_a_scale_a_row(tmp_path: Path) -> None:
    raw = dtypes.encode(np.ones((3, 8)), "F8_E4M3")
    parts = {"c.weight": ("F8_E4M3", (3, 2, 2, 2), raw)}
    scales = {"c.weight_scale": ("F32", (3,), dtypes.encode(np.array([1.0, 2.0, 4.0]), "F32"))}
    (tmp_path / "m.safetensors").write_bytes(pack(parts | scales))
    found = values(open_model(tmp_path / "m.safetensors"), "c.weight")
    assert found.shape == (3, 2, 2, 2) and found[:, 1, 1, 0].tolist() == [1, 2, 4]


class Crash(BaseException):
    """Like a kill: nothing in editc catches it."""


@pytest.mark.parametrize("kind", ["Q4_0", "F8_E4M3"])
def test_a_crash_at_any_sync_can_be_undone_or_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model, delta = quantised_model(tmp_path, kind), llama.delta()
    place = model.path if model.path.is_dir() else model.path.parent
    first = tree(place)
    apply(plan_apply([delta], model, requantize=True), in_place=True)
    edited = [model.component().raw(name) for name in llama.DOWN]
    revert(model)
    syncs, real, moment = 0, os.fsync, 0

    def sync(handle: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == moment:
            raise Crash
        real(handle)

    while syncs >= moment:
        moment, syncs = moment + 1, 0
        with monkeypatch.context() as patch, suppress(Crash):
            patch.setattr(os, "fsync", sync)
            apply(plan_apply([delta], model, requantize=True), in_place=True)
        if moment % 2 and tree(place) != first:
            revert(model)
            assert {n: raw for n, (raw, _) in tree(place).items()} == {n: raw for n, (raw, _) in first.items()}
        apply(plan_apply([delta], model, requantize=True), in_place=True)
        assert [model.component().raw(name) for name in llama.DOWN] == edited
        assert plan_apply([delta], model, requantize=True).status == "already"
        revert(model)
    assert moment > 5


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_library_reads_the_edited_file(tmp_path: Path, kind: str) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    model = quantised_model(tmp_path, kind)
    before = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(model.path).tensors}
    apply(plan_apply([llama.delta()], model, requantize=True), tmp_path / "out.gguf")
    after = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(tmp_path / "out.gguf").tensors}
    for k, name in enumerate(llama.DOWN):
        theirs, wanted = llama.their_name(name), change(llama.delta(), k)
        moved = after.pop(theirs).astype(np.float64) - before.pop(theirs)
        assert np.linalg.norm(moved - wanted) < 0.3 * np.linalg.norm(wanted)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", EIGHT)
def test_torch_reads_the_edited_file(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file

    def read() -> list[Any]:
        parts = load_file(model.path / "model.safetensors")
        return [(parts[n].double() * parts[f"{n}_scale"].double()).numpy() for n in llama.DOWN]

    model = quantised_model(tmp_path, kind)
    before, delta = read(), llama.delta(size=0.3)
    apply(plan_apply([delta], model, requantize=True), in_place=True)
    for k, (old, new) in enumerate(zip(before, read(), strict=True)):
        wanted = change(delta, k)
        assert np.linalg.norm(new - old - wanted) < 0.25 * np.linalg.norm(wanted)


def test_a_later_delta_goes_on_top_and_both_are_known(tmp_path: Path) -> None:
    model, first, second = quantised_model(tmp_path, "Q8_0"), llama.delta(), llama.delta(names=llama.OUT)
    for delta in (first, second):
        apply(plan_apply([delta], open_model(model.path), requantize=True), in_place=True)
    assert set(status(open_model(model.path)).applied) == {first.delta_id, second.delta_id}
    assert plan_apply([first, second], open_model(model.path), requantize=True).status == "already"


def test_the_command_line_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from editc.cli import cli
    from editc.formats.safetensors_delta import write_delta
    from editc.terminal import guarded

    model = quantised_model(tmp_path, "Q8_0")
    write_delta(llama.delta(), tmp_path / "d.safetensors")
    command = ["apply", str(tmp_path / "d.safetensors"), "--to", str(model.path), "--in-place"]
    assert guarded(cli, command) == 1 and "E690" in capsys.readouterr().err
    assert guarded(cli, [*command, "--requantize"]) == 0
    assert "2 tensors (requantised)" in (said := capsys.readouterr().out) and "100.0% of the edit is left" in said
    assert guarded(cli, [*command, "--requantize"]) == 0 and "already applied" in capsys.readouterr().out


def test_nothing_heavy_is_imported_to_requantise(tmp_path: Path) -> None:
    import subprocess
    import sys

    model = quantised_model(tmp_path, "Q8_0")
    (tmp_path / "s.py").write_text(
        "import sys\nimport editc.cli, editc.api\nfrom editc.formats.checkpoint import open_model\n"
        f"assert 'model.layers.0.mlp.down_proj.weight' in open_model({str(model.path)!r}).component().tensors\n"
        "assert not {'torch', 'transformers', 'diffusers', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, str(tmp_path / "s.py")], check=True)


def test_full_precision_tensors_are_untouched_by_the_flag(tmp_path: Path) -> None:
    model, delta = llama.folder(tmp_path / "m"), llama.delta()
    plan = plan_apply([delta], model, requantize=True)
    assert plan.tier == "exact" and all(t.loss is None for t in plan.targets)
    done = apply(plan, tmp_path / "out")
    assert "survived" not in describe_applied(plan, done)["tensors"][0]


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_decode_as_the_library_does(kind: str) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    W, made = noise(5, (48, 256)).astype(np.float32), GGMLQuantizationType[kind]
    theirs = quantize(W, made)
    ours = blocks.decode(theirs.tobytes(), kind, W.shape)
    assert np.array_equal(ours.astype(np.float32), dequantize(theirs, made))
    assert blocks.encode(ours, kind, theirs.tobytes()) == theirs.tobytes()


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_encode_no_worse_than_the_library(kind: str) -> None:
    """In whole; and what they encode the library reads as the same weights."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    W, made = noise(5, (48, 256)) * 0.05, GGMLQuantizationType[kind]
    old = quantize(W.astype(np.float32), made).tobytes()
    wanted = (W + 0.1 * noise(6, W.shape)).astype(np.float32).astype(np.float64)
    ours = np.frombuffer(blocks.encode(wanted, kind, old), np.uint8).reshape(len(W), -1)
    read, theirs = dequantize(ours, made), dequantize(quantize(wanted.astype(np.float32), made), made)
    assert np.array_equal(read, blocks.decode(ours.tobytes(), kind, W.shape).astype(np.float32))
    assert np.linalg.norm(read - wanted) <= np.linalg.norm(theirs - wanted)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_whose_weights_stay_keeps_its_bytes(kind: str) -> None:
    """Also one that no quantisation would have made like this: its codes do not reach the ends of the grid."""
    size = blocks.KINDS[kind].nbytes
    heads = dtypes.encode(np.array([0.01, -0.07][: 1 + blocks.KINDS[kind].offset]), "F16")
    odd = (heads + bytes([0x11] * (size - len(heads)))) * 8
    values_ = blocks.decode(odd, kind, (2, 128))
    assert blocks.encode(values_, kind, odd) == odd
    values_[0, 5] += 0.3
    changed = blocks.encode(values_, kind, odd)
    assert changed[:size] != odd[:size] and changed[size:] == odd[size:]


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_of_nothing_and_of_too_much(kind: str) -> None:
    old = bytes(blocks.KINDS[kind].nbytes)
    assert blocks.encode(np.zeros((1, 32)), kind, old) == old
    assert not blocks.is_finite(blocks.encode(np.full((1, 32), 1e9), kind, old), kind)


@pytest.mark.parametrize("dtype,name", [("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2")])
def test_eight_bits_are_those_of_torch(dtype: str, name: str) -> None:
    """Every pattern; and every midpoint and its neighbours, where both are in range (torch then saturates)."""
    import torch

    kind = getattr(torch, name)
    every = torch.arange(256, dtype=torch.uint8).view(kind).double().numpy()
    found = dtypes.decode(bytes(range(256)), dtype, (256,))
    assert np.array_equal(found, every, equal_nan=True) and np.array_equal(np.signbit(found), np.signbit(every))
    grid = np.sort(every[np.isfinite(every)])
    middle = ((grid[1:] + grid[:-1]) / 2).astype(np.float32)
    near = np.concatenate([middle, np.nextafter(middle, np.float32(9e9)), np.nextafter(middle, np.float32(-9e9))])
    x = np.concatenate([near, grid.astype(np.float32), noise(4, (1000,)).astype(np.float32)])
    theirs = torch.from_numpy(x).to(kind).view(torch.uint8).numpy().tobytes()
    assert dtypes.encode(x.astype(np.float64), dtype) == theirs


def test_eight_bits_round_once() -> None:
    """A float64 just above a midpoint goes up, though as float32 it would be the midpoint and go down to even."""
    middle = 1.0625
    for dtype, up in (("F8_E4M3", 1.125), ("F8_E5M2", 1.0)):
        assert dtypes.rounded(np.array([middle * (1 + 2.0**-50)]), dtype) == up
    assert dtypes.rounded(np.array([middle]), "F8_E4M3") == 1.0


@pytest.mark.parametrize("dtype", EIGHT)
def test_eight_bits_past_the_end_are_not_finite(dtype: str) -> None:
    last = 448.0 if dtype == "F8_E4M3" else 57344.0
    assert dtypes.is_finite(dtypes.encode(np.array([last, -last]), dtype), dtype)
    for x in (2 * last, -2 * last, np.nan, np.inf):
        assert not dtypes.is_finite(dtypes.encode(np.array([x, 1.0]), dtype), dtype)
