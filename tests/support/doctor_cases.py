"""Adapters that the doctor judges: what ComfyUI made of each, and the verdict of one loader."""

from __future__ import annotations

from pathlib import Path

from adapter_cases import Tensors, write
from places import FIXTURES

from editc.formats.doctor import a1111, comfyui, peft, rules_diffusers, vllm
from editc.formats.doctor.examine import examine
from editc.formats.doctor.verdict import LoaderVerdict

MODULES = (rules_diffusers, comfyui, a1111, peft, vllm)
DELTA = FIXTURES / "deltas" / "v1" / "shared.safetensors"
MEASURED = {
    "kohya.safetensors": (32, 32),
    "kohya_noalpha.safetensors": (32, 32),
    "sd15/diffusers_processor.safetensors": (32, 32),
    "sd15/diffusers_peft.safetensors": (0, 32),
    "sd15/diffusers_peft_meta.safetensors": (0, 32),
    "sd15/kohya_diff.safetensors": (32, 32),
    "sd15/comfy_generic_lora.safetensors": (32, 32),
    "sd15/comfy_set_weight.safetensors": (32, 32),
    "sd15/bad_bare_peft_prefix.safetensors": (0, 32),
    "sd15/bad_unet_alpha.safetensors": (0, 32),
    "sdxl/kohya_po2_alpha1.safetensors": (56, 56),
    "sdxl/diffusers_peft_uniform.safetensors": (0, 56),
    "sdxl/bad_kohya_mixed_rank_alpha.safetensors": (56, 56),
    "flux/diffusers_peft.safetensors": (12, 12),
    "flux/kohya_fused_qkv.safetensors": (4, 4),
}
"""File -> modules that ComfyUI a125cd84 patched, of how many; it was run on these very files."""


def verdict(path: Path, loader: str) -> LoaderVerdict:
    return next(one for one in examine(path).verdicts if one.loader == loader)


def made(tmp_path: Path, tensors: Tensors) -> Path:
    return write(tmp_path / "adapter.safetensors", tensors)
