"""ONNX Runtime's own adapter file, for models that `editc onnx make-lora-ready` has prepared.

Its parameters have the names of the inputs that make-lora-ready adds: `<module>.lora_A.weight` (d_in, r) and
`.lora_B.weight` (r, d_out). The description of the delta is stored after the parameters, at the end of the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.diagnostics import fail
from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.containers import onnx_adapter
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import ConsumerTrial, Format, Job, Written
from editc.formats.exports.onnx.surgery import input_names
from editc.formats.exports.suits import SUITS

NAME = "onnx-adapter"
_NUMPY = {"F32": "<f4", "F16": "<f2"}
"""Dtypes that the adapter can hold -> numpy's name."""


def write(job: Job) -> Written:
    """Write one .onnx_adapter file. Raises E675 to E678 and E632."""
    if job.dtype not in _NUMPY:
        raise fail(
            "E678",
            f"ONNX Runtime's adapters hold no {job.dtype}",
            help="export it with `--dtype fp32` or `--dtype fp16`",
        )
    from onnxruntime import AdapterFormat, OrtValue

    lowered = lowering.to_low_rank(job)
    parameters: dict[str, Any] = {}
    for record, left, right in lowering.pairs(lowered.delta):
        for name, part in zip(input_names(record.site.name), (right.T, left.T), strict=True):
            parameters[name] = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(part, _NUMPY[job.dtype]))
    made = AdapterFormat()
    made.set_adapter_version(1)
    made.set_model_version(1)
    made.set_parameters({name: parameters[name] for name in sorted(parameters)})
    with guard_writes(job.out), tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "adapter"
        made.export_adapter(str(plain))
        replace_file(
            job.out, onnx_adapter.append_description(plain.read_bytes(), embed.make_note(NAME, lowered.delta, {}))
        )
    return Written((job.out,), lowered.delta, lowered.rounding)


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the factors of the delta back from such a file: the inverse of `write`."""

    def pair(name: str) -> tuple[Any, Any]:
        A, B = (tensors[one] for one in input_names(name))
        return np.ascontiguousarray(B.T), np.ascontiguousarray(A.T)

    embed.check_count(tensors, 2 * len(description["sites"]), "parameters")
    return embed.low_rank_parts(description, pair)


def try_adapter(job: Job, written: Written) -> ConsumerTrial:
    """Read the file with ONNX Runtime, and compare each site's change."""
    import onnxruntime

    adapter = onnxruntime.AdapterFormat.read_adapter(str(written.files[0]))  # the parameters lie in its memory
    found = adapter.get_parameters()
    worst, matched = 0.0, 0
    sites = list(lowering.pairs(written.delta))
    for record, left, right in sites:
        A, B = (found.get(name) for name in input_names(record.site.name))
        if A is not None and B is not None:
            matched += 1
            change = B.numpy().astype(np.float64).T @ A.numpy().astype(np.float64).T
            worst = max(worst, float(np.abs(change - left.astype(np.float64) @ right.astype(np.float64)).max()))
    total = len(sites) + max(0, len(found) - 2 * len(sites))
    return ConsumerTrial(f"onnxruntime {onnxruntime.__version__}", matched, total, worst)


FORMAT = Format(
    name=NAME,
    output="delta.onnx_adapter",
    says="an adapter to switch at run time: ONNX Runtime, on a model that was made ready",
    suits=SUITS[NAME],
    write=write,
    low_rank=True,
    trials=lambda job, written: (try_adapter(job, written),),
    parts=parts,
    needs=("onnxruntime",),
    extra="onnx",
)
