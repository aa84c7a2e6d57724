"""The nodes for ComfyUI, and models other than Stable Diffusion 1 in floats: FLUX.1, whose weights hold several
matrices, SDXL, and weights in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import comfy_cases as comfy
import consumer_models as pico
import pytest
import torch
from safetensors.torch import load_file, save_file

from editc import api
from editc.core.diagnostics import EditcError
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

edit, places = comfy.part_of_pack("edit"), comfy.part_of_pack("places")
JOINED = {
    "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{part}" for part in "qkv"],
    "single_blocks.0.linear1": [
        *(f"single_transformer_blocks.0.attn.to_{part}" for part in "qkv"),
        "single_transformer_blocks.0.proj_mlp",
    ],
    "txt_in": ["context_embedder"],
}
"""Module of FLUX's own code -> the modules of diffusers that it holds."""


def joined(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a FLUX of diffusers as ComfyUI has them."""
    return {
        f"diffusion_model.{new}.weight": torch.cat([tensors[f"{old}.weight"] for old in parts])
        for new, parts in JOINED.items()
    }


@pytest.fixture
def flux(tmp_path: Path) -> Path:
    """The transformer of a FLUX with a few matrices, in bfloat16, as the component of a folder."""
    torch.manual_seed(0)
    names = [f"{old}.weight" for parts in JOINED.values() for old in parts]
    rows = {name: 32 if "proj_mlp" in name else 8 for name in names}
    (tmp_path / "flux" / "transformer").mkdir(parents=True)
    weights = {name: torch.randn(rows[name], 8).bfloat16() for name in names}
    save_file(weights, tmp_path / "flux" / "transformer" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "flux" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    return tmp_path / "flux"


def test_a_delta_of_flux_sets_its_rows_of_the_weights_that_hold_several_matrices(flux: Path, tmp_path: Path) -> None:
    model = open_model(flux)
    chosen = [
        pico.site(model, "transformer", f"{name}.weight", "k")
        for name in (
            JOINED["double_blocks.0.img_attn.qkv"][1],
            *JOINED["single_blocks.0.linear1"][2:],
            "context_embedder",
        )
    ]
    delta = write_delta(pico.delta(model, "flux", chosen, "low-rank"), tmp_path / "delta.safetensors")
    api.apply(tmp_path / "delta.safetensors", flux, out=tmp_path / "applied")
    stored = "transformer/diffusion_pytorch_model.safetensors"
    patcher = comfy.ModelPatcher(comfy.Weights(joined(load_file(flux / stored))))
    edited = edit.apply_delta(delta, patcher)
    assert edited.changed == 4 and sorted(map(len, edited.model.patches.values())) == [1, 1, 2]
    wanted, found = joined(load_file(tmp_path / "applied" / stored)), edited.model.patch_model().state_dict()
    assert not [name for name, value in wanted.items() if not torch.equal(found[name], value)]


def test_the_two_encoders_of_sdxl_are_told_apart() -> None:
    leaf = "transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    found = places.clip_places({f"clip_l.{leaf}": (4, 2), f"clip_g.{leaf}": (8, 4)})
    name = leaf.removeprefix("transformer.")
    assert found["text_encoder", name].key == f"clip_l.{leaf}"
    assert found["text_encoder_2", name].key == f"clip_g.{leaf}"


class QuantizedTensor(torch.Tensor):  # type: ignore[misc]
    """As ComfyUI's: it says that its numbers are those of its original dtype."""


@pytest.mark.parametrize(
    ("pack", "code"),
    [(lambda value: value.to(torch.float8_e4m3fn), "E690"), (lambda value: value.as_subclass(QuantizedTensor), "E691")],
    ids=["8-bit floats", "a class of ComfyUI's"],
)
def test_quantised_weights_are_refused_with_what_to_do(
    pack: Callable[[torch.Tensor], torch.Tensor], code: str, tmp_path: Path
) -> None:
    file = comfy.demo_checkpoint(tmp_path)
    model = open_model(file)
    delta = write_delta(
        pico.delta(model, "sd1", pico.sites(model, "sd1")[:2], "shared"), tmp_path / "delta.safetensors"
    )
    patcher, _ = comfy.load_checkpoint(file)
    for name, value in patcher.model.state_dict().items():
        patcher.model.put(name, pack(value))
    with pytest.raises(EditcError) as refused:
        edit.apply_delta(delta, patcher)
    (one,) = refused.value.diagnostics
    assert one.code == code and "before they are quantised" in one.help
