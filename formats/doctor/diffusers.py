"""The rules of diffusers 0.42.1 (`load_lora_weights`) for the UNets of Stable Diffusion. The tests run every rule.

diffusers converts kohya's names. It finds all other names by their prefix (`unet.`, `text_encoder.`), and leaves out
names without such a prefix, with no message. A single tensor of a wrong kind can raise a ValueError.
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
"""The beginnings of kohya's names."""
FIRST = "default_0"
"""The name that diffusers gives to the first adapter it loads."""
_ALGEBRAIC = {end for ends in ALGEBRAS.values() for end in ends}
"""The endings of adapters that are not pairs of matrices, such as LoHa."""
_LDM_BLOCKS, _DIFFUSERS_BLOCKS = (
    ("input_blocks", "middle_block", "output_blocks"),
    ("down_blocks", "mid_block", "up_blocks"),
)
"""The names of a UNet's blocks in LDM, and in diffusers."""
_LDM_ALWAYS_MAPPED = {"time_embed.0", "time_embed.2", "input_blocks.0.0", "out.2", "label_emb.0.0", "label_emb.0.2"}
"""LDM names that the converter also maps for SD 1, where it does not count blocks."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """Predict what a diffusers pipeline's `load_lora_weights` does with the adapter."""
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
    """Module -> its scale alpha / rank, as diffusers' `get_peft_kwargs` and PEFT's patterns compute it.

    A single alpha is used for all modules. Of several alphas the most common is used (the first among equals), and the
    others become patterns. PEFT finds a module by its pattern only if `reached` says so. Without any alpha every module
    has scale 1.
    """
    if not alphas:
        return dict.fromkeys(ranks, 1.0)
    common = Counter(alphas.values()).most_common(1)[0][0]
    own = {name: alphas.get(name, common) if reached(name) else common for name in ranks}
    return {name: own[name] / rank for name, rank in ranks.items()}


def _unet_rows(adapter: AdapterFile, known: KnownModules) -> Iterator[ModuleRow]:
    """Predict what becomes of each module. Raises LoaderStop if diffusers raises an error."""
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
    """The same for a file in kohya's names, which diffusers converts."""
    mixed = known.kind == "sdxl" and _has_names(adapter, _LDM_BLOCKS) and _has_names(adapter, _DIFFUSERS_BLOCKS)
    dropped = [module for module in adapter if mixed and any(block in module.name for block in _LDM_BLOCKS)]
    read = [module for module in adapter if not mixed or not any(block in module.name for block in _LDM_BLOCKS)]
    for module in read:
        _check_kohya_tensors(module)
    table = _kohya_table(known)
    mine = [module for module in read if module.name.startswith("lora_unet_")]
    alphas = {module.name: module.alpha for module in mine if module.alpha is not None}
    if adapter.diffusers_metadata is not None and any(module.alpha is not None for module in read):
        raise LoaderStop(ALPHA_AND_METADATA, "ValueError: Both `network_alphas` and `metadata` cannot be specified.")
    yield from _judge_modules(adapter, known, mine, {m.name: table.get(m.name) for m in mine}, alphas, "unet")
    yield from text_rows(
        adapter, known, [module for module in read if not module.name.startswith("lora_unet_")], scales
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
    """Predict what becomes of one component's modules, in the order of PEFT's checks: targets, shapes, unexpected
    names. `table`: module -> the module of diffusers that it is, or None. `alphas`: module -> its own alpha, if it has
    one."""
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
    """True for projections whose alpha pattern keeps the ending `_lora.down.weight`, so that PEFT never finds them."""
    return target.endswith((".to_q", ".to_k", ".to_v", ".to_out.0"))


def _kohya_table(known: KnownModules) -> dict[str, str]:
    """kohya's names -> the UNet's modules, for the names that the converter knows."""
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
    """The module of diffusers behind the name `unet.<name>`, or None."""
    plain = name.replace(".processor.", ".")
    plain = f"{plain}.0" if plain.endswith(".to_out") else plain
    return plain if plain in known.modules else None


def _is_converted(mine: Sequence[FileModule], module: FileModule) -> bool:
    """True if diffusers converts the module's spelling. Old spellings are converted only if the file's first module has
    one."""
    new = ("peft", "named")
    return module.style in new or (module.style in ("dotted", "processor") and mine[0].style not in new)


def _check_lora_in_names(names: Sequence[str]) -> None:
    """Raise LoaderStop if a tensor's name lacks 'lora', as diffusers does."""
    bad = [name for name in names if "lora" not in name]
    if bad:
        rule = LYCORIS if any(split_name(name)[1] in _ALGEBRAIC for name in bad) else LORA_IN_NAME
        raise LoaderStop(rule, "ValueError: Invalid LoRA checkpoint. Make sure all LoRA param names contain `'lora'`")


def _check_kohya_tensors(module: FileModule) -> None:
    """Raise LoaderStop unless a kohya module has down and up, and nothing else but an alpha and DoRA's scale."""
    ends = {end for end in module.tensors if end != ".dora_scale"}
    if ".lora_down.weight" in ends and ".lora_up.weight" not in ends:
        raise LoaderStop(HALF, f"KeyError: '{module.name}.lora_up.weight'")
    if not ends <= {".lora_down.weight", ".lora_up.weight", ".alpha"} or ".lora_down.weight" not in ends:
        raise LoaderStop(LEFTOVER, "ValueError: The following keys have not been correctly renamed")


def _has_names(adapter: AdapterFile, parts: Sequence[str]) -> bool:
    """True if a module's name contains one of `parts`."""
    return any(part in split_name(name)[0] for name in adapter.names for part in parts)
