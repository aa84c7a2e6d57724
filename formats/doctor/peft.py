"""The rules of PEFT 0.21.2 (`PeftModel.from_pretrained`): the config says where, the file what.

Every rule that says `run` is in the tests.
"""

from __future__ import annotations

import re
from typing import Any

from editc.formats.doctor.models import Known, Shape
from editc.formats.doctor.spelling import CONFIG, Adapter, Module
from editc.formats.doctor.verdict import (
    Row,
    Rule,
    Verdict,
    concluded,
    config_rank,
    config_scale,
    fits,
    idle,
    lost,
    refused,
)

LOADER, PREFIX = "PEFT", "base_model.model."
_SAVE, _TUNERS = "peft 0.21.2 utils/save_and_load.py", "peft 0.21.2 tuners/tuners_utils.py: inject_adapter"

APPLIES = Rule("peft-applies", "the config targets every module of the file, at alpha over rank", _SAVE, "run")
FOLDER = Rule("peft-folder", f"PEFT loads a folder with {CONFIG}, not a file", "peft 0.21.2 config.py", "run")
TYPE = Rule("peft-type", "the config has no peft_type", "peft 0.21.2 config.py: _get_peft_type", "run")
OTHER = Rule("peft-other", "a PEFT adapter of another kind than LoRA, which the doctor does not judge", _SAVE, "read")
RANK = Rule("peft-rank", "the rank in the config is not the matrices'", f"{_SAVE}: set_peft_model_state_dict", "run")
ZERO = Rule("peft-rank-0", "PEFT refuses rank 0", "peft 0.21.2 tuners/lora/layer.py; facts/ecosystem.md C [V]", "run")
SHAPE = Rule("peft-shape", "a matrix does not fit the model's", f"{_SAVE}: set_peft_model_state_dict", "run")
NO_MATCH = Rule("peft-no-match", "target_modules matches no module of the model", _TUNERS, "run")
UNTARGETED = Rule("peft-untargeted", "the config does not target it: left out, without a message", _TUNERS, "run")
UNPREFIXED = Rule(
    "peft-unprefixed", f"the name does not begin with {PREFIX}: left out, with a warning only", _SAVE, "run"
)
UNREAD = Rule("peft-unread", "PEFT takes lora_A and lora_B alone: left out, without a message", _SAVE, "run")
SAVED = Rule("peft-modules-to-save", "modules_to_save are named that the file does not hold", _SAVE, "run")
UNKNOWN = Rule("peft-unknown", "the model has no such module: left out, without a message", _TUNERS, "run")
RULES = (APPLIES, FOLDER, TYPE, OTHER, RANK, ZERO, SHAPE, NO_MATCH, UNTARGETED, UNPREFIXED, UNREAD, SAVED, UNKNOWN)

_EXPORT = "export as peft (`editc export --as peft`)"
ADVICE = {
    FOLDER.name: f"use the loader of its spelling, or {_EXPORT}",
    TYPE.name: 'write "peft_type": "LORA" into the config',
    RANK.name: "write r, or a rank_pattern, as the matrices are",
    ZERO.name: "leave out modules without a change",
    SHAPE.name: "the adapter is for a model of another size",
    NO_MATCH.name: "write full module names into target_modules",
    UNTARGETED.name: "write full module names into target_modules",
    UNPREFIXED.name: f"put {PREFIX} before the names",
    UNREAD.name: _EXPORT,
    SAVED.name: "set modules_to_save to null",
    UNKNOWN.name: "the adapter is for another kind of model",
}


def judge(adapter: Adapter, known: Known) -> Verdict:
    """What `PeftModel.from_pretrained` does with the adapter, on a model that has these modules."""
    if adapter.container != "folder":
        return refused(LOADER, FOLDER, f"ValueError: Can't find '{CONFIG}'", ADVICE[FOLDER.name])
    config = adapter.config
    if "peft_type" not in config:
        return refused(LOADER, TYPE, "KeyError: 'peft_type'", ADVICE[TYPE.name])
    if config["peft_type"] != "LORA":
        return idle(LOADER, OTHER.says)
    rows = [_row(adapter, module, known) for module in adapter]
    stop = _stopped(adapter, rows)
    if stop is not None:
        return refused(LOADER, stop[0], stop[1], ADVICE[stop[0].name], rows)
    return concluded(LOADER, rows, ADVICE)


