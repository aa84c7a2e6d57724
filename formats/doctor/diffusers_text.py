"""What diffusers 0.42.1 does with the text encoders' part of an adapter. It converts names twice, and guesses the
spelling each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from editc.formats.doctor.models import LEAVES, PROJECTION, KnownModules
from editc.formats.doctor.rules_diffusers import (
    ALPHA,
    APPLIES,
    DROPPED,
    SHAPE,
    TEXT_LEVEL,
    TEXT_MIXED,
    TEXT_TYPE,
    UNKNOWN,
    LoaderStop,
)
from editc.formats.doctor.spelling import AdapterFile, FileModule
from editc.formats.doctor.verdict import (
    ModuleRow,
    fits,
    lost_row,
    meant_scale,
    scaled_row,
)
from editc.formats.exports.kohya_names import flatten

Scales: TypeAlias = Callable[[Mapping[str, int], Mapping[str, float], Callable[[str], bool]], dict[str, float]]
"""(ranks, alphas, reached) -> the scale of each module; see `diffusers.scales`."""
_TYPE_ERROR = "ValueError: Could not automatically infer state dict type"
"""The error of diffusers when it recognises no spelling."""


def text_rows(
    adapter: AdapterFile, known: KnownModules, modules: Sequence[FileModule], scales: Scales
) -> Iterator[ModuleRow]:
    """Predict what becomes of both text encoders' modules, in the order in which the pipeline loads them."""
    for component in ("text_encoder", "text_encoder_2"):
        prefixes = ("lora_te2_",) if component.endswith("_2") else ("lora_te_", "lora_te1_")
        mine = [m for m in modules if m.name.startswith((f"{component}.", *prefixes))]
        if mine:
            yield from _encoder(adapter, known, component, mine, scales)


def _encoder(
    adapter: AdapterFile, known: KnownModules, component: str, mine: Sequence[FileModule], scales: Scales
) -> Iterator[ModuleRow]:
    """Predict what becomes of one text encoder's modules. Raises LoaderStop if diffusers raises an error."""
    table = _spell_targets(known, component)
    leaves = {module.name: _leaf(module.name) for module in mine}
    old = any(m.style == "kohya" and leaves[m.name] == "out_proj" for m in mine)
    peft = any(m.style == "peft" for m in mine)
    layered = any(_is_layer_style(m, leaves[m.name]) for m in mine)
    attended = any(m.style == "peft" and leaves[m.name].endswith("_proj") for m in mine)
    if not (old or layered or attended):
        raise LoaderStop(TEXT_TYPE, _TYPE_ERROR)
    placed = {m.name: table.get(m.name) for m in mine}
    attention = {m.name for m in mine if leaves[m.name].endswith("_proj") or _is_projection(m)}
    skipped = {m.name for m in mine if m.style == "kohya" and m.name in attention and not old}
    leveled = component == "text_encoder_2" or known.kind == "sd3"
    if leveled and peft and not any(".text_model." in m.name for m in mine):
        raise LoaderStop(TEXT_LEVEL, "IndexError: list index out of range")
    if not any(placed[m.name] and m.name not in skipped for m in mine):
        raise LoaderStop(UNKNOWN, "IndexError: list index out of range")
    ranks = {m.name: m.rank for m in mine}
    common = Counter(m.rank for m in mine if not _is_projection(m)).most_common(1)
    if common and any(_is_projection(m) and placed[m.name] and m.rank != common[0][0] for m in mine):
        raise LoaderStop(SHAPE, "RuntimeError: size mismatch for text_projection")
    alphas = {m.name: m.alpha for m in mine if m.alpha is not None}
    found = scales(ranks, alphas, lambda name: not leaves[name].endswith("_proj"))
    for module in mine:
        yield _row(adapter, known, module, placed[module.name], module.name in skipped, found[module.name])


def _row(
    adapter: AdapterFile, known: KnownModules, module: FileModule, target: str | None, skipped: bool, scale: float
) -> ModuleRow:
    """Predict what becomes of one module. `skipped`: diffusers does not convert it, by the rule TEXT_MIXED."""
    if skipped:
        return lost_row(module, TEXT_MIXED)
    if target is None:
        return lost_row(module, UNKNOWN)
    if not fits(module, known.modules[target], strict=True):
        raise LoaderStop(SHAPE, f"RuntimeError: size mismatch for {target}")
    if ".dora_scale" in module.tensors:
        return ModuleRow(module.name, "wrong", DROPPED, target, scale)
    return scaled_row(module, target, scale, meant_scale(adapter, module, target.partition(".")[0]), APPLIES, ALPHA)


def _spell_targets(known: KnownModules, component: str) -> Mapping[str, str]:
    """Every spelling of a text encoder's matrices -> the module. Spellings without `text_model.` count only for an
    encoder without that level."""
    table: dict[str, str] = {}
    for module in known.modules:
        head, _, name = module.partition(".")
        if head == component and name == PROJECTION:
            for prefix in ("lora_te2_",) if component.endswith("_2") else ("lora_te_", "lora_te1_"):
                table[prefix + PROJECTION] = module
            table[module] = module
        if head != component or not name.endswith(LEAVES):
            continue
        table[module] = module
        for prefix in ("lora_te2_",) if component.endswith("_2") else ("lora_te_", "lora_te1_"):
            table[prefix + flatten(name)] = module
        if component == "text_encoder" and known.kind != "sd3":
            short = name.removeprefix("text_model.")
            table |= dict.fromkeys(
                (f"{component}.{short}", f"lora_te_{flatten(short)}", f"lora_te1_{flatten(short)}"), module
            )
    return table


def _is_projection(module: FileModule) -> bool:
    """True for the matrix behind the text encoder."""
    return module.name.endswith(PROJECTION)


def _leaf(name: str) -> str:
    """The last part of a matrix's name: q_proj, k_proj, v_proj, out_proj, fc1 or fc2; '' for others."""
    return next((leaf.split(".")[1] for leaf in LEAVES if flatten(name).endswith(flatten(leaf))), "")


def _is_layer_style(module: FileModule, leaf: str) -> bool:
    """True if the module has the style `layer`, or is an MLP matrix in kohya's style. By either, diffusers recognises a
    spelling."""
    return module.style == "layer" or (module.style == "kohya" and leaf in ("fc1", "fc2"))
