"""The rules of PEFT 0.21.2 (`PeftModel.from_pretrained`). The config decides where the adapter goes, the file what it
holds.

The tests run every rule that is marked `run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from editc.formats.doctor.advice import AGAIN
from editc.formats.doctor.language import PREFIX, Shape
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.peft_config import (
    ALL,
    is_saved,
    is_targeted,
    modules_to_save,
    unknown_settings,
)
from editc.formats.doctor.spelling import (
    CONFIG,
    MAGNITUDES,
    WEIGHTS,
    AdapterFile,
    FileModule,
)
from editc.formats.doctor.verdict import (
    LoaderRule,
    LoaderVerdict,
    ModuleRow,
    conclude,
    config_rank,
    config_scale,
    fits,
    lost_row,
    no_verdict,
    refuse,
    unknown_row,
)
from editc.formats.models.program_names import apply_renamings

LOADER = "PEFT"
EXPERTS = ("gate", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "experts", "router")
"""Names of experts' matrices, and of the routers that choose experts."""
_SAVE, _TUNERS = "peft 0.21.2 utils/save_and_load.py", "peft 0.21.2 tuners/tuners_utils.py: inject_adapter"
"""The places of the rules in PEFT's code."""

APPLIES = LoaderRule("peft-applies", "the config targets every module of the file, at alpha over rank", _SAVE, "run")
FOLDER = LoaderRule("peft-folder", f"PEFT loads a folder with {CONFIG}, not a file", "peft 0.21.2 config.py", "run")
TYPE = LoaderRule("peft-type", "the config has no peft_type", "peft 0.21.2 config.py: _get_peft_type", "run")
OTHER = LoaderRule("peft-other", "a PEFT adapter that is not a LoRA: the doctor does not judge it", _SAVE, "read")
RANK = LoaderRule(
    "peft-rank", "the rank in the config is not that of the matrices", f"{_SAVE}: set_peft_model_state_dict", "run"
)
ZERO = LoaderRule("peft-rank-0", "PEFT refuses rank 0", "peft 0.21.2 tuners/lora/layer.py: update_layer", "run")
SHAPE = LoaderRule(
    "peft-shape", "a matrix has another shape than the model's", f"{_SAVE}: set_peft_model_state_dict", "run"
)
NO_MATCH = LoaderRule("peft-no-match", "target_modules matches no module of the model", _TUNERS, "run")
UNTARGETED = LoaderRule("peft-untargeted", "the config does not target it: left out, without a message", _TUNERS, "run")
UNPREFIXED = LoaderRule(
    "peft-unprefixed", f"the name does not begin with {PREFIX}: left out, with a warning only", _SAVE, "run"
)
UNREAD = LoaderRule("peft-unread", "PEFT's LoRA has no tensor of this name: left out, without a message", _SAVE, "run")
NAMED = LoaderRule(
    "peft-named", "the names contain another adapter name than `default`: left out, with a warning only", _SAVE, "run"
)
EXTRA = LoaderRule(
    "peft-extra", "beside the two matrices stands a tensor that this config does not ask for: left out", _SAVE, "run"
)
LACKS = LoaderRule(
    "peft-lacks", "the config says DoRA but the file has no magnitudes: PEFT starts with new ones", _SAVE, "read"
)
WRAPPED = LoaderRule("peft-wrapped", "a weight has the name of a module that the adapter wraps: left out", _SAVE, "run")
OWN = LoaderRule("peft-own", "the file holds a weight of the model itself, which replaces the base's", _SAVE, "run")
SAVED = LoaderRule("peft-saved", "a trained copy of a module of modules_to_save is loaded and used", _SAVE, "run")
MISSING = LoaderRule(
    "peft-modules-to-save", "the config lists modules_to_save that the file does not hold", _SAVE, "run"
)
UNSEEN = LoaderRule(
    "peft-unseen", "without the model it is not known whether it has what the config or the file names", _SAVE, "read"
)
CONVERTED = LoaderRule(
    "peft-converted", "PEFT converts the names of this kind of model, and this name is not one of PEFT's", _SAVE, "read"
)
UNKNOWN = LoaderRule("peft-unknown", "the model has no such module: left out, without a message", _TUNERS, "run")
RULES = tuple(value for value in list(globals().values()) if isinstance(value, LoaderRule))
"""All rules of this loader."""

