"""What a PEFT config says: which modules it targets, and which of its settings the doctor cannot judge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from editc.formats.doctor.language import EMBEDDING

ALL = "all-linear"
"""The value of `target_modules` that targets every linear layer."""
_NOT_JUDGED: Mapping[str, str] = {
    "target_parameters": "it trains parameters that are not modules (`target_parameters`)",
    "trainable_token_indices": "it trains single rows of an embedding (`trainable_token_indices`)",
    "layer_replication": "it repeats layers (`layer_replication`)",
    "layers_pattern": "it finds layers by a pattern (`layers_pattern`)",
    "ensure_weight_tying": "it ties weights (`ensure_weight_tying`)",
    "use_qalora": "it is a QA-LoRA (`use_qalora`)",
    "use_bdlora": "it is block-diagonal (`use_bdlora`)",
    "megatron_config": "it is for Megatron's layers (`megatron_config`)",
    "arrow_config": "it routes between adapters (`arrow_config`)",
    "alora_invocation_tokens": "it acts behind certain tokens only (`alora_invocation_tokens`)",
}
"""Setting -> why an adapter with it is not judged."""
_MUTATING = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Values of `init_lora_weights` that change the base's own weights."""


def unknown_settings(config: Mapping[str, Any]) -> str:
    """Say why the doctor cannot predict what PEFT does under this config, or ''."""
    for name, why in _NOT_JUDGED.items():
        if config.get(name):
            return why
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_MUTATING):
        return f"it began with {start}, which changes the base's own weights"
    if config.get("target_modules") is None:
        return "the config names no target_modules, so that PEFT chooses them by the model's type"
    task = config.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        return f"it is for the task {str(task)[:40]}, whose model has another body or head than the folder"
    wrapped = config.get("auto_mapping")
    kind = wrapped.get("base_model_class") if isinstance(wrapped, dict) else ""
    if isinstance(kind, str) and kind.endswith("Model") and not kind.endswith("LMHeadModel"):
        return f"it was made for {kind[:60]}, a model without a head, whose names differ from those of a model with one"
    return ""


def is_targeted(config: Mapping[str, Any], module: str) -> bool:
    """True if the config targets a module. Its patterns are a regular expression over the whole name, or a list of
    names and endings."""
    wanted, excluded = config.get("target_modules"), config.get("exclude_modules")
    if (excluded and _names_module(excluded, module)) or is_saved(config, module, inside=True):
        return False
    if isinstance(wanted, str) and wanted.lower() == ALL:
        return not EMBEDDING.search(module) and module.rpartition(".")[2] not in ("lm_head", "embed_out")
    layers = config.get("layers_to_transform")
    if layers not in (None, []) and not isinstance(wanted, str) and module not in (wanted or ()):
        number = re.match(r".*?\.[^.]*\.(\d+)\.", module)
        chosen = layers if isinstance(layers, list) else [layers]
        if number is None or int(number[1]) not in chosen:
            return False
    return bool(wanted) and _names_module(wanted, module)


def is_saved(config: Mapping[str, Any], module: str, inside: bool = False) -> bool:
    """True if `modules_to_save` names the module; with `inside`, also if it names a module that contains it."""
    names = modules_to_save(config)
    if inside:
        return any(f".{name}." in f".{module}." for name in names)
    return any(module == name or module.endswith(name) for name in names)


def modules_to_save(config: Mapping[str, Any]) -> Sequence[str]:
    """The names in `modules_to_save`, as a list."""
    saved = config.get("modules_to_save") or []
    return [saved] if isinstance(saved, str) else saved


def _names_module(wanted: Any, module: str) -> bool:
    """True if a pattern, or one of a list of names, matches the module."""
    if isinstance(wanted, str):
        try:
            return re.fullmatch(wanted, module) is not None
        except re.error:
            return False
    return any(module == name or module.endswith(f".{name}") for name in wanted)
