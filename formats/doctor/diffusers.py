"""The rules of diffusers 0.42.1 (`load_lora_weights`) for Stable Diffusion's UNets; every rule is run in the tests.

kohya's names are converted, all others are taken by their prefix (`unet.`, `text_encoder.`), and what has no prefix of
a part of the pipeline is left out without a word. One tensor too many of the wrong kind is a ValueError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from editc.formats.doctor.diffusers_text import text_rows
from editc.formats.doctor.diffusers_transformer import transformer_rows
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.rules_diffusers import (
    ADVICE,
    ALPHA,
    ALPHA_AND_METADATA,
    APPLIES,
    BARE,
    COMPILED,
    DORA,
    DROPPED,
    ENDINGS,
    GGUF,
    HALF,
    LDM_MIXED,
    LEFTOVER,
    LORA_IN_NAME,
    LYCORIS,
    NAMED,
    NO_MATCH,
    RANK_STATED,
    SHAPE,
    UNKNOWN,
    LoaderStop,
    stated_settings,
)
from editc.formats.doctor.spelling import ALGEBRAS, AdapterFile, FileModule, split_name
from editc.formats.doctor.verdict import (
    LoaderVerdict,
    ModuleRow,
    conclude,
    config_rank,
    config_scale,
    fits,
    lost_row,
    meant_scale,
    no_verdict,
    refuse,
    scaled_row,
)
from editc.formats.exports.kohya_names import flatten

LOADER = "diffusers"
KOHYA = ("lora_te_", "lora_unet_", "lora_te1_", "lora_te2_")
FIRST = "default_0"
"""What diffusers calls the first adapter that it loads."""
_ALGEBRAIC = {end for ends in ALGEBRAS.values() for end in ends}
_LDM_BLOCKS, _DIFFUSERS_BLOCKS = (
    ("input_blocks", "middle_block", "output_blocks"),
    ("down_blocks", "mid_block", "up_blocks"),
)
_LDM_ALWAYS_MAPPED = {"time_embed.0", "time_embed.2", "input_blocks.0.0", "out.2", "label_emb.0.0", "label_emb.0.2"}
"""LDM names that the converter maps for SD 1 as well, where it does not count blocks."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """What a diffusers pipeline's `load_lora_weights` does with the adapter."""
    if adapter.container == "gguf":
        return refuse(LOADER, GGUF, "not a safetensors file", ADVICE[GGUF.name])
    if known.kind == "language":
        return no_verdict(LOADER, "for image models; this is for a language model")
    try:
        if known.kind == "unknown":
            _check_lora_in_names(adapter.names)
            return no_verdict(LOADER, known.why)
        rows = list(_unet_rows(adapter, known) if known.is_unet else transformer_rows(adapter, known))
    except LoaderStop as stop:
        return refuse(LOADER, stop.rule, stop.error, ADVICE.get(stop.rule.name, ""))
    return conclude(LOADER, rows, ADVICE)


def scales(ranks: Mapping[str, int], alphas: Mapping[str, float], reached: Callable[[str], bool]) -> dict[str, float]:
    """Module -> alpha over rank as `get_peft_kwargs` and PEFT's patterns have it.

    One alpha is for all; of several the commonest (the first of equals) is, and the others are patterns, which only the
    modules that `reached` says can be found by. Without any alpha every module has scale 1.
    """
    if not alphas:
        return dict.fromkeys(ranks, 1.0)
    common = Counter(alphas.values()).most_common(1)[0][0]
    own = {name: alphas.get(name, common) if reached(name) else common for name in ranks}
    return {name: own[name] / rank for name, rank in ranks.items()}


