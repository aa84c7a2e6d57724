"""LoRA adapters for llama.cpp: a GGUF file of `<tensor>.lora_a` (r, d_in) and `.lora_b` (d_out, r), which llama.cpp
reads with `--lora`.

llama.cpp multiplies each change by alpha / r, with one alpha for the file and the r of each tensor. Therefore all ranks
are padded to the largest, and alpha equals it. Tensors have llama.cpp's names. Two kinds of matrices are refused: those
whose rows llama.cpp may store in another order (queries and keys of most architectures), and embeddings, which it
transposes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.storage.disk import guard_writes, rename, temporary_path
from editc.formats.apply.destination import remove_on_failure
from editc.formats.containers.canonical import DELTA_KEY, strict_json
from editc.formats.containers.table import GGUF
from editc.formats.exports import embed, lowering
from editc.formats.exports.format import ConsumerTrial, Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import compare_changes
from editc.formats.models import gguf_names
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes

DOWN, UP = ".lora_a", ".lora_b"
"""The endings of the down and the up matrix, after the tensor's name."""
ALPHA = "adapter.lora.alpha"
"""The metadata key of the file's alpha."""
EMBEDDINGS = ("token_embd.", "output.")
"""The beginnings of the names of embeddings."""


def write(job: Job) -> Written:
    """Write one .gguf file, whole or not at all. Raises E675 to E678, E632 and E694."""
    if job.model is None:
        help_ = "name the model with --model; it is only read"
        raise fail("E676", "this export needs the configuration of the model that the delta was built for", help=help_)
    architecture, blocks = _read_architecture(job.model)
    lowered = lowering.to_low_rank(job)
    rank = max(len(right) for _, _, right in lowering.pairs(lowered.delta))
    delta = lowering.pad_ranks(lowered.delta, lambda _: rank)
    names = {r.site.name: llama_cpp_name(architecture, blocks, r.site.name) for r in delta.sites}
    note = embed.make_note("gguf-lora", delta, {"names": names})
    temporary = temporary_path(job.out)
    with guard_writes(job.out), remove_on_failure(temporary):
        _write_file(temporary, architecture, rank, note, _encode_tensors(delta, names, job.dtype))
        rename(temporary, job.out)
    return Written((job.out,), delta, lowered.rounding)


def llama_cpp_name(architecture: str, blocks: int, name: str) -> str:
    """Translate a matrix's name into llama.cpp's, for a model with `blocks` layers. Raises E694 if an adapter cannot
    change that matrix."""
    found = gguf_names.translate(architecture, blocks, name)
    if not found:
        raise gguf_names.no_name_error(f"'{name}' is no tensor of the architecture {architecture}")
    if gguf_names.is_reordered(architecture, found):
        raise gguf_names.no_name_error(f"the rows of '{name}' may be in another order there, for the rotary embedding")
    if found.startswith(EMBEDDINGS):
        raise gguf_names.no_name_error(
            f"'{name}' is an embedding, which an adapter for llama.cpp stores in another way"
        )
    return found


def parts(description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the factors of the delta back from such a file: the inverse of `write`."""
    names, alpha = options["names"], float(tensors[ALPHA])

    def pair(name: str) -> tuple[Any, Any]:
        up, down = tensors[names[name] + UP], tensors[names[name] + DOWN]
        if alpha != len(down):
            raise ValueError(f"its alpha is {alpha} and its rank {len(down)}: another strength than the delta's")
        return up, down

    embed.check_count(tensors, 2 * len(description["sites"]) + 1)
    return embed.low_rank_parts(description, pair)


def try_gguf_reader(job: Job, written: Written) -> ConsumerTrial:
    """Read the file with the `gguf` package, scale each change as llama.cpp does, and compare. llama.cpp itself is not
    run."""
    import gguf

    reader = gguf.GGUFReader(written.files[0])
    alpha = float(_read_field(reader, ALPHA))
    found = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    names = strict_json(_read_field(reader, DELTA_KEY))["options"]["names"]
    ours = {theirs: name for name, theirs in names.items()}
    changes = {
        ours.get(name.removesuffix(UP), name): alpha / up.shape[1] * (up @ found[name.removesuffix(UP) + DOWN])
        for name, up in found.items()
        if name.endswith(UP)
    }
    return compare_changes("gguf reader", written.delta, changes)


def _read_field(reader: Any, name: str) -> Any:
    """The value of a metadata field of a GGUF file."""
    return reader.get_field(name).contents()


def _read_architecture(model: Model) -> tuple[str, int]:
    """The model's architecture by llama.cpp's name, and its number of layers."""
    if model.layout == "file" and model.path.suffix == GGUF:
        metadata = model.component().metadata
        return gguf_names.stored_architecture(metadata)
    return gguf_names.config_architecture((model.path.parent if model.path.is_file() else model.path) / "config.json")


def _encode_tensors(delta: Delta, names: Mapping[str, str], dtype: str) -> Mapping[str, tuple[str, Any]]:
    """Tensor's name in llama.cpp -> its dtype, and its bytes as an array (rows, bytes per row)."""
    found = {}
    for record, left, right in lowering.pairs(delta):
        for end, part in ((DOWN, right), (UP, left)):
            raw = dtypes.encode(part.astype(np.float64), dtype)
            found[names[record.site.name] + end] = dtype, np.frombuffer(raw, np.uint8).reshape(len(part), -1)
    return found


def _write_file(path: Path, architecture: str, rank: int, note: str, tensors: Mapping[str, tuple[str, Any]]) -> None:
    """Write the GGUF file with the `gguf` package. `rank`: the rank of every pair, which is also alpha."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32(ALPHA, float(rank))
    writer.add_string(DELTA_KEY, note)
    for name in sorted(tensors):
        dtype, rows = tensors[name]
        writer.add_tensor(name, rows, raw_dtype=gguf.GGMLQuantizationType[dtype])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


FORMAT = Format(
    name="gguf-lora",
    output="lora.gguf",
    says="an adapter for llama.cpp and what is built on it",
    suits=SUITS["gguf-lora"],
    write=write,
    low_rank=True,
    trials=lambda job, written: (try_gguf_reader(job, written),),
    parts=parts,
    needs=("gguf",),
    extra="gguf",
)
