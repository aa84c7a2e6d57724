"""Adapters that PEFT itself saves, family by spelling: each loaded again by PEFT and held against the verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import consumer_models
import numpy as np
import torch
from loaders import Cell, muted
from safetensors.torch import load_file, save_file

from editc.formats.doctor.examine import Examination, examine
from editc.formats.doctor.verdict import LoaderVerdict, ModuleRow
from editc.formats.models.model import open_model

Tensors = dict[str, Any]
SIZES: Mapping[str, Any] = {"vocab_size": 64, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"intermediate_size": 48, "num_key_value_heads": 2},
    "qwen2": {"intermediate_size": 48, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "gemma3_text": {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8},
    "phi3": {"intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 32},
    "gpt_neox": {"intermediate_size": 48},
    "falcon": {"new_decoder_architecture": False},
    "mamba": {"state_size": 4},
    "qwen3_moe": {"intermediate_size": 48, "num_key_value_heads": 2, "num_experts": 4, "moe_intermediate_size": 24},
    "lfm2": {"intermediate_size": 48, "num_key_value_heads": 2, "layer_types": ["full_attention", "conv"]},
}
"""Model types of transformers, `lfm2` being one that the doctor has no names for."""
MADE = {"gpt2": consumer_models.gpt2, "gpt2-hub": consumer_models.gpt2_hub, "gemma3": consumer_models.gemma3}
TARGETS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("gpt2", "gpt2-hub"), ("c_attn", "mlp.c_proj")),
    "phi3": ("qkv_proj", "down_proj"),
    "opt": ("q_proj", "fc2"),
    "gpt_neox": ("query_key_value", "dense_4h_to_h"),
    "falcon": ("query_key_value", "dense_4h_to_h"),
    "mamba": ("in_proj", "x_proj"),
    "qwen3_moe": ("q_proj", "o_proj"),
    "lfm2": ("q_proj", "w2"),
}
EMBEDDINGS = {
    "gpt2": "wte",
    "gpt2-hub": "wte",
    "gpt_neox": "embed_in",
    "falcon": "word_embeddings",
    "mamba": "embeddings",
}
FAMILIES = (*MADE, *KINDS)


@cache
def base(family: str, home: Path) -> Path:
    """The family's pico model as a folder."""
    folder = home / family
    if family in MADE:
        return MADE[family](folder)
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SIZES, **KINDS[family])
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def fresh(folder: Path) -> Any:
    """The model as its program loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def plain(family: str) -> dict[str, Any]:
    first, second = TARGETS.get(family, ("q_proj", "down_proj"))
    return {"r": 4, "lora_alpha": 8, "target_modules": [first, second], "task_type": "CAUSAL_LM"}


OPTIONS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "plain": lambda f: {},
    "rslora": lambda f: {"use_rslora": True},
    "dora": lambda f: {"use_dora": True},
    "alpha pattern": lambda f: {"alpha_pattern": {plain(f)["target_modules"][1]: 3}},
    "rank pattern": lambda f: {"rank_pattern": {plain(f)["target_modules"][1]: 2}},
    "all-linear": lambda f: {"target_modules": "all-linear"},
    "a regex": lambda f: {"target_modules": rf".*\.{plain(f)['target_modules'][1].rpartition('.')[2]}"},
    "full names": lambda f: {},
    "one layer": lambda f: {"layers_to_transform": [1]},
    "a pattern of layers": lambda f: {"layers_to_transform": [1], "layers_pattern": "layers"},
    "excluded": lambda f: {"exclude_modules": [plain(f)["target_modules"][0]]},
    "trained head": lambda f: {"modules_to_save": [head(f)]},
    "trained embeddings": lambda f: {"modules_to_save": [EMBEDDINGS.get(f, "embed_tokens")]},
    "LoRA on embeddings": lambda f: {
        "target_modules": [*plain(f)["target_modules"], EMBEDDINGS.get(f, "embed_tokens")]
    },
    "LoRA on the head": lambda f: {"target_modules": [head(f)]},
    "LoRA with a bias": lambda f: {"lora_bias": True},
    "all biases": lambda f: {"bias": "all"},
    "biases of the adapted": lambda f: {"bias": "lora_only"},
    "rows of an embedding": lambda f: {"trainable_token_indices": [1, 2]},
    "olora": lambda f: {"init_lora_weights": "olora"},
    "no task": lambda f: {"task_type": None},
    "dora on embeddings": lambda f: {"use_dora": True, "target_modules": [EMBEDDINGS.get(f, "embed_tokens")]},
    "parameters": lambda f: {"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]},
}
"""Spelling -> settings of LoraConfig; where PEFT itself refuses them for a family there is no cell."""


def head(family: str) -> str:
    return "lm_head"


def _renamed(old: str, new: str) -> Callable[[Tensors, dict[str, Any], Path], Tensors]:
    return lambda tensors, config, folder: {name.replace(old, new): value for name, value in tensors.items()}


def _config(**change: Any) -> Callable[[Tensors, dict[str, Any], Path], Tensors]:
    def changed(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
        config.update(change)
        return tensors

    return changed


def _whole_head(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    shape = next(v for n, v in fresh(folder).state_dict().items() if n == "lm_head.weight").shape
    return tensors | {"base_model.model.lm_head.weight": torch.randn(shape)}


def _strange_head(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    return tensors | {"base_model.model.lm_head.base_layer.weight": torch.randn(4, 4)}


def _file_names(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    """Under the names of the model's file, as adapters of older versions and other tools have them."""
    from editc.formats.models.model_names import program_of
    from editc.formats.models.program_names import program_names

    held = open_model(folder).component().names()
    program = program_of(open_model(folder), held)
    theirs = {} if program is None else {v: k for k, v in program_names(held, program).items()}
    found = {}
    for name, value in tensors.items():
        module, _, end = name.removeprefix("base_model.model.").partition(".lora_")
        file = theirs.get(f"{module}.weight", f"{module}.weight").removesuffix(".weight")
        found[f"base_model.model.{file}.lora_{end}"] = value
    return found


