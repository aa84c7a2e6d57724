"""Adapter folders for language models, for PEFT, transformers and vLLM.

`adapter_model.safetensors` holds `base_model.model.<module>.lora_A.weight` (r, d_in) and `.lora_B.weight` (d_out, r).
`adapter_config.json` names every module in full, because PEFT matches short names in more places than were meant. All
modules have one rank, a power of two of at least 8, and an alpha equal to it: a scale of 1. vLLM takes ranks up to 16
unless it is started with a larger limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.storage.disk import guard_writes, make_folder, rename, temporary_path, write_new
from editc.formats.apply.destination import remove_on_failure
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import encode_tensor, file_bytes
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import try_peft
from editc.formats.models.model_names import spell_for_program
from editc.formats.models.program_names import expert_part

PREFIX = "base_model.model."
"""The beginning of every module's name in PEFT."""
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""The endings of the down and the up matrix, after the module's name."""
CONFIG = "adapter_config.json"
"""The name of the configuration file."""
LEAST_RANK = 8
"""The smallest rank that vLLM takes, but for 1 (`doctor.vllm.RANKS`)."""
VLLM_RANK = 16
"""The largest rank that vLLM takes by default (its `--max-lora-rank`)."""


def write(job: Job) -> Written:
    """Write a folder of two files, whole or not at all. Raises E675 to E678, E683 and E632."""
    lowering.check_components(job.delta, (), "peft")
    if why := explain_experts([record.site.name for record in job.delta.sites]):
        raise fail("E677", why, help=lowering.advise_without_adapter(job.delta.family))
    lowered = lowering.to_low_rank(job)
    most = max(len(right) for _, _, right in lowering.pairs(lowered.delta))
    rank = max(LEAST_RANK, lowering.power_of_two(most))
    delta = lowering.pad_ranks(lowered.delta, lambda _: rank)
    names = spell_for_program([record.site.name for record in delta.sites], job.model)
    tensors = {}
    for record, left, right in lowering.pairs(delta):
        tensors[module_name(names[record.site.name]) + UP] = encode_tensor(left, job.dtype)
        tensors[module_name(names[record.site.name]) + DOWN] = encode_tensor(right, job.dtype)
    renamed = {name: new for name, new in names.items() if new != name}
    note = embed.make_note("peft", delta, {"names": renamed} if renamed else {})
    data = file_bytes(tensors, {"format": "pt", DELTA_KEY: note})
    temporary = temporary_path(job.out)
    with guard_writes(job.out), remove_on_failure(temporary):
        make_folder(temporary)
        write_new(temporary / embed.FOLDER_FILE, [data])
        place = "" if job.model is None else job.model.place
        write_new(temporary / CONFIG, [config(delta, list(names.values()), rank, place)])
        rename(temporary, job.out)
    notes = (f"vLLM needs --max-lora-rank {rank}",) if rank > VLLM_RANK else ()
    return Written((job.out / embed.FOLDER_FILE, job.out / CONFIG), delta, lowered.rounding, notes)


def explain_experts(names: Sequence[str]) -> str:
    """Say why matrices of these names cannot be exported, or ''. PEFT has no layer for the matrix of one expert and
    would ignore it."""
    experts = [name for name in names if expert_part(name)]
    if not experts:
        return ""
    return f"PEFT has no layer for one expert, and {len(experts)} of {len(names)} sites are experts'"


def module_name(name: str) -> str:
    """PEFT's name for the module of a parameter, whose name is the loaded program's."""
    return PREFIX + name.removesuffix(".weight")


def config(delta: Delta, names: Sequence[str], rank: int, base: str) -> bytes:
    """The bytes of adapter_config.json. `names`: the edited parameters by the loaded program's names. `base`: the
    model's path, or ''."""
    value = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(record.site.transposed for record in delta.sites),
        "target_modules": sorted(name.removesuffix(".weight") for name in names),
        "inference_mode": True,
    }
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the factors of the delta back from such a folder: the inverse of `write`."""
    embed.check_count(tensors, 2 * len(description["sites"]))
    names = options.get("names", {})

    def pair(name: str) -> tuple[Any, Any]:
        there = module_name(names.get(name, name))
        return tensors[there + UP], tensors[there + DOWN]

    return embed.low_rank_parts(description, pair)


FORMAT = Format(
    name="peft",
    output="peft",
    says="an adapter folder for language models: PEFT, transformers, vLLM",
    suits=SUITS["peft"],
    write=write,
    low_rank=True,
    lost=explain_experts,
    trials=lambda job, written: (try_peft(job, written),),
    parts=parts,
)