def _unet_rows(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    names = [name for name in adapter.names if "dora_scale" not in name]
    if all(name.startswith(KOHYA) for name in names):
        yield from _kohya_rows(adapter, known)
        return
    _check_lora_in_names(names)
    mine = [module for module in adapter if module.name.startswith("unet.")]
    texts = [module for module in adapter if module.name.startswith(("text_encoder.", "text_encoder_2."))]
    if mine and all(module.style == "kohya" for module in mine):
        raise LoaderStop(ENDINGS, "IndexError: list index out of range")
    table = {m.name: _find_module(m.name, known) if _is_converted(mine, m) else None for m in mine}
    yield from _judge_modules(adapter, known, mine, table, {}, "unet")
    yield from text_rows(adapter, known, texts, scales)
    placed = {module.name for module in (*mine, *texts)}
    yield from (lost_row(module, BARE) for module in adapter if module.name not in placed)


def _kohya_rows(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    mixed = known.kind == "sdxl" and _has_names(adapter, _LDM_BLOCKS) and _has_names(adapter, _DIFFUSERS_BLOCKS)
    dropped = [module for module in adapter if mixed and any(sgm in module.name for sgm in _LDM_BLOCKS)]
    kept = [module for module in adapter if not mixed or not any(sgm in module.name for sgm in _LDM_BLOCKS)]
    for module in kept:
        _check_kohya_tensors(module)
    table = _kohya_table(known)
    mine = [module for module in kept if module.name.startswith("lora_unet_")]
    alphas = {module.name: module.alpha for module in mine if module.alpha is not None}
    if adapter.diffusers_metadata is not None and any(module.alpha is not None for module in kept):
        raise LoaderStop(ALPHA_AND_METADATA, "ValueError: Both `network_alphas` and `metadata` cannot be specified.")
    yield from _judge_modules(adapter, known, mine, {m.name: table.get(m.name) for m in mine}, alphas, "unet")
    yield from text_rows(
        adapter, known, [module for module in kept if not module.name.startswith("lora_unet_")], scales
    )
    yield from (lost_row(module, LDM_MIXED) for module in dropped)


def _judge_modules(
    adapter: AdapterFile,
    known: KnownModules,
    mine: Sequence[FileModule],
    table: Mapping[str, str | None],
    alphas: Mapping[str, float],
    component: str,
) -> Iterator[ModuleRow]:
    """The rows of one component, in the order of PEFT's own checks: targets, then shapes, then what is left."""
    if mine and any(COMPILED in module.name for module in mine) and not any(table.values()):
        yield from (lost_row(module, NAMED) for module in mine)
        return
    if mine and not any(table.values()):
        raise LoaderStop(NO_MATCH, "NoMatchingPeftModuleError: Target modules {...} not found in the base model.")
    stated = stated_settings(adapter, component) if mine else None
    ranks = {module.name: module.rank for module in mine}
    reach = {name: not _keeps_tail(table[name] or "") for name in ranks}
    found = scales(ranks, alphas, reach.__getitem__)
    for module in mine:
        target = table[module.name]
        if target is None:
            yield lost_row(module, UNKNOWN)
            continue
        if not fits(module, known.modules[target], strict=True):
            raise LoaderStop(SHAPE, f"RuntimeError: size mismatch for {target}")
        if module.style == "named" and module.adapter_name != FIRST:
            yield lost_row(module, NAMED)
            continue
        name = target.partition(".")[2]
        if stated is not None and config_rank(stated, name) != module.rank:
            raise LoaderStop(RANK_STATED, f"RuntimeError: size mismatch for {target}")
        scale = found[module.name] if stated is None else config_scale(stated, name)
        if "dora_scale" in "".join(module.tensors):
            yield ModuleRow(module.name, "wrong", DROPPED, target, scale)
            continue
        right = DORA if module.kind == "dora" else APPLIES
        yield scaled_row(module, target, scale, meant_scale(adapter, module, component), right, ALPHA)


def _keeps_tail(target: str) -> bool:
    """The projections whose alpha pattern keeps the tail `_lora.down.weight`, so that PEFT never finds them."""
    return target.endswith((".to_q", ".to_k", ".to_v", ".to_out.0"))


def _kohya_table(known: KnownModules) -> dict[str, str]:
    """kohya's names that the converter turns into modules of the UNet."""
    own = {f"lora_unet_{flatten(m.removeprefix('unet.'))}": m for m in known.modules if m.startswith("unet.")}
    own = {name: module for name, module in own.items() if "add_embedding" not in name}
    counted = known.kind == "sdxl"
    old = {
        f"lora_unet_{flatten(o)}": parts[0]
        for o, parts in known.originals.items()
        if counted or o in _LDM_ALWAYS_MAPPED
    }
    return own | old


def _find_module(name: str, known: KnownModules) -> str | None:
    """The module behind `unet.<name>`, or None."""
    plain = name.replace(".processor.", ".")
    plain = f"{plain}.0" if plain.endswith(".to_out") else plain
    return plain if plain in known.modules else None


def _is_converted(mine: Sequence[FileModule], module: FileModule) -> bool:
    """Old spellings are converted only if the first tensor is of one."""
    new = ("peft", "named")
    return module.style in new or (module.style in ("dotted", "processor") and mine[0].style not in new)


def _check_lora_in_names(names: Sequence[str]) -> None:
    bad = [name for name in names if "lora" not in name]
    if bad:
        rule = LYCORIS if any(split_name(name)[1] in _ALGEBRAIC for name in bad) else LORA_IN_NAME
        raise LoaderStop(rule, "ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'`")


def _check_kohya_tensors(module: FileModule) -> None:
    """A kohya module is down, up and perhaps alpha, or nothing is loaded."""
    ends = {end for end in module.tensors if end != ".dora_scale"}
    if ".lora_down.weight" in ends and ".lora_up.weight" not in ends:
        raise LoaderStop(HALF, f"KeyError: '{module.name}.lora_up.weight'")
    if not ends <= {".lora_down.weight", ".lora_up.weight", ".alpha"} or ".lora_down.weight" not in ends:
        raise LoaderStop(LEFTOVER, "ValueError: The following keys have not been correctly renamed")


def _has_names(adapter: AdapterFile, parts: Sequence[str]) -> bool:
    return any(part in split_name(name)[0] for name in adapter.names for part in parts)
