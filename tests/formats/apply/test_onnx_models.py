"""Models that torch itself exported: every target is found, and ONNX Runtime computes what torch does, within 1e-5.

`python -m benchmarks.onnx_apply` does the same with the demo model, every matrix of the UNet, and a Llama.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_models as om
import pytest
import tiny
import tiny_files
import torch

from editc import api
from editc.core.delta import Delta, Site
from editc.core.site_bytes import site_record
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.delta.container import write_delta
from editc.formats.exports.format import Job
from editc.formats.exports.write import export
from editc.formats.models.model import Model, open_model

pytestmark = pytest.mark.slow

LIMIT = 1e-5
KINDS = ("dynamo", "external", "legacy")


@dataclass(frozen=True)
class World:
    """A pico pipeline, a delta for it, its exports, and what torch computes before and after the edit."""

    base: Model
    delta: Delta
    exports: dict[str, Path]
    inputs: dict[str, Any]
    before: Any
    after: Any


def delta_for(model: Model) -> Delta:
    names = [n for n in model.component("unet").names() if ".attn2.to_k." in n or ".attn2.to_v." in n]
    return tiny_files.sealed(replace(tiny_files.delta_for(model, "shared", names), family="sd1"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("world")
    base = open_model(tiny.pipeline_folder(folder / "base", dtype=torch.float32))
    delta = delta_for(base)
    edited = apply(plan_apply([delta], base), folder / "edited").path
    unets = [UNet2DConditionModel.from_pretrained(place / "unet") for place in (base.path, edited)]
    inputs = om.unet_inputs(unets[0])
    graph = om.wrapped(unets[0])
    exports = {kind: folder / kind / "model.onnx" for kind in KINDS}
    om.exported(graph, inputs, exports["external"], external=True)
    om.exported(graph, inputs, exports["legacy"], legacy=True)
    exports["dynamo"].parent.mkdir()
    onnx.save(onnx.load(exports["external"]), exports["dynamo"])
    before, after = (om.torch_output(unet, inputs) for unet in unets)
    assert np.abs(after - before).max() > 0.01
    return World(base, delta, exports, inputs, before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_export_computes_what_the_edited_model_does(world: World, tmp_path: Path, kind: str) -> None:
    model = open_model(world.exports[kind])
    plan = plan_apply([world.delta], model)
    assert plan.tier == "exact" and len(plan.targets) == len(world.delta.sites)
    assert all(target.tensor.flipped for target in plan.targets)
    done = apply(plan, tmp_path / "model.onnx")
    assert np.abs(om.run(model.path, world.inputs) - world.before).max() <= LIMIT
    assert np.abs(om.run(done.path, world.inputs) - world.after).max() <= LIMIT


def test_an_export_edited_in_place_and_back(world: World) -> None:
    path = world.exports["external"]
    kept = tiny_files.contents(path.parent)
    apply(plan_apply([world.delta], open_model(path)), in_place=True)
    assert np.abs(om.run(path, world.inputs) - world.after).max() <= LIMIT
    revert(open_model(path))
    assert tiny_files.contents(path.parent) == kept


def tuned(base: Path, folder: Path) -> Path:
    """A copy of a pipeline whose UNet's weights are a twentieth of their norm away."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, folder)
    (file,) = (folder / "unet").glob("*.safetensors")
    made = torch.Generator().manual_seed(9)
    weights = load_file(file)
    for name, W in weights.items():
        step = torch.randn(W.shape, generator=made)
        weights[name] = W + 0.05 * W.norm() * step / step.norm()
    save_file(weights, file)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_origins_lead_to_the_tensors_that_content_does(world: World, tmp_path: Path, kind: str) -> None:
    """A delta of other weights finds nothing by content, and by what the exporters note the very same tensors."""
    other = delta_for(open_model(tuned(world.base.path, tmp_path / "other")))
    model = open_model(world.exports[kind])
    with tiny_files.refused("E622"):
        plan_apply([other], model)
    by_origin = plan_apply([other], model, allow_finetune=True)
    assert by_origin.tier == "relative"
    assert [t.tensor for t in by_origin.targets] == [t.tensor for t in plan_apply([world.delta], model).targets]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_made_ready_switches_the_edit_on_and_off(world: World, tmp_path: Path, kind: str) -> None:
    write_delta(world.delta, tmp_path / "delta.safetensors")
    out = tmp_path / "ready" / "model.onnx"
    out.parent.mkdir()
    made = api.make_lora_ready(str(world.exports[kind]), out, tmp_path / "delta.safetensors")
    assert len(made.inputs) == 2 * len(world.delta.sites)
    onnx.checker.check_model(str(out), full_check=True)
    adapter = tmp_path / "d.onnx_adapter"
    written = export(Job(world.delta, world.base, adapter), "onnx-adapter")
    (trial,) = written.trials
    assert trial.passed and trial.matched == len(world.delta.sites) and trial.error == 0
    plain = om.run(world.exports[kind], world.inputs)
    assert np.abs(om.run(out, world.inputs) - plain).max() <= 1e-6
    assert np.abs(om.run(out, world.inputs, adapter) - world.after).max() <= LIMIT
    with tiny_files.refused("E630"):
        api.make_lora_ready(str(world.exports[kind]), out, tmp_path / "delta.safetensors")


def test_what_has_no_place_for_an_adapter_is_refused(world: World, tmp_path: Path) -> None:
    """A folder is no graph, and a convolution's node no MatMul."""
    write_delta(world.delta, tmp_path / "d.safetensors")
    with tiny_files.refused("E668"):
        api.make_lora_ready(str(world.base.path), tmp_path / "out", tmp_path / "d.safetensors")
    part = world.base.component("unet")
    name = "down_blocks.0.attentions.0.proj_in.weight"
    site = Site("unet", name, (part.shape(name)[0], part.shape(name)[1]), "F32", "k")
    factors = tiny_files.factors_for("low-rank", [site])
    record = site_record(site, part.read(name).reshape(site.shape), factors, 0)
    delta = tiny_files.sealed(replace(world.delta, sites=(record,), factors={"text": factors}))
    write_delta(delta, tmp_path / "c.safetensors")
    assert plan_apply([delta], open_model(world.exports["dynamo"])).tier == "exact"
    with tiny_files.refused("E668") as error:
        api.make_lora_ready(str(world.exports["dynamo"]), tmp_path / "out.onnx", tmp_path / "c.safetensors")
    assert "Conv" in error.diagnostics[0].notes[0]
    assert not list(tmp_path.glob("*out*"))


def test_an_adapter_comes_out_the_same_every_time(world: World, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.onnx_adapter", "b.onnx_adapter")]
    for path in paths:
        export(Job(world.delta, world.base, path), "onnx-adapter")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tiny_files.refused("E678"):
        export(Job(world.delta, world.base, tmp_path / "c.onnx_adapter", "BF16"), "onnx-adapter")
