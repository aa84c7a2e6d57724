"""What diffusers 0.42.1 does with adapters of transformers: for FLUX.1 it converts kohya's fused names; for SD3 it
takes only `transformer.` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from editc.formats.doctor.diffusers_text import text_rows
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.rules_diffusers import (
    ALPHA_AND_METADATA,
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
    LoaderStop,
    stated_settings,
)
from editc.formats.doctor.spelling import AdapterFile, FileModule
from editc.formats.doctor.verdict import (
    ModuleRow,
    config_rank,
    config_scale,
    fits,
    lost_row,
    meant_scale,
    scaled_row,
    unknown_row,
)
from editc.formats.exports.kohya_names import flatten

FIRST = "default_0"
"""The name that diffusers gives to the first adapter it loads."""
TEXTS = ("text_encoder.", "text_encoder_2.")
"""The beginnings of the names of text encoders' modules."""
FLUX_ROWS = 3 * 3072 + 12288
"""The rows of `single_blocks.*.linear1` that the converter can split: FLUX.1's own width."""


def transformer_rows(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what FluxLoraLoaderMixin or SD3LoraLoaderMixin does with each module. Raises LoaderStop if it raises an
    error."""
    names = [name for name in adapter.names if "dora_scale" not in name]
    flux = known.kind == "flux"
    if flux and any(".lora_down.weight" in name for name in names):
        return _judge_kohya(adapter, known)
    if flux and any("base_model" in name for name in names):
        raise LoaderStop(FLUX_BASE, "KeyError: 'base_model.model.double_blocks.0.img_mod.lin.lora_A.weight'")
    has_lora = any("lora" in name for name in names) if flux else all("lora" in name for name in names)
    if not has_lora:
        raise LoaderStop(
            LORA_IN_NAME, "ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'`"
        )
    return _judge_prefixed(adapter, known)


def _judge_kohya(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what FLUX.1's loader does with a file that has kohya's endings."""
    if any(module.name.startswith("transformer.") for module in adapter):
        return _judge_prefixed(adapter, known)
    half = next((m for m in adapter if ".lora_down.weight" in m.tensors and ".lora_up.weight" not in m.tensors), None)
    if half is not None:
        raise LoaderStop(HALF, f"KeyError: '{half.name}.lora_up.weight'")
    if any(module.name.startswith("transformer_") for module in adapter):
        return iter([unknown_row(module, FLUX_FLAT) for module in adapter])
    if any(module.name.startswith("lora_transformer_") for module in adapter):
        return _judge_onetrainer(adapter, known)
    return _judge_fused(adapter, known)


def _judge_fused(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what FLUX.1's loader does with kohya's names, where one module may be several of diffusers."""
    table = {flatten(original): parts for original, parts in known.originals.items()}
    texts = [module for module in adapter if module.name.startswith(("lora_te_", "lora_te1_"))]
    for module in adapter:
        if module.name.startswith(("lora_te_", "lora_te1_")):
            continue
        plain = flatten(module.name.replace("diffusion_model.", "lora_unet_"))
        parts = table.get(plain.removeprefix("lora_unet_"), ())
        if not parts or module.style != "kohya":
            raise LoaderStop(FLUX_KOHYA, f"ValueError: Incompatible keys detected: {module.name}")
        if plain.endswith("_linear1") and module.up[0] != FLUX_ROWS:
            raise LoaderStop(FLUX_SINGLE, "AssertionError")
        if not fits(module, known.shape(parts), strict=True):
            raise LoaderStop(SHAPE, f"RuntimeError: size mismatch for {parts[0]}")
        yield _loaded_row(adapter, module, " + ".join(parts))
    yield from text_rows(adapter, known, texts, folded_scales)


def folded_scales(ranks: Mapping[str, int], alphas: Mapping[str, float], _: Callable[[str], bool]) -> dict[str, float]:
    """The scale of each module where FLUX.1's converter multiplies each alpha into the module's own matrices: alpha /
    rank."""
    return {name: alphas.get(name, rank) / rank for name, rank in ranks.items()}


def _judge_onetrainer(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what FLUX.1's loader does with names that begin with `lora_transformer_`, which OneTrainer writes."""
    table = {
        f"lora_transformer_{flatten(m.partition('.')[2])}": m for m in known.modules if m.startswith("transformer.")
    }
    for module in adapter:
        target = table.get(module.name)
        inner = target is not None and "transformer_blocks." in target and ".attn." not in target
        if target is None:
            raise LoaderStop(FLUX_MIXTURE, f"NotImplementedError: Handling for key ({module.name})")
        if inner or module.alpha is None:
            raise LoaderStop(FLUX_MIXTURE, f"KeyError: '{module.name}'")
        yield _loaded_row(adapter, module, target)


def _judge_prefixed(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what the loader does with names that begin with `transformer.`, and with the text encoders' names."""
    mine = [module for module in adapter if module.name.startswith("transformer.")]
    half = next((m for m in mine if m.kind == "half" and ".lora_A.weight" in m.tensors), None)
    if half is not None and known.kind == "flux":
        raise LoaderStop(HALF, f"KeyError: '{half.name.partition('.')[2]}.lora_B.weight'")
    if mine and all(COMPILED in module.name for module in mine):
        yield from (lost_row(module, NAMED) for module in mine)
    elif mine and not any(module.name in known.modules for module in mine):
        raise LoaderStop(NO_MATCH, "NoMatchingPeftModuleError: Target modules {...} not found in the base model.")
    else:
        yield from _judge_known(adapter, known, mine)
    texts = [module for module in adapter if module.name.startswith(TEXTS)]
    yield from text_rows(adapter, known, texts, folded_scales)
    yield from (lost_row(module, BARE) for module in adapter if not module.name.startswith(("transformer.", *TEXTS)))


def _judge_known(adapter: AdapterFile, known: KnownModules, mine: Sequence[FileModule]) -> Iterator[ModuleRow]:
    """Predict what becomes of modules that the model may have."""
    for module in mine:
        if module.name not in known.modules or not module.style:
            yield lost_row(module, UNKNOWN)
        elif module.style == "named" and module.adapter_name != FIRST:
            yield lost_row(module, NAMED)
        elif not fits(module, known.modules[module.name], strict=True):
            raise LoaderStop(SHAPE, f"RuntimeError: size mismatch for {module.name}")
        else:
            yield _loaded_row(adapter, module, module.name)


def _loaded_row(adapter: AdapterFile, module: FileModule, target: str) -> ModuleRow:
    """Predict the scale of a module that is loaded as `target`. Raises LoaderStop if the loader raises an error."""
    scale = 1.0 if module.alpha is None else module.alpha / module.rank
    if module.name == target and module.style == "kohya":
        scale = 1.0
    if adapter.diffusers_metadata is not None and module.alpha is not None and module.style != "kohya":
        raise LoaderStop(ALPHA_AND_METADATA, "ValueError: Both `network_alphas` and `metadata` cannot be specified.")
    stated = stated_settings(adapter, "transformer")
    if stated is not None:
        name = target.partition(".")[2]
        if config_rank(stated, name) != module.rank:
            raise LoaderStop(RANK_STATED, f"RuntimeError: size mismatch for {target}")
        scale = config_scale(stated, name)
    if ".dora_scale" in module.tensors:
        return ModuleRow(module.name, "wrong", DROPPED, target, scale)
    return scaled_row(module, target, scale, meant_scale(adapter, module, "transformer"), APPLIES, LOST_ALPHA)