def _in_place(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    """A module's own weight under its own name, where its pair was: the name is the wrapped layer's no more."""
    module = sorted(tensors)[0].partition(".lora_")[0]
    kept = {name: value for name, value in tensors.items() if not name.startswith(module + ".")}
    shape = fresh(folder).get_submodule(module.removeprefix("base_model.model.")).weight.shape
    return kept | {f"{module}.weight": torch.randn(shape)}


def _no_magnitudes(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    config["use_dora"] = False
    return tensors


def _stranger(tensors: Tensors, config: dict[str, Any], folder: Path) -> Tensors:
    name = next(name for name in tensors if "lora_A" in name)
    pair = {name: tensors[name], name.replace("lora_A", "lora_B"): tensors[name.replace("lora_A", "lora_B")]}
    return tensors | {key.replace(".0.", ".7.").replace(".1.", ".8."): value + 1 for key, value in pair.items()}


CHANGES: Mapping[str, tuple[str, Callable[[Tensors, dict[str, Any], Path], Tensors]]] = {
    "`.default.` in the names": ("plain", _renamed(".weight", ".default.weight")),
    "another adapter's name": ("plain", _renamed(".weight", ".style.weight")),
    "without base_model.model.": ("plain", _renamed("base_model.model.", "")),
    "compiled": ("plain", _renamed("base_model.model.", "base_model.model._orig_mod.")),
    "the file's names": ("plain", _file_names),
    "a whole head": ("plain", _whole_head),
    "a base layer of nothing": ("plain", _strange_head),
    "dora, not in the config": ("dora", _no_magnitudes),
    "dora, not in the file": ("plain", _config(use_dora=True)),
    "bias, not in the config": ("LoRA with a bias", _config(lora_bias=False)),
    "a weight in a pair's place": ("plain", _in_place),
    "another rank": ("plain", _config(r=8)),
    "targets nothing": ("plain", _config(target_modules=["nothing"])),
    "targets one of two": ("plain", _config(target_modules=["o_proj", "q_proj", "c_attn", "fc1", "in_proj"])),
    "targets a layer": ("plain", _config(target_modules=["mlp", "mixer"])),
    "no targets": ("plain", _config(target_modules=None)),
    "a head that is not there": ("plain", _config(modules_to_save=["lm_head"])),
    "a module more": ("plain", _stranger),
    "fan_in_fan_out turned": ("plain", _config(fan_in_fan_out=True)),
    "unknown settings": ("plain", _config(lora_nonsense=True)),
    "kohya's endings": (
        "plain",
        lambda t, c, f: {n.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): v for n, v in t.items()},
    ),
}
"""Spelling -> one of OPTIONS and what is changed of the files that PEFT wrote."""
SPELLINGS = (*OPTIONS, *CHANGES)
_SOME = ("plain", "LoRA on the head", "all biases", "full names", "the file's names", "without base_model.model.")
FEW = (*(("llama", spelling) for spelling in SPELLINGS), *((f, s) for f in ("gpt2-hub", "gemma3") for s in _SOME))
"""The cells of the suite; `python -m benchmarks.doctor` has all."""


def saved(family: str, spelling: str, home: Path) -> Path | None:
    """The adapter's folder; None where PEFT makes none."""
    from peft import LoraConfig, get_peft_model

    start, change = CHANGES.get(spelling, (spelling, None))
    folder = base(family, home)
    out = home / "adapters" / family / spelling.replace("`", "").replace(" ", "_").replace(".", "_")
    settings = {**plain(family), **OPTIONS[start](family)}
    if start == "full names":
        ends = tuple(settings["target_modules"])
        settings["target_modules"] = [name for name, _ in fresh(folder).named_modules() if name.endswith(ends)]
    fan = {"fan_in_fan_out": True} if family.startswith("gpt2") else {}
    try:
        with muted():
            model = get_peft_model(fresh(folder), LoraConfig(**{"init_lora_weights": False, **settings, **fan}))
            torch.manual_seed(1)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.1)
            model.save_pretrained(str(out))
    except (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError):
        return None
    if change is not None:
        config = json.loads((out / "adapter_config.json").read_text())
        tensors = change(load_file(out / "adapter_model.safetensors"), config, folder)
        save_file({n: v.contiguous() for n, v in tensors.items()}, out / "adapter_model.safetensors", {"format": "pt"})
        (out / "adapter_config.json").write_text(json.dumps(config))
    return out


