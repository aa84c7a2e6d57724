"""LoRA files of transformer models in the spelling that diffusers and ComfyUI both read.

`transformer.<module>.lora_A.weight` (r, d_in) and `.lora_B.weight` (d_out, r), without alpha: a scale of 1. All ranks
are made equal with zeros, for diffusers read modules of mixed ranks wrongly until its pull request 14409. UNets are not
written so: ComfyUI matches none of their modules in this spelling, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.disk import guard_writes, replace_file
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import encode_tensor, file_bytes
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import try_diffusers_transformer

DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def module_name(name: str) -> str:
    """The adapter's name of a transformer's parameter."""
    return f"transformer.{name.removesuffix('.weight')}"


def write(job: Job) -> Written:
    """One .safetensors file. Raises E675 to E678, E683, E632."""
    lowering.check_components(job.delta, ("transformer",), "diffusers")
    lowered = lowering.to_low_rank(job)
    most = max(len(right) for _, _, right in lowering.pairs(lowered.delta))
    delta = lowering.pad_ranks(lowered.delta, lambda rank: most)
    found, tensors = lowering.convolution_shapes(delta, job.model), {}
    for record, left, right in lowering.pairs(delta):
        name, rank = record.site.name, len(right)
        up, down = left, right
        if name in found:
            up, down = left.reshape(*left.shape, 1, 1), right.reshape(rank, *found[name])
        tensors[module_name(name) + UP] = encode_tensor(up, job.dtype)
        tensors[module_name(name) + DOWN] = encode_tensor(down, job.dtype)
    data = file_bytes(tensors, {"format": "pt", DELTA_KEY: embed.make_note("diffusers", delta, {})})
    with guard_writes(job.out):
        replace_file(job.out, data)
    return Written((job.out,), delta, lowered.rounding)


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The factors of the delta in such a file: the inverse of `write`."""
    embed.check_count(tensors, 2 * len(description["sites"]))

    def pair(name: str) -> tuple[Any, Any]:
        up, down = tensors[module_name(name) + UP], tensors[module_name(name) + DOWN]
        return up.reshape(len(up), -1), down.reshape(len(down), -1)

    return embed.low_rank_parts(description, pair)


FORMAT = Format(
    name="diffusers",
    output="delta.diffusers.safetensors",
    says="a LoRA for transformer models: diffusers, ComfyUI",
    suits=SUITS["diffusers"],
    write=write,
    low_rank=True,
    trials=lambda job, written: (try_diffusers_transformer(job, written),),
    parts=parts,
)
