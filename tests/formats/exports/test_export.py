"""Exports: what is written is read back to the bit, by editc and by the real program, or it is refused with a code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_files as tiny
from places import FIXTURES
from safetensors.numpy import load_file, save_file

from editc import api
from editc.core.delta import Delta, Form
from editc.core.diagnostics import EditcError
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import with_delta_id
from editc.formats.exports import lowering, read
from editc.formats.exports.format import Dtype, Job
from editc.formats.exports.kohya_names import ALPHA, DOWN, UP, module_name
from editc.formats.exports.suits import SUITS
from editc.formats.exports.write import export, find_refusals
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

FORMS: tuple[Form, ...] = ("shared", "low-rank")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny.pipeline(tmp_path / "model")


def edit(model: Model, form: Form, rank: int = 3) -> Delta:
    return with_delta_id(replace(tiny.delta_for(model, form, rank=rank), family="sd1"))


@pytest.mark.parametrize("form", FORMS)
def test_lowering_keeps_every_result(model: Model, form: Form) -> None:
    """The low-rank form's own results differ from the delta's by the rounding of its factors alone."""
    delta = edit(model, form)
    lowered = with_delta_id(lowering.to_low_rank(Job(delta, model, Path())).delta)
    for whole, low in zip(plan_apply([delta], model).targets, plan_apply([lowered], model).targets, strict=True):
        a, b = (_result(model, target) for target in (whole, low))
        assert np.abs(a - b).max() <= 2e-7 * np.abs(a).max()
    assert all(factors.form == "low-rank" for factors in lowered.factors.values())
    assert lowered.extra["from"] == delta.delta_id


def test_dense_change_gives_the_results_bit_for_bit(model: Model) -> None:
    """Where the change's grid is finer than the result's; elsewhere one step of it may be missing."""
    delta = edit(model, "shared")
    changed = with_delta_id(lowering.to_dense(Job(delta, model, Path())).delta)
    (factors,) = changed.factors.values()
    for k, target in enumerate(plan_apply([delta], model).targets):
        wanted = dtypes.round_to(_result(model, target), "F32")
        base = model.component("unet").read(target.record.site.name)
        found = dtypes.round_to(base + factors.left[k], "F32")
        fine = np.spacing(np.abs(factors.left[k])) < np.spacing(np.abs(wanted).astype(np.float32))
        assert fine.mean() > 0.2 and np.array_equal(found[fine], wanted[fine])
        assert np.abs(found - wanted).max() <= np.spacing(np.abs(factors.left[k]).max())


def test_padding_changes_no_result(model: Model) -> None:
    lowered = lowering.to_low_rank(Job(edit(model, "shared"), model, Path())).delta
    wide = with_delta_id(lowering.pad_ranks(lowered, lambda rank: 8))
    assert all(len(right) == 8 for _, _, right in lowering.pairs(wide))
    plan = plan_apply([wide], model)
    assert plan.tier == "exact"
    for target in plan.targets:
        assert dtypes.sha256(dtypes.encode(_result(model, target), "F32")) == target.result


@pytest.mark.parametrize("rank,wanted", [(1, 1), (2, 2), (3, 4), (5, 8), (64, 64), (65, 128)])
def test_powers_of_two(rank: int, wanted: int) -> None:
    assert lowering.power_of_two(rank) == wanted


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("form", FORMS)
def test_kohya_is_read_back_to_the_bit(model: Model, tmp_path: Path, form: Form, dtype: Dtype) -> None:
    made = export(Job(edit(model, form), model, tmp_path / "k.safetensors", dtype), "kohya", tried=False)
    back = read.read_delta(tmp_path / "k.safetensors")
    assert back.delta_id == made.written.delta.delta_id
    limit = {"F32": 1e-7, "F16": 1e-3, "BF16": 8e-3}[dtype]
    least = 0 if dtype == "F32" else limit / 100
    assert least <= made.written.rounding <= limit
    assert plan_apply([back], model).tier == "exact"


def test_kohya_holds_the_change_as_a_loader_computes_it(model: Model, tmp_path: Path) -> None:
    """alpha / rank times up times down is the change, and alpha is 1 and the rank a power of two in every module."""
    delta = edit(model, "shared", rank=3)
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    file = load_file(tmp_path / "k.safetensors")
    (factors,) = delta.factors.values()
    for record in delta.sites:
        up, down, alpha = (file[module_name(record.site.name) + end] for end in (UP, DOWN, ALPHA))
        W = model.component(record.site.component).read(record.site.name)
        exact = W @ factors.left[0].astype(np.float64) @ factors.right[0]
        assert alpha == 1 and len(down) == 4
        held = up.astype(np.float64) @ down / 4
        assert np.abs(held - exact).max() <= 1e-7 * np.abs(exact).max()


def test_an_export_applies_like_a_delta(model: Model, tmp_path: Path) -> None:
    export(Job(edit(model, "shared"), model, tmp_path / "k.safetensors"), "kohya", tried=False)
    delta = read.read_delta(tmp_path / "k.safetensors")
    done = apply(plan_apply([delta], model), tmp_path / "out")
    assert done.status == "done"
    assert plan_apply([delta], open_model(tmp_path / "out")).status == "already"


def test_same_bytes_every_time(model: Model, tmp_path: Path) -> None:
    delta = edit(model, "shared")
    for name in ("a", "b"):
        export(Job(delta, model, tmp_path / name), "kohya", tried=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_changed_byte_of_an_export_is_refused_or_harmless(model: Model, tmp_path: Path) -> None:
    """Of the tensors none may change, nor of the description; other programs' own notes may."""
    path = tmp_path / "k.safetensors"
    made = export(Job(edit(model, "shared"), model, path), "kohya", tried=False)
    data = path.read_bytes()
    for at in range(8, len(data), max(1, len(data) // 300)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            found = read.read_delta(path).delta_id
        except Exception as error:
            assert type(error).__name__ == "EditcError", (at, error)
        else:
            assert found == made.written.delta.delta_id


def test_a_tensor_too_many_is_refused(model: Model, tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "k.safetensors"
    export(Job(edit(model, "shared"), model, path), "kohya", tried=False)
    with safe_open(path, "np") as file:
        known = file.metadata()
    save_file({**load_file(path), "lora_unet_more.alpha": np.ones((), np.float32)}, path, known)
    with tiny.refused("E601"):
        read.read_delta(path)


def test_refusals(model: Model, tmp_path: Path) -> None:
    delta = edit(model, "shared")
    with tiny.refused("E676"):
        export(Job(delta, None, tmp_path / "k.safetensors"), "kohya")
    (tmp_path / "there").write_text("")
    with tiny.refused("E679"):
        export(Job(delta, model, tmp_path / "there"), "kohya")
    with tiny.refused("E130"):
        export(Job(delta, model, tmp_path / "k.safetensors"), "kohia")
    with tiny.refused("E677"):
        export(Job(edit(model, "dense"), model, tmp_path / "k.safetensors"), "kohya")
    apply(plan_apply([delta], model), tmp_path / "out")
    with tiny.refused("E675"):
        export(Job(delta, open_model(tmp_path / "out"), tmp_path / "k.safetensors"), "kohya")
    assert [one.code for one in find_refusals(["kohya"], "flux")] == ["E680"] and not SUITS["kohya"]("sdxl")
    assert not (tmp_path / "k.safetensors").exists()


def _result(model: Model, target: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    from editc.core.site_bytes import patch_site
    from editc.formats.apply.target import TargetTensor

    assert isinstance(target, TargetTensor)
    site = target.record.site
    stored = model.component(site.component).read(site.name).reshape(site.shape)
    return patch_site(stored, target.factors, target.k)


def test_a_version_holds_its_delta(model: Model, tmp_path: Path) -> None:
    """The delta lies beside the shards as `editc.delta`: engines and people look for that name."""
    made = export(Job(edit(model, "shared"), model, tmp_path / "v"), "xor-index")
    assert (tmp_path / "v" / "editc.delta").is_file()
    assert all(trial.passed and trial.matched for trial in made.trials)
    assert read.is_delta(tmp_path / "v")
    assert read.read_delta(tmp_path / "v").delta_id == made.written.delta.delta_id
    assert read.format_of(tmp_path / "v") == "safetensors"


@pytest.mark.parametrize(
    ("name", "ending", "wanted"),
    [
        ("onnx-graph", ".out", ".onnx"),
        ("onnx-adapter", "", ".onnx_adapter"),
        ("safetensors", ".gguf", ".safetensors"),
        ("safetensors", ".onnx", ".safetensors"),
    ],
)
def test_an_ending_that_says_another_kind_of_file_is_refused_before_the_work(
    name: str, ending: str, wanted: str, tmp_path: Path
) -> None:
    delta = FIXTURES / "deltas" / "v1" / "shared.safetensors"
    with pytest.raises(EditcError) as caught:
        api.export(delta, name, tmp_path / f"made{ending}")
    (told,) = caught.value.diagnostics
    assert told.code == "E697" and wanted in told.help and not list(tmp_path.iterdir())
