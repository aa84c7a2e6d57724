"""Adapter folders for language models, as PEFT, transformers and vLLM read them.

`adapter_model.safetensors` holds `base_model.model.<module>.lora_A.weight` (r, d_in) and `.lora_B.weight` (d_out, r);
`adapter_config.json` names every module in full, for PEFT matches short names in more places than were meant. One rank
for all, a power of two from 8 on, and alpha equal to it: a scale of 1. vLLM takes ranks up to 16 unless told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.disk import guard_writes, make_folder, rename, temporary_path, write_new
from editc.formats.apply.destination import remove_on_failure
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import encode_tensor, file_bytes
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import EXPERT, try_peft
from editc.formats.models.model_names import spell_for_program

PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
CONFIG = "adapter_config.json"
LEAST_RANK = 8
"""The least rank but 1 that vLLM takes (`doctor.vllm.RANKS`)."""
VLLM_RANK = 16
"""The largest rank that vLLM takes unless it is told otherwise (`--max-lora-rank`)."""


def write(job: Job) -> Written:
    """A folder of two files, there whole or not at all. Raises E675 to E678, E683, E632."""
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
    """Why matrices of these names cannot be exported so, or '': the program would pass over one expert's."""
    experts = [name for name in names if EXPERT.match(name)]
    if not experts:
        return ""
    return f"PEFT has no layer for one expert, and {len(experts)} of {len(names)} sites are experts'"


def module_name(name: str) -> str:
    """PEFT's name of the module of a parameter, which is named as the program names it."""
    return PREFIX + name.removesuffix(".weight")


def config(delta: Delta, names: Sequence[str], rank: int, base: str) -> bytes:
    """adapter_config.json; `names` are the program's names of the edited parameters."""
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
    """The factors of the delta in such a folder: the inverse of `write`."""
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
