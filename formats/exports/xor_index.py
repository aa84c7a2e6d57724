"""The edited tensors as a new version of a checkpoint, as trainers publish weights to running engines.

The folder has `model.safetensors.index.json` and shards. Each changed tensor is one U8 tensor under its own name: the
bytes of base XOR result as a zstd frame. The shard's metadata holds, under the same name, the checksum of the result.
ModelExpress (its S3_DELTA_WEIGHT_REFIT.md), slime, miles and SGLang's `/pull_weights` describe this layout; their texts
were read in 2026-11. None of these engines was run here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.storage import disk
from editc.formats.apply.destination import remove_on_failure
from editc.formats.apply.edited_bytes import rewrite
from editc.formats.apply.plan import plan_apply
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.ranges import read_range
from editc.formats.containers.safetensors import read_header
from editc.formats.containers.safetensors_write import header_bytes
from editc.formats.delta.container import to_bytes
from editc.formats.exports import zstd
from editc.formats.exports.embed import COMPANION
from editc.formats.exports.format import ConsumerTrial, Format, Job, Written
from editc.formats.exports.suits import SUITS
from editc.formats.models.model import Checkpoint, Model

INDEX = "model.safetensors.index.json"
"""The name of the index file."""
_SHARD = 1 << 30
"""Bytes of changes after which a new shard begins (1 GiB). One shard is in memory at a time. Chosen by hand."""


def write_version(
    delta: Delta, model: Model, out: Path, version: str = "000001", base: str = "000000"
) -> tuple[Path, ...]:
    """Write the version into the new folder `out`, and return its files. The engine must hold `model` under the version
    name `base`.

    Raises E608 (an LDM file, several components, or nothing to change), E630, and what applying the delta raises.
    """
    names = {record.site.component for record in delta.sites}
    if model.ldm_components() or len(names) > 1:
        help_text = "give the folder of one component, with the names that the engine loads"
        raise fail(
            "E608",
            "an xor-index is for one component alone",
            place=model.place,
            help=help_text,
        )
    if out.exists():
        raise fail("E630", "the path exists already", place=str(out), help="choose another path, or remove it")
    plan = plan_apply([delta], model)
    pending = [target for target in plan.targets if target.pending]
    if not pending:
        raise fail("E608", "the model contains the edit already, so nothing changes", place=model.place)
    changes: Iterator[tuple[str, bytes, str]] = (
        _change(target.record.site.name, raw, b"".join(piece.new for piece in rewrite([target])))
        for target in sorted(pending, key=lambda one: one.record.site.name)
        for raw in (target.tensor.read_stored(),)
    )
    metadata = {"version": version, "base_version": base, "delta_encoding": "xor", "compression_format": "zstd"}
    metadata |= {"checksum_format": "adler32", "editc_delta_id": delta.delta_id}
    part = disk.temporary_path(out)
    with disk.guard_writes(out), remove_on_failure(part, part):
        disk.make_folder(part)
        table = _write_shards_and_index(changes, part, metadata)
        disk.rename(part, out)
    return (out / INDEX, *sorted(out / name for name in set(table.values())))


def read_version(folder: Path, weights: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the new bytes of every tensor that the version changes, after checking them. `weights`: the
    base. Raises E608 if the version does not fit."""
    table = _read_index(folder)
    for file in sorted(set(table.values())):
        header = _read_shard_header(folder / file)
        for name in sorted(name for name, place in table.items() if place == file):
            if name not in header.entries or name not in weights.tensors or name not in header.metadata:
                raise _misfit_error(
                    folder, f"tensor '{name[:200]}' is not in the shard, in its metadata, or in the model"
                )
            entry, raw = header.entries[name], weights.raw(name)
            try:
                frame = read_range(folder / file, entry.start, entry.end - entry.start)
                result = _xor(raw, zstd.decompress(frame, len(raw)))
            except ValueError as error:
                raise _misfit_error(folder, f"tensor '{name[:200]}': {error}") from error
            if _checksum(result) != header.metadata[name]:
                raise _misfit_error(
                    folder, f"tensor '{name[:200]}': its checksum is not the one that the shard records"
                )
            yield name, result


def check_version(folder: Path, delta: Delta, model: Model) -> int:
    """Read the version over the base, and compare every result with the delta's hash for that dtype, if there is one.
    Returns the number of tensors. Raises E608."""
    from editc.numerics.bits.dtypes import sha256

    weights = model.component(delta.sites[0].site.component)
    known = {record.site.name: record.result.get(weights.dtype(record.site.name)) for record in delta.sites}
    count = 0
    for name, result in read_version(folder, weights):
        if known.get(name) not in (None, sha256(result)):
            raise _misfit_error(folder, f"tensor '{name[:200]}': the result is not the one that the delta records")
        count += 1
    return count