def targeted(config: Any, module: str) -> bool:
    """Whether the config names a module: a regular expression over the whole name, or names and ends of names."""
    wanted, excluded = config.get("target_modules"), config.get("exclude_modules")
    if excluded and _names(excluded, module):
        return False
    if wanted == "all-linear":
        return True
    layers = config.get("layers_to_transform")
    if layers is not None:
        number = re.search(r"\.(\d+)\.", module)
        chosen = layers if isinstance(layers, list) else [layers]
        if number is None or int(number[1]) not in chosen:
            return False
    return bool(wanted) and _names(wanted, module)


def _names(wanted: Any, module: str) -> bool:
    if isinstance(wanted, str):
        try:
            return re.fullmatch(wanted, module) is not None
        except re.error:
            return False
    return any(module == name or module.endswith(f".{name}") for name in wanted)


def _row(adapter: Adapter, module: Module, known: Known) -> Row:
    if not module.name.startswith(PREFIX):
        return lost(module, UNPREFIXED)
    name = module.name.removeprefix(PREFIX)
    home = name if known.kind == "language" else f"unet.{name}" if known.is_unet else f"transformer.{name}"
    if module.style != "peft":
        return lost(module, UNREAD)
    if home not in known.modules:
        return lost(module, UNKNOWN)
    if not targeted(adapter.config, name):
        return Row(module.name, "lost", UNTARGETED, home)
    if config_rank(adapter.config, name) != module.rank:
        return Row(module.name, "wrong", RANK, home)
    if not any(fits(module, shape, strict=True) for shape in _shapes(adapter, known.modules[home])):
        return Row(module.name, "wrong", SHAPE, home)
    scale = config_scale(adapter.config, name)
    return Row(module.name, "applied", APPLIES, home, scale, scale)


def _shapes(adapter: Adapter, shape: Shape) -> tuple[Shape, ...]:
    """A weight's shape; with fan_in_fan_out also turned, for GPT-2's layers store (d_in, d_out)."""
    turned = shape is not None and len(shape) == 2 and adapter.config.get("fan_in_fan_out")
    return (shape, shape[::-1]) if turned and shape else (shape,)


def _stopped(adapter: Adapter, rows: list[Row]) -> tuple[Rule, str] | None:
    rules = {row.rule for row in rows}
    if any(rank == 0 for rank in (adapter.config.get("r"), *(adapter.config.get("rank_pattern") or {}).values())):
        return ZERO, "ValueError: `r` should be a positive integer value but the value passed is 0"
    saved = adapter.config.get("modules_to_save") or []
    wanted_too = [saved] if isinstance(saved, str) else saved
    missing = [name for name in wanted_too if not _holds(adapter, name)]
    if missing:
        return SAVED, f"KeyError: '{PREFIX}{missing[0]}.weight'"
    for rule in (RANK, SHAPE):
        if rule in rules:
            return rule, "RuntimeError: size mismatch"
    wanted = adapter.config.get("target_modules")
    if rules == {UNTARGETED} and isinstance(wanted, list) and not _plausible(wanted, rows):
        return NO_MATCH, "NoMatchingPeftModuleError: Target modules not found in the base model"
    return None


def _plausible(wanted: list[str], rows: list[Row]) -> bool:
    """Whether a target is the name of some matrix of a language model that the file merely leaves unchanged."""
    common = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "fc1", "fc2", "lm_head"}
    seen = {row.target.rpartition(".")[2] for row in rows}
    return any(name.rpartition(".")[2] in common | seen for name in wanted)


def _holds(adapter: Adapter, name: str) -> bool:
    return any(f".{name}." in f".{tensor}" for tensor in adapter.names)
