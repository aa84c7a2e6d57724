"""The two spellings of a UNet: diffusers' own converter, on the published configurations, is the judge."""

from __future__ import annotations

from typing import Any

import ldm_files
import pytest
import torch

from editc.formats.models import ldm_file, ldm_names
from editc.formats.models.ldm_names import is_ldm, to_diffusers, to_ldm

CONFIGS: dict[str, dict[str, Any]] = {
    "sd1": ldm_files.SD1,
    "sd2": ldm_files.SD2,
    "sd2 unclip": {**ldm_files.SD2, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048},
    "sd2 upscaler": {**ldm_files.SD2, "num_class_embeds": 1000, "in_channels": 7},
    "sdxl": ldm_files.SDXL,
    "sdxl refiner": {
        "block_out_channels": (384, 768, 1536, 1536),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": 4,
        "attention_head_dim": [6, 12, 24, 24],
        "cross_attention_dim": 1280,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
    },
    "pico sdxl": ldm_files.PICO_SDXL,
    "one resnet a level": {**ldm_files.PICO_SD1, "layers_per_block": 1},
    "two levels": {
        "block_out_channels": (32, 64),
        "layers_per_block": 3,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": 32,
    },
}
TENSORS = {"sd1": 686, "sd2": 686, "sdxl": 1680}
"""As the published checkpoints have them."""


def names_of(config: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Every parameter's name, and the configuration with its defaults; nothing is allocated."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    return list(unet.state_dict()), dict(unet.config)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_name_is_the_one_that_diffusers_reads(kind: str) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    names, config = names_of(CONFIGS[kind])
    ldm = to_ldm(names)
    assert set(ldm) == set(names) and len(set(ldm.values())) == len(names) == TENSORS.get(kind, len(names))
    stored = {f"model.diffusion_model.{ldm[name]}": (name,) for name in names}
    assert convert_ldm_unet_checkpoint(stored, config) == {name: (name,) for name in names}
    assert to_diffusers(ldm.values()) == {new: name for name, new in ldm.items()}
    assert is_ldm(ldm.values()) and not is_ldm(names)


@pytest.mark.parametrize(
    ("kind", "diffusers", "ldm"),
    [
        ("sd1", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", "input_blocks.1.1.transformer_blocks.0"),
        ("sd1", "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k", "output_blocks.11.1.transformer_blocks.0"),
        ("sd2", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k", "middle_block.1.transformer_blocks.0"),
        ("sdxl", "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k", "input_blocks.4.1.transformer_blocks.1"),
        ("sdxl", "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k", "input_blocks.8.1.transformer_blocks.9"),
        ("sdxl", "mid_block.attentions.0.transformer_blocks.9.attn2.to_k", "middle_block.1.transformer_blocks.9"),
        ("sdxl", "up_blocks.1.attentions.2.transformer_blocks.1.attn2.to_k", "output_blocks.5.1.transformer_blocks.1"),
    ],
)
def test_names_that_are_in_every_published_file(kind: str, diffusers: str, ldm: str) -> None:
    names, _ = names_of(CONFIGS[kind])
    assert to_ldm(names)[f"{diffusers}.weight"] == f"{ldm}.attn2.to_k.weight"


def test_the_added_embedding_is_sdxl_s_and_the_class_embedding_is_not() -> None:
    for kind, home in (("sdxl", "add_embedding"), ("sdxl refiner", "add_embedding"), ("sd2 unclip", "class_embedding")):
        ldm = to_ldm(names_of(CONFIGS[kind])[0])
        assert to_diffusers(ldm.values())["label_emb.0.2.bias"] == f"{home}.linear_2.bias"


def test_other_spellings_of_a_norm_are_the_same_place() -> None:
    ldm = set(to_ldm(names_of(CONFIGS["sd1"])[0]).values())
    norm = "input_blocks.1.1.transformer_blocks.0.norm2"
    assert f"{norm}.weight" in ldm
    for scale in ("gamma", "alpha"):
        old = [n.replace(f"{norm}.weight", f"{norm}.{scale}").replace(f"{norm}.bias", f"{norm}.beta") for n in ldm]
        new = to_diffusers(old)
        assert new[f"{norm}.{scale}"] == "down_blocks.0.attentions.0.transformer_blocks.0.norm2.weight"
        assert new[f"{norm}.beta"] == "down_blocks.0.attentions.0.transformer_blocks.0.norm2.bias"
        assert set(new.values()) == set(to_diffusers(ldm).values())
    with pytest.raises(ValueError, match="same place"):
        to_diffusers([*ldm, f"{norm}.gamma"])


def test_names_of_other_things_have_no_other_spelling() -> None:
    names, _ = names_of(CONFIGS["sd1"])
    assert set(to_ldm([*names, "vae.weight", "x"])) == set(names)
    assert "zero_convs.0.0.weight" not in to_diffusers([*to_ldm(names).values(), "zero_convs.0.0.weight"])
    for few in ([], ["down_blocks.0.attentions.0.norm.weight"], [n for n in names if "up_blocks.1." not in n]):
        with pytest.raises(ValueError, match="resnet"):
            to_ldm(few)


def test_a_control_net_and_other_single_files_are_no_ldm_unet() -> None:
    ldm = to_ldm(names_of(CONFIGS["sd1"])[0]).values()
    assert ldm_file.find_components(f"model.diffusion_model.{n}" for n in ldm).keys() == {"unet"}
    assert ldm_file.find_components(ldm).keys() == {"unet"}, "a UNet alone may come without its prefix"
    assert ldm_file.find_components(f"control_model.{n}" for n in ldm) == {}
    assert ldm_file.find_components(n for n in ldm if "output" not in n and not n.startswith("out.")) == {}
    assert ldm_file.find_components(["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"]) == {}
    assert ldm_file.find_components([]) == {}


def test_the_label_embedding_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per UNet and not once per name, which took time quadratic in the number of names."""
    calls: list[int] = []
    whole = ldm_names._label_module

    def counted(names: list[str]) -> str:
        calls.append(len(names))
        return whole(names)

    monkeypatch.setattr(ldm_names, "_label_module", counted)
    names = [f"input_blocks.{k}.0.in_layers.0.weight" for k in range(1, 4)]
    assert len(to_diffusers(names)) == 3 and calls == [3]