def _change(name: str, raw: bytes, result: bytes) -> tuple[str, bytes, str]:
    """Name, zstd frame of base XOR result, and checksum of the result."""
    return name, zstd.compress(_xor(raw, result)), _checksum(result)


def _xor(one: bytes, other: bytes) -> bytes:
    return (np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).tobytes()


def _checksum(raw: bytes) -> str:
    """Adler-32 as eight hexadecimal digits."""
    return f"{zlib.adler32(raw):08x}"


def _write_shards_and_index(
    changes: Iterator[tuple[str, bytes, str]], folder: Path, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Write the shards under temporary names, rename them once their number is known, and write the index. Returns the
    file of each tensor."""
    shards = list(_write_shards(changes, folder))
    table = {name: _shard_name(i, len(shards)) for i, shard in enumerate(shards) for name in shard}
    for i in range(len(shards)):
        disk.rename(folder / f"{i}.part", folder / _shard_name(i, len(shards)))
    index = json.dumps({"metadata": metadata, "weight_map": table}, indent=2, sort_keys=True) + "\n"
    disk.replace_file(folder / INDEX, index.encode())
    return table


def _write_shards(changes: Iterator[tuple[str, bytes, str]], out: Path) -> Iterator[tuple[str, ...]]:
    """Write `0.part`, `1.part`, ..., and yield the tensors' names in each."""
    shard: list[tuple[str, bytes, str]] = []
    number, size = 0, 0
    for change in changes:
        shard.append(change)
        size += len(change[1])
        if size >= _SHARD:
            yield _write_shard(shard, out / f"{number}.part")
            shard, number, size = [], number + 1, 0
    if shard:
        yield _write_shard(shard, out / f"{number}.part")


def _write_shard(shard: list[tuple[str, bytes, str]], path: Path) -> tuple[str, ...]:
    """Write one shard, and return the tensors' names in it."""
    rows = [(name, "U8", [len(frame)], len(frame)) for name, frame, _ in shard]
    head = header_bytes(rows, {name: checksum for name, _, checksum in shard})
    disk.write_new(path, (head, *(frame for _, frame, _ in shard)))
    return tuple(name for name, _, _ in shard)


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _read_index(folder: Path) -> Mapping[str, str]:
    """Read the index: tensor -> shard. Raises E608 if it is damaged, or of another encoding."""
    try:
        found = strict_json((folder / INDEX).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _misfit_error(folder, f"{INDEX} cannot be read: {str(error)[:200]}") from error
    metadata = found.get("metadata") if isinstance(found, dict) else None
    table = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(metadata, dict) or not isinstance(table, dict):
        raise _misfit_error(folder, f"{INDEX} has no metadata or no weight_map")
    wanted = {"delta_encoding": "xor", "compression_format": "zstd", "checksum_format": "adler32"}
    for name, value in wanted.items():
        if metadata.get(name) != value:
            raise _misfit_error(folder, f"its {name} is {str(metadata.get(name))[:80]!r}, not '{value}'")
    for file in table.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise _misfit_error(folder, f"{INDEX} names a shard that is not a file of this folder")
    return table


def _read_shard_header(file: Path) -> Any:
    """Read a shard's header. Raises E608."""
    try:
        return read_header(file)
    except EditcError as error:
        raise _misfit_error(file, error.diagnostics[0].message) from error


def _misfit_error(place: Path, reason: str) -> EditcError:
    """Make the error E608 for a version that does not fit."""
    help_text = "write it again from the delta, with the model that the delta was made for"
    return fail("E608", f"the version does not fit: {reason}", place=str(place), help=help_text)


def _export(job: Job) -> Written:
    """Write the version, with the delta itself beside the shards. Engines ignore that file; editc reads it."""
    if job.model is None:
        help_text = "name the model with --model; it is only read"
        raise fail("E676", "this export needs the weights that the delta was built for", help=help_text)
    made = write_version(job.delta, job.model, job.out)
    with disk.guard_writes(job.out):
        disk.replace_file(job.out / COMPANION, to_bytes(job.delta))
    return Written((*made, job.out / COMPANION), job.delta)


def _trials(job: Job, written: Written) -> tuple[ConsumerTrial, ...]:
    """Apply the layout's own steps in editc, because no engine that reads such versions can be installed everywhere."""
    if job.model is None:
        return (ConsumerTrial("the description's steps", skipped="needs the base: name it with --model"),)
    count = check_version(job.out, written.delta, job.model)
    return (ConsumerTrial("the description's steps", count, count, 0.0),)


FORMAT = Format(
    name="xor-index",
    output="version",
    says="changed tensors as XOR of bytes, for engines that pull new versions of a checkpoint",
    suits=SUITS["xor-index"],
    write=_export,
    trials=_trials,
    needs=("zstandard",),
    extra="engines",
)
