"""What programs make of an export: merged, fused or painted with, it is what `apply` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_cases
import numpy as np
import torch
from export_cases import assert_whole, edit, results

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.doctor.examine import examine
from editc.formats.exports.format import Job
from editc.formats.exports.write import export
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes

models = export_cases.models


def test_transposed_matrices_go_through_peft(models: Any, tmp_path: Path) -> None:
    """GPT-2 stores (d_in, d_out); its edit is low-rank in the layer's own sense, and merged it is what apply writes."""
    model = models("gpt2")
    delta = edit(model, "gpt2", "low-rank", (1, 2, 9))
    assert_whole(export(Job(delta, model, tmp_path / "export"), "peft"), len(delta.sites))
    assert (
        next(one for one in examine(tmp_path / "export", model).verdicts if one.loader == "PEFT").outcome == "applies"
    )
    merged = merge(model, tmp_path / "export")
    for name, values in results(model, delta).items():
        assert np.abs(merged[name].T - values).max() < 1e-6


def merge(model: Model, folder: Path) -> dict[str, Any]:
    import peft
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(base, folder).merge_and_unload()
    return {name: values.double().numpy() for name, values in merged.state_dict().items()}


def test_peft_merges_to_base_plus_delta_and_transformers_loads_it(models: Any, tmp_path: Path) -> None:
    """Every tensor of a real Llama, edited or not; and the adapter answers as the edited checkpoint does."""
    import transformers

    model = models("llama")
    delta = edit(model, "llama", "low-rank", (1, 2, 3, 9))
    made = export(Job(delta, model, tmp_path / "export"), "peft")
    assert_whole(made, len(delta.sites))
    assert "--max-lora-rank" not in " ".join(made.written.notes) and len(made.written.delta.factors) == 1
    wanted, merged = results(model, delta), merge(model, tmp_path / "export")
    base = transformers.AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    assert wanted.keys() < merged.keys()
    for name, values in base.state_dict().items():
        assert np.abs(merged[name] - wanted.get(name, values.double().numpy())).max() < 1e-6
    tokens = torch.arange(12)[None]
    before = base(tokens).logits
    base.load_adapter(str(tmp_path / "export"))
    apply(plan_apply([delta], model), tmp_path / "edited")
    edited = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "edited", dtype=torch.float32)
    with torch.no_grad():
        assert (base(tokens).logits - edited(tokens).logits).abs().max() < 1e-5
        assert (before - edited(tokens).logits).abs().max() > 1e-3


def test_ranks_above_sixteen_are_told_to_vllm_users(models: Any, tmp_path: Path) -> None:
    model = models("llama")
    made = export(Job(edit(model, "llama", "low-rank", (17,)), model, tmp_path / "export"), "peft", tried=False)
    assert made.written.notes == ("vLLM needs --max-lora-rank 32",)


# ---------------------------------------------------------------- whole pipelines


def test_a_pipeline_paints_alike_with_the_adapter_and_with_the_checkpoint(models: Any, tmp_path: Path) -> None:
    """load_lora_weights of the kohya file against from_pretrained of the edited model, every step and the decoder."""
    model = models("sd1")
    delta = edit(model, "sd1")
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    export(Job(delta, model, tmp_path / "edited"), "checkpoint", tried=False)
    plain, edited, adapted = (
        paint(model.path),
        paint(tmp_path / "edited"),
        paint(model.path, tmp_path / "k.safetensors"),
    )
    assert np.abs(adapted - edited).max() < 1e-4 < 5e-3 < np.abs(plain - edited).max()


def paint(folder: Path, adapter: Path | None = None) -> Any:
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)
    noise = torch.Generator().manual_seed(0)
    return pipeline("a circle", num_inference_steps=4, generator=noise, output_type="np").images


def test_what_a_pipeline_fuses_is_what_apply_writes(models: Any, tmp_path: Path) -> None:
    """In float32 diffusers' own fuse_lora comes within a few steps of the number format."""
    import diffusers

    model = models("sd1")
    delta = edit(model, "sd1")
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model.path, dtype=torch.float32)
    pipeline.load_lora_weights(str(tmp_path), weight_name="k.safetensors")
    pipeline.fuse_lora()
    held = {n.replace(".base_layer", ""): v.double().numpy() for n, v in pipeline.unet.state_dict().items()}
    for name, values in results(model, delta).items():
        assert np.abs(held[name] - dtypes.round_to(values, "F32")).max() <= 4 * np.spacing(
            np.float32(np.abs(values).max())
        )
