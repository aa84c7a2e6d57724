"""diffusers 0.42.1 and transformer models: FLUX.1 converts kohya's fused names, SD3 takes `transformer.` names only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from editc.formats.doctor.diffusers_text import text_rows
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.rules_diffusers import (
    ALIEN,
    APPLIES,
    BARE,
    COMPILED,
    DROPPED,
    FLUX_BASE,
    FLUX_FLAT,
    FLUX_KOHYA,
    FLUX_MIXTURE,
    FLUX_SINGLE,
    HALF,
    LORA_IN_NAME,
    LOST_ALPHA,
    NAMED,
    NO_MATCH,
    RANK_STATED,
    SHAPE,
    UNKNOWN,
    Stop,
    stated_settings,
)
from editc.formats.doctor.spelling import AdapterFile, Module
from editc.formats.doctor.verdict import (
    ModuleRow,
    config_rank,
    config_scale,
    fits,
    lost_row,
    meant_scale,
    scaled_row,
    untold,
)
from editc.formats.exports.kohya_names import flatten

FIRST = "default_0"
TEXTS = ("text_encoder.", "text_encoder_2.")
FLUX_ROWS = 3 * 3072 + 12288
"""Rows of `single_blocks.*.linear1` that the converter can split."""


def transformer_rows(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """What FluxLoraLoaderMixin or SD3LoraLoaderMixin makes of each module."""
    names = [name for name in adapter.names if "dora_scale" not in name]
    flux = known.kind == "flux"
    if flux and any(".lora_down.weight" in name for name in names):
        return _kohya(adapter, known)
    if flux and any("base_model" in name for name in names):
        raise Stop(FLUX_BASE, "KeyError: 'base_model.model.double_blocks.0.img_mod.lin.lora_A.weight'")
    told = any("lora" in name for name in names) if flux else all("lora" in name for name in names)
    if not told:
        raise Stop(LORA_IN_NAME, "ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'`")
    return _judge_prefixed(adapter, known)


def _kohya(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    if any(module.name.startswith("transformer.") for module in adapter):
        return _judge_prefixed(adapter, known)
    half = next((m for m in adapter if ".lora_down.weight" in m.tensors and ".lora_up.weight" not in m.tensors), None)
    if half is not None:
        raise Stop(HALF, f"KeyError: '{half.name}.lora_up.weight'")
    if any(module.name.startswith("transformer_") for module in adapter):
        return iter([untold(module, FLUX_FLAT) for module in adapter])
    if any(module.name.startswith("lora_transformer_") for module in adapter):
        return _onetrainer(adapter, known)
    return _judge_fused(adapter, known)


def _judge_fused(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    table = {flatten(original): parts for original, parts in known.originals.items()}
    texts = [module for module in adapter if module.name.startswith(("lora_te_", "lora_te1_"))]
    for module in adapter:
        if module.name.startswith(("lora_te_", "lora_te1_")):
            continue
        plain = flatten(module.name.replace("diffusion_model.", "lora_unet_"))
        parts = table.get(plain.removeprefix("lora_unet_"), ())
        if not parts or module.style != "kohya":
            raise Stop(FLUX_KOHYA, f"ValueError: Incompatible keys detected: {module.name}")
        if plain.endswith("_linear1") and module.up[0] != FLUX_ROWS:
            raise Stop(FLUX_SINGLE, "AssertionError")
        if not fits(module, known.shape(parts), strict=True):
            raise Stop(SHAPE, f"RuntimeError: size mismatch for {parts[0]}")
        yield _loaded_row(adapter, module, " + ".join(parts))
    yield from text_rows(adapter, known, texts, fold_alphas)


def fold_alphas(ranks: Mapping[str, int], alphas: Mapping[str, float], _: Callable[[str], bool]) -> dict[str, float]:
    """FLUX's converter multiplies each alpha into its own matrices, so that every module has its own scale."""
    return {name: alphas.get(name, rank) / rank for name, rank in ranks.items()}


def _onetrainer(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    table = {
        f"lora_transformer_{flatten(m.partition('.')[2])}": m for m in known.modules if m.startswith("transformer.")
    }
    for module in adapter:
        target = table.get(module.name)
        inner = target is not None and "transformer_blocks." in target and ".attn." not in target
        if target is None:
            raise Stop(FLUX_MIXTURE, f"NotImplementedError: Handling for key ({module.name})")
        if inner or module.alpha is None:
            raise Stop(FLUX_MIXTURE, f"KeyError: '{module.name}'")
        yield _loaded_row(adapter, module, target)


def _judge_prefixed(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    mine = [module for module in adapter if module.name.startswith("transformer.")]
    half = next((m for m in mine if m.kind == "half" and ".lora_A.weight" in m.tensors), None)
    if half is not None and known.kind == "flux":
        raise Stop(HALF, f"KeyError: '{half.name.partition('.')[2]}.lora_B.weight'")
    if mine and all(COMPILED in module.name for module in mine):
        yield from (lost_row(module, NAMED) for module in mine)
    elif mine and not any(module.name in known.modules for module in mine):
        raise Stop(NO_MATCH, "NoMatchingPeftModuleError: Target modules {...} not found in the base model.")
    else:
        yield from _judge_known(adapter, known, mine)
    texts = [module for module in adapter if module.name.startswith(TEXTS)]
    yield from text_rows(adapter, known, texts, fold_alphas)
    yield from (lost_row(module, BARE) for module in adapter if not module.name.startswith(("transformer.", *TEXTS)))


def _judge_known(adapter: AdapterFile, known: KnownModules, mine: Sequence[Module]) -> Iterator[ModuleRow]:
    for module in mine:
        if module.name not in known.modules or not module.style:
            yield lost_row(module, UNKNOWN)
        elif module.style == "named" and module.adapter_name != FIRST:
            yield lost_row(module, NAMED)
        elif not fits(module, known.modules[module.name], strict=True):
            raise Stop(SHAPE, f"RuntimeError: size mismatch for {module.name}")
        else:
            yield _loaded_row(adapter, module, module.name)


def _loaded_row(adapter: AdapterFile, module: Module, target: str) -> ModuleRow:
    scale = 1.0 if module.alpha is None else module.alpha / module.rank
    if module.name == target and module.style == "kohya":
        scale = 1.0
    if adapter.stated is not None and module.alpha is not None and module.style != "kohya":
        raise Stop(ALIEN, "ValueError: Both `network_alphas` and `metadata` cannot be specified.")
    stated = stated_settings(adapter, "transformer")
    if stated is not None:
        name = target.partition(".")[2]
        if config_rank(stated, name) != module.rank:
            raise Stop(RANK_STATED, f"RuntimeError: size mismatch for {target}")
        scale = config_scale(stated, name)
    if ".dora_scale" in module.tensors:
        return ModuleRow(module.name, "wrong", DROPPED, target, scale)
    return scaled_row(module, target, scale, meant_scale(adapter, module, "transformer"), APPLIES, LOST_ALPHA)