def loaded(adapter: Path, folder: Path) -> tuple[Any, str]:
    """The model with the adapter as PEFT loads it, or the error's kind."""
    from peft import PeftModel

    with muted():
        try:
            return PeftModel.from_pretrained(fresh(folder), str(adapter)), ""
        except Exception as error:
            return None, type(error).__name__


def cell(family: str, spelling: str, home: Path) -> Cell | None:
    """One cell of the matrix; None where PEFT makes no such adapter."""
    adapter = saved(family, spelling, home)
    if adapter is None:
        return None
    folder = base(family, home)
    found = examine(adapter, open_model(folder))
    verdict = next(one for one in found.verdicts if one.loader == "PEFT")
    model, error = loaded(adapter, folder)
    wrong = tuple(contradicted(verdict, found, model, error))
    measured = error or f"{sum(fate == 'applied' for fate in fates(found, model).values())} taken"
    shutil.rmtree(adapter)
    return Cell(family, spelling, verdict.outcome, measured, wrong, tuple(r.name for r in verdict.rules))


def contradicted(verdict: LoaderVerdict, found: Examination, model: Any, error: str) -> Iterator[str]:
    """Where the doctor says one thing and PEFT did another; nothing where it does not judge."""
    if verdict.outcome == "not judged":
        return
    if error or verdict.outcome == "refused":
        if verdict.error.partition(":")[0] != error:
            yield f"the doctor says {verdict.outcome} {verdict.error!r}, PEFT raised {error!r}"
        return
    measured, scales = fates(found, model), scalings(model)
    for row in verdict.rows:
        yield from _row(row, measured[row.module], scales)


def fates(found: Examination, model: Any) -> dict[str, str]:
    """By module of the file `applied` where the model holds every tensor of it, `lost` for none, else `wrong`."""
    state = (
        {(v.shape, v.double().numpy().tobytes()) for v in model.state_dict().values()} if model is not None else set()
    )
    tensors = load_file(found.adapter.path / "adapter_model.safetensors")
    result = {}
    for module in found.adapter:
        parts = [tensors[module.name + end] for end in module.tensors]
        held = [(part.shape, part.double().numpy().tobytes()) in state for part in parts]
        result[module.name] = "applied" if all(held) else "wrong" if any(held) else "lost"
    return result


def scalings(model: Any) -> dict[str, float]:
    """By module of the program the scale of its LoRA."""
    found = {}
    for name, part in model.named_modules():
        scale = getattr(part, "scaling", None)
        if isinstance(scale, dict) and "default" in scale:
            found[name.removeprefix("base_model.model.")] = scale["default"]
    return found


def _row(row: ModuleRow, measured: str, scales: Mapping[str, float]) -> Iterator[str]:
    if row.fate != measured:
        yield f"{row.module}: the doctor says {row.fate} ({row.rule.name}), PEFT: {measured}"
    elif row.scale is not None and row.fate != "lost" and not np.isclose(scales.get(row.target, 0.0), row.scale):
        yield f"{row.module}: the doctor says scale {row.scale}, PEFT {scales.get(row.target)}"
