"""Deltas on ONNX models: only the targets' bytes change, to the very results, and they come back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_files as of
import onnx_targets
import pytest
import tiny_files as tiny

from editc.core.delta import Delta, Form
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.delta.container import write_delta
from editc.formats.inspect import describe_model
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

base = onnx_targets.base
delta = onnx_targets.delta


def changed(before: bytes, after: bytes) -> set[int]:
    assert len(before) == len(after)
    return set(np.flatnonzero(np.frombuffer(before, "u1") != np.frombuffer(after, "u1")).tolist())


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("said", ["dynamo", "legacy", "nothing"])
@pytest.mark.parametrize("external", [False, True])
def test_only_the_targets_bytes_change_and_they_are_the_results(
    delta: Delta, tmp_path: Path, external: bool, said: str, flip: bool
) -> None:
    path = of.pico(tmp_path / "in" / "model.onnx", external=external, said=said, flip=flip)
    plan = plan_apply([delta], open_model(path))
    assert plan.tier == "exact" and len(plan.targets) == 4
    (tmp_path / "out").mkdir()
    done = apply(plan, tmp_path / "out" / "edited.onnx")
    name = "weights.bin" if external else "model.onnx"
    files = [("model.onnx", "edited.onnx"), *([("weights.bin", "weights.bin")] if external else [])]
    for old, new in files:
        before, after = (tmp_path / "in" / old).read_bytes(), (tmp_path / "out" / new).read_bytes()
        touched = {i for t in plan.targets for i in range(t.tensor.offset, t.tensor.offset + t.tensor.nbytes)}
        assert changed(before, after) <= (touched if old == name else set())
    for target in plan.targets:
        part = target.tensor
        written = (tmp_path / "out" / (name if external else "edited.onnx")).read_bytes()[part.offset :][: part.nbytes]
        assert dtypes.sha256(part.from_file(written)) == target.record.result["F32"]
        assert dtypes.sha256(written) == done.results["unet", target.record.site.name]
    assert plan_apply([delta], open_model(done.path)).status == "already"
    assert status(open_model(done.path)).applied == (delta.delta_id,)


@pytest.mark.parametrize("external", [False, True])
def test_in_place_and_back_bit_for_bit(delta: Delta, tmp_path: Path, external: bool) -> None:
    path = of.pico(tmp_path / "model.onnx", external=external)
    before = tiny.contents(tmp_path)
    apply(plan_apply([delta], open_model(path)), in_place=True)
    assert tiny.contents(tmp_path) != before
    assert status(open_model(path)).applied == (delta.delta_id,)
    assert status(open_model(path), [delta]).deltas[0].presence == "applied"
    revert(open_model(path))
    assert tiny.contents(tmp_path) == before
    assert status(open_model(path), [delta]).deltas[0].presence == "not applied"


def test_a_pipeline_with_onnx_parts_is_a_model_too(delta: Delta, base: Model, tmp_path: Path) -> None:
    folder = tmp_path / "optimum"
    of.pico(folder / "unet" / "model.onnx", external=True)
    of.pico(folder / "vae_decoder" / "model.onnx", seed=50)
    (folder / "model_index.json").write_text("{}")
    model = open_model(folder)
    assert describe_model(model)["components"]["unet"]["tensors"] == 7
    done = apply(plan_apply([delta], model), tmp_path / "edited")
    assert plan_apply([delta], open_model(done.path)).status == "already"
    assert (tmp_path / "edited/unet/model.onnx").read_bytes() == (folder / "unet/model.onnx").read_bytes()
    apply(plan_apply([delta], model), in_place=True)
    revert(model)
    assert plan_apply([delta], model).status == "ready"


def test_a_copy_does_not_take_the_name_of_other_external_data(delta: Delta, tmp_path: Path) -> None:
    path = of.pico(tmp_path / "model.onnx", external=True)
    before = tiny.contents(tmp_path)
    with tiny.refused("E666"):
        apply(plan_apply([delta], open_model(path)), tmp_path / "edited.onnx")
    assert tiny.contents(tmp_path) == before


@pytest.mark.parametrize("external", [False, True])
def test_a_killed_run_is_finished_though_nothing_names_the_tensors(
    delta: Delta, tmp_path: Path, external: bool
) -> None:
    """Half a result has no hash that anyone knows; the stored bytes before it do."""
    path = of.pico(tmp_path / "model.onnx", external=external, said="nothing")
    before = tiny.contents(tmp_path)
    plan = plan_apply([delta], open_model(path))
    apply(plan, in_place=True)
    after = {name: content for name, content in tiny.contents(tmp_path).items() if ".editc" not in name}
    (done,) = (tmp_path / "model.onnx.editc").rglob("done")
    done.unlink()
    torn = plan.targets[1].tensor
    with torn.file.open("r+b") as file:
        file.seek(torn.offset)
        file.write(b"\x55" * 7)
    again = plan_apply([delta], open_model(path))
    assert again.interrupted and again.status == "ready"
    apply(again, in_place=True)
    assert {name: content for name, content in tiny.contents(tmp_path).items() if ".editc" not in name} == after
    revert(open_model(path))
    assert tiny.contents(tmp_path) == before


@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_every_form_gives_the_results_of_the_safetensors_file(base: Model, tmp_path: Path, form: Form) -> None:
    delta = tiny.delta_for(base, form)
    model = open_model(of.pico(tmp_path / "model.onnx"))
    apply(plan_apply([delta], model), in_place=True)
    assert {t.state for t in plan_apply([delta], model).targets} == {"already"}


def test_neither_torch_nor_onnx_is_imported(delta: Delta, tmp_path: Path) -> None:
    write_delta(delta, tmp_path / "d.safetensors")
    path = of.pico(tmp_path / "model.onnx", external=True)
    code = (
        "import sys\nfrom editc import api\nfrom pathlib import Path\n"
        f"api.apply([Path({str(tmp_path / 'd.safetensors')!r})], {str(path)!r}, in_place=True)\n"
        f"api.revert({str(path)!r})\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'google'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