ADVICE = {
    FOLDER.name: f"use the loader of its spelling; PEFT wants it in a folder, as {WEIGHTS} beside its {CONFIG}",
    TYPE.name: 'write "peft_type": "LORA" into the config',
    RANK.name: "write the rank of the matrices as r, or as a rank_pattern",
    ZERO.name: "remove the modules of rank 0, which change nothing",
    SHAPE.name: "the adapter is for a model of another size",
    NO_MATCH.name: "write full module names into target_modules",
    UNTARGETED.name: "write full module names into target_modules",
    UNPREFIXED.name: f"put {PREFIX} before the names",
    UNREAD.name: AGAIN,
    NAMED.name: AGAIN,
    EXTRA.name: "set use_dora or lora_bias in the config as they were in training",
    LACKS.name: "fetch the file again, or set use_dora to false",
    WRAPPED.name: "remove the module from target_modules, or name the weight `base_layer.weight`",
    MISSING.name: "set modules_to_save to null",
    UNKNOWN.name: "the adapter is for another kind of model",
    UNSEEN.name: "name the model with --model",
}
"""Rule -> what the user can do."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """Predict what `PeftModel.from_pretrained` does with the adapter, on a model that has these modules."""
    if adapter.container != "folder":
        return refuse(LOADER, FOLDER, f"ValueError: Can't find '{CONFIG}'", ADVICE[FOLDER.name])
    config = adapter.config
    if "peft_type" not in config:
        return refuse(LOADER, TYPE, "KeyError: 'peft_type'", ADVICE[TYPE.name])
    if config["peft_type"] != "LORA":
        return no_verdict(LOADER, OTHER.says)
    if any(rank == 0 for rank in (config.get("r"), *(config.get("rank_pattern") or {}).values())):
        error = "ValueError: `r` should be a positive integer value but the value passed is 0"
        return refuse(LOADER, ZERO, error, ADVICE[ZERO.name])
    why = unknown_settings(config) or known.language.why_unnamed or _explain_not_judged(adapter, known)
    if known.kind == "unknown" or why:
        return no_verdict(LOADER, why or known.why)
    rows = _judge_modules(adapter, known)
    stop = _find_stop(adapter, known, rows)
    if stop is not None:
        return refuse(LOADER, stop[0], stop[1], ADVICE[stop[0].name], rows)
    return conclude(LOADER, rows, ADVICE)


def _judge_modules(adapter: AdapterFile, known: KnownModules) -> list[ModuleRow]:
    """Predict what becomes of each module. If only the adapter's names are known of a language model, an untargeted
    module is `unknown`, unless another module is applied."""
    rows = [_row(adapter, module, known) for module in adapter]
    seen = known.language.parameters or known.kind != "language" or any(row.fate == "applied" for row in rows)
    return rows if seen else [replace(r, fate="unknown", rule=UNSEEN) if r.rule is UNTARGETED else r for r in rows]


def _explain_not_judged(adapter: AdapterFile, known: KnownModules) -> str:
    """Say why PEFT's treatment of this model is not known, or '': its experts are stacked, or a target is more than one
    matrix."""
    program, config = known.language.program, adapter.config
    if program is not None and program.stacked and (_targets_experts(config, known) or any(map(_is_expert, adapter))):
        return "it names experts or what chooses them, which transformers stacks and PEFT converts"
    inner = {parent for name in known.language.parameters for parent in _parents(name)} - known.modules.keys()
    if str(config.get("target_modules")).lower() != ALL and any(is_targeted(config, name) for name in inner):
        return "target_modules names more than matrices and embeddings"
    return ""


def _targets_experts(config: Mapping[str, Any], known: KnownModules) -> bool:
    """True if a target may be an expert: it is a pattern, a name that experts have, or a name that no other module
    has."""
    wanted = config.get("target_modules")
    if isinstance(wanted, str) or any(name.rpartition(".")[2] in EXPERTS for name in wanted or ()):
        return True
    return not any(is_targeted(config, name) for name in known.modules)


def _is_expert(module: FileModule) -> bool:
    """True if the module's name is an expert's or a router's."""
    return re.search(r"\.(experts|gate|router)(\.|$)", module.name) is not None


def _parents(name: str) -> Iterator[str]:
    """Yield the modules that contain a parameter, the innermost first."""
    while name := name.rpartition(".")[0]:
        yield name


def _row(adapter: AdapterFile, module: FileModule, known: KnownModules) -> ModuleRow:
    """Predict what becomes of one module."""
    if not module.name.startswith(PREFIX):
        return unknown_row(module, CONVERTED) if _is_converted(known) else lost_row(module, UNPREFIXED)
    spelled = module.name.removeprefix(PREFIX)
    loaded_name = _program_name(spelled, known)
    if known.kind == "language" and loaded_name != spelled and not spelled.startswith("language_model."):
        return unknown_row(module, CONVERTED)
    name = loaded_name if known.kind == "language" else loaded_name.partition(".")[2]
    if module.tensors.keys() <= {".weight", ".bias"}:
        return _judge_weight(adapter, module, known, loaded_name)
    if loaded_name not in known.modules:
        return lost_row(module, UNKNOWN)
    if not module.style or module.style not in ("peft", "named", "embedding"):
        return lost_row(module, UNREAD)
    if module.style == "named" and module.adapter_name != "default":
        return lost_row(module, NAMED)
    if not is_targeted(adapter.config, name):
        return ModuleRow(module.name, "lost", UNTARGETED, loaded_name)
    if config_rank(adapter.config, name) != module.rank:
        return ModuleRow(module.name, "wrong", RANK, loaded_name)
    if not any(fits(module, shape, strict=True) for shape in _shapes(adapter, known.modules[loaded_name])):
        return ModuleRow(module.name, "wrong", SHAPE, loaded_name)
    scale = config_scale(adapter.config, name)
    extra = _extra_tensor_rule(adapter, module, known, loaded_name)
    if extra is not None:
        return ModuleRow(module.name, "unknown" if extra is LACKS else "wrong", extra, loaded_name, scale, scale)
    return ModuleRow(module.name, "applied", APPLIES, loaded_name, scale, scale)


