"""ComfyUI's rules. ComfyUI looks for every name that it gives to a module, and warns in its log about the other names.

An unknown name is not an error, so a whole file can load and do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from editc.formats.doctor.advice import advise_conversion
from editc.formats.doctor.models import LEAVES, PROJECTION, KnownModules
from editc.formats.doctor.spelling import MAGNITUDES, AdapterFile, FileModule
from editc.formats.doctor.verdict import (
    LoaderRule,
    LoaderVerdict,
    ModuleRow,
    conclude,
    fits,
    lost_row,
    meant_scale,
    no_verdict,
    refuse,
    scaled_row,
)
from editc.formats.exports.kohya_names import flatten

LOADER = "ComfyUI"
_FIXTURES = "ComfyUI a125cd84, run on tests/fixtures/adapters"
"""The version of ComfyUI that was run, and on what."""
_KEYS = "comfy/lora.py: model_lora_keys_unet"
"""The place of the rules about names in ComfyUI's code."""

APPLIES = LoaderRule("comfyui-applies", "every name is one that ComfyUI looks for", f"{_KEYS}; {_FIXTURES}", "measured")
UNET_NAMES = LoaderRule(
    "comfyui-unet-names",
    "ComfyUI knows attention matrices as `unet.*.processor.to_k_lora`, not `unet.*.to_k`: a warning, image unchanged",
    f"{_KEYS}, `.replace('.to_', '.processor.to_')`; {_FIXTURES}",
    "measured",
)
UNKNOWN = LoaderRule(
    "comfyui-unknown",
    "the model has no such module: ComfyUI logs `lora key not loaded` and goes on",
    f"{_KEYS}; {_FIXTURES}",
    "measured",
)
SCALE = LoaderRule(
    "comfyui-scale",
    "ComfyUI reads alpha from `.alpha` tensors only, not from config or metadata; without them the scale is 1",
    "comfy/weight_adapter/lora.py: calculate_weight",
    "read",
)
MAGNITUDE = LoaderRule(
    "comfyui-magnitude",
    "ComfyUI reads DoRA only as `.dora_scale`: it drops PEFT's magnitude vector and applies a plain LoRA",
    "comfy/lora.py: load_lora",
    "read",
)
DORA = LoaderRule(
    "comfyui-dora", "ComfyUI applies DoRA scales", "comfy/weight_adapter/base.py: weight_decompose", "read"
)
DENSE = LoaderRule(
    "comfyui-dense", "dense `.diff` and `.set_weight` are added and copied", f"comfy/lora.py; {_FIXTURES}", "measured"
)
ALGEBRA = LoaderRule(
    "comfyui-algebra", "ComfyUI has LoHa, LoKr, GLoRA and OFT", "comfy/weight_adapter/__init__.py", "read"
)
SHAPE = LoaderRule(
    "comfyui-shape",
    "the shapes do not fit the weight: ComfyUI logs an error and does not change that weight",
    "comfy/lora.py: calculate_weight",
    "read",
)
GGUF = LoaderRule(
    "comfyui-gguf", "GGUF adapters are llama.cpp's; ComfyUI's loader reads safetensors", "comfy/utils.py", "read"
)
RULES = (APPLIES, UNET_NAMES, UNKNOWN, SCALE, MAGNITUDE, DORA, DENSE, ALGEBRA, SHAPE, GGUF)
"""All rules of this loader."""

ADVICE = {
    UNET_NAMES.name: advise_conversion("sd"),
    UNKNOWN.name: "compare the names with the model's; a UNet wants kohya's, FLUX and SD3 `transformer.*.lora_A/B`",
    SCALE.name: "write the scale into the up matrices, or `.alpha` tensors in kohya's spelling",
    MAGNITUDE.name: "rename the vectors to `.dora_scale`, or merge the adapter and export the difference as LoRA",
    SHAPE.name: "the adapter is for a model of another size",
}
"""Rule -> what the user can do."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """Predict what ComfyUI's LoRA loader does with the adapter."""
    if adapter.container == "gguf":
        return refuse(LOADER, GGUF, "not a safetensors file", "merge it with llama.cpp's tools")
    if known.kind == "language":
        return no_verdict(LOADER, "for image models; this is for a language model")
    if known.kind == "unknown" and adapter.container != "delta":
        return no_verdict(LOADER, known.why)
    table = names(known)
    return conclude(LOADER, [_row(module, adapter, known, table) for module in adapter], ADVICE)


def names(known: KnownModules) -> Mapping[str, tuple[str, ...]]:
    """Every name that ComfyUI looks for -> the modules of diffusers that it means."""
    table: dict[str, tuple[str, ...]] = {}
    for original, parts in known.originals.items():
        table |= {f"lora_unet_{flatten(original)}": parts, f"diffusion_model.{original}": parts}
    for module in known.modules:
        component, _, name = module.partition(".")
        for spelled in _spellings(known, component, name):
            table[spelled] = (module,)
    return table


def _spellings(known: KnownModules, component: str, name: str) -> tuple[str, ...]:
    """The names that ComfyUI gives to one module of a component."""
    if component == "unet":
        old = name.replace(".to_", ".processor.to_")
        old = old.removesuffix(".0") if old.endswith(".to_out.0") else old
        return (f"lora_unet_{flatten(name)}", f"lycoris_{flatten(name)}", old, f"unet.{old}")
    if component == "transformer":
        more = (f"base_model.model.{name}",) if known.kind == "sd3" else ()
        return (f"transformer.{name}", f"lora_transformer_{flatten(name)}", f"lycoris_{flatten(name)}", *more)
    if name == PROJECTION and component.startswith("text_encoder"):
        return ("lora_te2_text_projection" if component.endswith("_2") else "lora_te1_text_projection",)
    if component == "text_encoder" and name.endswith(LEAVES):
        return (f"lora_te_{flatten(name)}", f"lora_te1_{flatten(name)}", f"text_encoder.{name}")
    if component == "text_encoder_2" and name.endswith(LEAVES):
        return (f"lora_te2_{flatten(name)}", f"text_encoder_2.{name}")
    return ()


def _row(
    module: FileModule, adapter: AdapterFile, known: KnownModules, table: Mapping[str, tuple[str, ...]]
) -> ModuleRow:
    """Predict what becomes of one module."""
    parts = table.get(module.name)
    if parts is None:
        attention = known.is_unet and module.name.startswith("unet.") and ".to_" in module.name
        return lost_row(module, UNET_NAMES if attention else UNKNOWN)
    target = " + ".join(parts)
    if module.kind in ("dense", "set"):
        return ModuleRow(module.name, "applied", DENSE, target, 1.0, 1.0)
    if module.kind in ("loha", "lokr", "glora", "oft"):
        return ModuleRow(module.name, "applied", ALGEBRA, target)
    if module.kind not in ("lora", "dora"):
        return lost_row(module, UNKNOWN)
    if not fits(module, known.shape(parts), strict=False):
        return ModuleRow(module.name, "lost", SHAPE, target)
    scale = 1.0 if module.alpha is None else module.alpha / module.rank
    if any(end in module.tensors for end in MAGNITUDES[1:]):
        return ModuleRow(module.name, "wrong", MAGNITUDE, target, scale)
    right = DORA if module.kind == "dora" else APPLIES
    return scaled_row(module, target, scale, meant_scale(adapter, module, module.name.partition(".")[0]), right, SCALE)
