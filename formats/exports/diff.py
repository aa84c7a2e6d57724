"""Dense differences for ComfyUI (and A1111): one matrix per module, which the program adds to the weight.

The names are `lora_unet_<module>.diff` for UNets and `transformer.<module>.diff` for transformers. This is the only
adapter for edits that are not low rank. The files are large, and diffusers refuses them. ComfyUI adds in float32 and
rounds once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.core.site_bytes import patch_site, stored_shape
from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.apply.plan import plan_apply
from editc.formats.apply.target import TargetTensor
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.safetensors_write import encode_tensor, file_bytes
from editc.formats.delta.container import tensor_name
from editc.formats.exports import diffusers, embed, lowering
from editc.formats.exports.format import ConsumerTrial, Format, Job, Written
from editc.formats.exports.kohya_names import module_name as kohyas
from editc.formats.exports.suits import SUITS
from editc.formats.models.model import Checkpoint
from editc.numerics.bits import dtypes

END = ".diff"
"""The ending of a tensor's name, after the module."""
COMPONENTS = ("unet", "transformer")
"""The components whose modules have names in this spelling."""


def module_name(component: str, name: str) -> str:
    """ComfyUI's name for the module of a parameter."""
    return kohyas(name) if component == "unet" else diffusers.module_name(name)


def write(job: Job) -> Written:
    """Write one .safetensors file, as large as the edited tensors in float32. Raises E675, E676, E683 and E632."""
    lowering.check_components(job.delta, COMPONENTS, "diff")
    lowered = lowering.to_dense(job)
    delta = lowered.delta
    windows = lowering.convolution_shapes(delta, job.model)
    tensors = {}
    for record, change in _changes(delta):
        shape = (record.site.shape[0], *windows[record.site.name]) if record.site.name in windows else change.shape
        tensors[module_name(record.site.component, record.site.name) + END] = encode_tensor(
            change.reshape(shape), "F32"
        )
    metadata = {"ss_network_module": "lycoris.kohya", DELTA_KEY: embed.make_note("diff", delta, {})}
    with guard_writes(job.out):
        replace_file(job.out, file_bytes(tensors, metadata))
    notes = ["diffusers refuses this file (ValueError); for diffusers, export `kohya`, `diffusers` or `checkpoint`"]
    if job.dtype != "F32":
        notes.append("--dtype has no effect here: differences stay in float32")
    return Written((job.out,), delta, lowered.rounding, tuple(notes))


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the factors of the delta back from such a file: the inverse of `write`."""
    embed.check_count(tensors, len(description["sites"]))
    found = {}
    for group, entry in description["groups"].items():
        for k, index in enumerate(entry["sites"]):
            site = description["sites"][index]
            change = tensors[module_name(site["component"], site["name"]) + END]
            found[tensor_name(group, "left", k)] = change.reshape(len(change), -1)
    return found


def trials(job: Job, written: Written) -> tuple[ConsumerTrial, ...]:
    """Apply ComfyUI's rule, base + difference in float32 and one rounding, in editc itself; ComfyUI is not run."""
    consumer = "ComfyUI's rule"
    if job.model is None:
        return (ConsumerTrial(consumer, skipped="needs the base: name it with --model"),)
    plan = plan_apply([written.delta], job.model, job.allow_finetune)
    changes = {record.site.name: change for record, change in _changes(written.delta)}
    base = {name: job.model.component(name) for name in {target.record.site.component for target in plan.targets}}
    errors = [
        _error(base[target.record.site.component], target, changes[target.record.site.name]) for target in plan.targets
    ]
    return (ConsumerTrial(consumer, len(errors), len(written.delta.sites), max(errors)),)


def _error(base: Checkpoint, target: TargetTensor, change: Any) -> float:
    """The largest absolute error of one matrix, between ComfyUI's rule and editc's own edit. `change`: (d_out,
    d_in)."""
    site = target.record.site
    stored = base.read(site.name).reshape(stored_shape(site))
    W = np.asarray(stored.T if site.transposed else stored)
    ours = dtypes.round_to(patch_site(W, target.factors, target.k), target.tensor.dtype)
    theirs = (W.astype(np.float32) + change).astype(np.float64)
    return float(np.abs(dtypes.round_to(theirs, target.tensor.dtype) - ours).max())


def _changes(delta: Delta) -> list[tuple[Any, Any]]:
    """Each site's record with its matrix (d_out, d_in) of a dense delta."""
    every = delta.factors.values()
    return [(delta.sites[index], f.left[k]) for f in every for k, index in enumerate(f.sites)]


FORMAT = Format(
    name="diff",
    output="delta.diff.safetensors",
    says="dense differences: ComfyUI, A1111",
    suits=SUITS["diff"],
    write=write,
    trials=trials,
    parts=parts,
)
