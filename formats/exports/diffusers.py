"""LoRA files of transformer models in the spelling that both diffusers and ComfyUI read.

The names are `transformer.<module>.lora_A.weight` (r, d_in) and `.lora_B.weight` (d_out, r), without alpha, which means
a scale of 1. All ranks are padded with zeros to the largest, because diffusers before its pull request 14409 reads
modules of mixed ranks wrongly. UNets are not written like this: ComfyUI would find none of their modules, and would not
say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import encode_tensor, file_bytes
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import try_diffusers_transformer

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""The endings of the down and the up matrix, after the module's name."""


def module_name(name: str) -> str:
    """The adapter's name for the module of a transformer's parameter."""
    return f"transformer.{name.removesuffix('.weight')}"


def write(job: Job) -> Written:
    """Write one .safetensors file. Raises E675 to E678, E683 and E632."""
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
    """Read the factors of the delta back from such a file: the inverse of `write`."""
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
