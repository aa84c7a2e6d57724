"""LoRA files of transformer models in the spelling that diffusers and ComfyUI both read.

`transformer.<module>.lora_A.weight` (r, d_in) and `.lora_B.weight` (d_out, r), without alpha: a scale of 1. All ranks
are made equal with zeros, for diffusers read modules of mixed ranks wrongly until its pull request 14409. UNets are not
written so: ComfyUI matches none of their modules in this spelling, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from editc.core.disk import guarded, replace_file
from editc.formats.exports import lowering, read, suited
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.trials import diffusers_transformer

FAMILIES = suited.FAMILIES["diffusers"]
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def module(name: str) -> str:
    """The adapter's name of a transformer's parameter."""
    return f"transformer.{name.removesuffix('.weight')}"


def suits(family: str) -> str:
    """Why a delta of this family cannot be exported so, or ''."""
    return "" if family in FAMILIES else f"this spelling is loaded into the transformers of {', '.join(FAMILIES)}"


def write(job: Job) -> Written:
    """One .safetensors file. Raises E675 to E678, E683, E632."""
    lowering.only(job.delta, ("transformer",), "diffusers")
    lowered = lowering.low_rank(job.delta, job.model, job.dtype, job.allow_finetune)
    most = max(len(right) for _, _, right in lowering.pairs(lowered.delta))
    delta = lowering.padded(lowered.delta, lambda rank: most)
    found, tensors = lowering.windows(delta, job.model), {}
    for record, left, right in lowering.pairs(delta):
        name, rank = record.site.name, len(right)
        up, down = left, right
        if name in found:
            up, down = left.reshape(*left.shape, 1, 1), right.reshape(rank, *found[name])
        tensors[module(name) + UP] = read.stored(up, job.dtype)
        tensors[module(name) + DOWN] = read.stored(down, job.dtype)
    data = read.container(tensors, {"format": "pt", "editc": read.note("diffusers", delta, {})})
    with guarded(job.out):
        replace_file(job.out, data)
    return Written((job.out,), delta, lowered.rounding)


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The factors of the delta in such a file: the inverse of `write`."""
    if len(tensors) != 2 * len(description["sites"]):
        raise ValueError("there are tensors that belong to no site")

    def pair(name: str) -> tuple[Any, Any]:
        up, down = tensors[module(name) + UP], tensors[module(name) + DOWN]
        return up.reshape(len(up), -1), down.reshape(len(down), -1)

    return read.low_rank_parts(description, pair)


FORMAT = Format(
    name="diffusers",
    output="delta.diffusers.safetensors",
    says="a LoRA for transformer models: diffusers, ComfyUI",
    suits=suits,
    write=write,
    low_rank=True,
    trials=lambda job, written: (diffusers_transformer(job, written),),
    parts=parts,
)