def _is_converted(known: KnownModules) -> bool:
    """True if PEFT converts names for this kind of model."""
    program = known.language.program
    return program is not None and bool(program.renamings or program.stacked)


def _program_name(name: str, known: KnownModules) -> str:
    """The loaded program's name of a module. PEFT converts names that the model's files still have."""
    if known.kind != "language":
        return f"unet.{name}" if known.is_unet else f"transformer.{name}"
    program = known.language.program
    if name in known.modules or program is None:
        return name
    return apply_renamings(f"{name}.weight", program).removesuffix(".weight")


def _extra_tensor_rule(
    adapter: AdapterFile, module: FileModule, known: KnownModules, loaded_name: str
) -> LoaderRule | None:
    """Find the rule for tensors that a module has beside its two matrices. None if PEFT loads them all."""
    ends = module.tensors.keys() - {*module.ends, ".base_layer.weight"}
    dora = bool(adapter.config.get("use_dora"))
    if dora != bool(ends & set(MAGNITUDES)):
        return LACKS if dora else EXTRA
    ends -= {*MAGNITUDES[1:]}
    if adapter.config.get("lora_bias"):
        ends -= {".lora_B.bias"}
    if f"{loaded_name}.bias" in known.language.parameters or not known.language.parameters:
        ends -= {".base_layer.bias"}
    return EXTRA if ends else None


def _judge_weight(adapter: AdapterFile, module: FileModule, known: KnownModules, loaded_name: str) -> ModuleRow:
    """Predict what becomes of a weight of the model's own: PEFT loads it in place of the base's, or as a trained
    copy."""
    if not known.language.parameters and loaded_name not in known.modules:
        return unknown_row(module, UNSEEN)
    shapes = {end: known.language.parameters.get(loaded_name + end) for end in module.tensors}
    if known.language.parameters and not all(loaded_name + end in known.language.parameters for end in module.tensors):
        return lost_row(module, UNKNOWN)
    if is_targeted(adapter.config, loaded_name):
        return ModuleRow(module.name, "lost", WRAPPED, loaded_name)
    if any(shape is not None and module.tensors[end].shape != shape for end, shape in shapes.items()):
        return ModuleRow(module.name, "wrong", SHAPE, loaded_name)
    return ModuleRow(module.name, "applied", SAVED if is_saved(adapter.config, loaded_name) else OWN, loaded_name)


def _shapes(adapter: AdapterFile, shape: Shape) -> tuple[Shape, ...]:
    """The shapes that up times down may have. With `fan_in_fan_out` also the transpose: GPT-2's layers store (d_in,
    d_out)."""
    turned = shape is not None and len(shape) == 2 and adapter.config.get("fan_in_fan_out")
    return (shape, shape[::-1]) if turned and shape else (shape,)


def _find_stop(adapter: AdapterFile, known: KnownModules, rows: list[ModuleRow]) -> tuple[LoaderRule, str] | None:
    """Find the rule by which PEFT stops, and its error. None if it does not stop."""
    rules = {row.rule for row in rows}
    missing = [name for name in modules_to_save(adapter.config) if not _has_module(adapter, name)]
    if missing:
        return MISSING, f"KeyError: '{PREFIX}{missing[0]}.weight'"
    for rule in (RANK, SHAPE):
        if rule in rules:
            return rule, "RuntimeError: size mismatch"
    if known.language.parameters or known.kind != "language":
        parts = [name if known.kind == "language" else name.partition(".")[2] for name in known.modules]
        if any(is_targeted(adapter.config, name) for name in parts):
            return None
        error = "ValueError" if isinstance(adapter.config.get("target_modules"), str) else "NoMatchingPeftModuleError"
        return NO_MATCH, f"{error}: Target modules not found in the base model"
    return None


def _has_module(adapter: AdapterFile, name: str) -> bool:
    """True if a tensor of the file is in a module of that name."""
    return any(f".{name}." in f".{tensor}" for tensor in adapter.names)
