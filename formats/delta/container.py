"""Read and write the delta file: one .safetensors file, one metadata key, the same bytes for the same delta. FORMAT.md
is its specification.

`delta_id` is the sha256 of the whole file with 64 zeros in place of the `delta_id` itself. Reading writes the header
again from what was understood and requires the same bytes, so that not a single byte can differ unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Delta, Factors
from editc.core.diagnostics import EditcError, fail
from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.containers.canonical import DELTA_KEY, canonical_json, damage_error, strict_json
from editc.formats.containers.safetensors import Header, open_file, parse_header, read_header
from editc.formats.containers.safetensors_write import header_bytes
from editc.formats.delta import check, packing
from editc.formats.delta import description as delta_json

_NO_ID = "0" * 64
"""What stands in place of the `delta_id` while it is computed."""
_SIDES = ("left", "right", "bits")
"""The kinds of tensors in a group, as their names have them: left factors, right factors, changes of bits."""
_Tensor: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
"""A factor, or the packed change of bits of one site."""
_DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "U8": np.dtype("u1")}
"""The dtypes that a delta file may hold: factors are F32 or, from version 2 on, F16; bits are U8."""
_HELD: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in _DTYPES.items()}
"""The same the other way round."""


def write_delta(delta: Delta, path: Path) -> Delta:
    """Write the file, whole or not at all. Returns `delta` with its `delta_id`. Raises E604, E605, E625 and E632."""
    data = to_bytes(delta)
    with guard_writes(path):
        replace_file(path, data)
    return replace(delta, delta_id=_read_delta_id(data))


def read_delta(path: Path | str) -> Delta:
    """The delta in the file, checked to the last byte. Raises E601 to E604, E610, E618 and E625."""
    place = str(path)
    _check_header(Path(path), place)
    with open_file(Path(path)) as (file, size):
        try:
            data = file.read(size)
        except MemoryError as error:
            raise fail("E604", f"the delta has {size:,} bytes, which is more than the memory", place=place) from error
    return from_bytes(data, place)


def _check_header(path: Path, place: str) -> None:
    """Refuse by its header alone what cannot be a delta, before the rest is read."""
    try:
        header = read_header(path)
    except EditcError as error:
        raise misread_error(error, place) from error
    value = _read_description(header, place)
    delta_json.check_types(value, place)
    kinds = {name: np.uint8 if entry.dtype == "U8" else np.float32 for name, entry in header.entries.items()}
    nothing = {name: np.broadcast_to(np.zeros((), kinds[name]), one.shape) for name, one in header.entries.items()}
    _assemble(value, nothing, place)


def misread_error(error: EditcError, place: str) -> EditcError:
    """The error of a container, as it is reported for a delta: E601.

    E610 (the file cannot be read) and E618 (a Git LFS pointer) stay as they are: they say nothing about a delta.
    """
    fault = error.diagnostics[0]
    return error if fault.code in ("E610", "E618") else damage_error(fault.message, place)


def to_bytes(delta: Delta) -> bytes:
    """The bytes of the file. They depend on the delta's content alone: its `delta_id` is computed, and the one it has
    is ignored. Raises E604, E605 and E625."""
    check.check_delta(delta, "")
    if not 1 <= delta.version <= delta_json.VERSION:
        raise fail("E605", f"format version {delta.version} cannot be written, only 1 to {delta_json.VERSION}")
    about, parts = _stored(delta)
    body = b"".join(np.ascontiguousarray(parts[name]).tobytes() for name in sorted(parts))
    delta_id = hashlib.sha256(_header(about, parts, _NO_ID) + body).hexdigest()
    return _header(about, parts, delta_id) + body


def from_bytes(data: bytes, place: str = "") -> Delta:
    """The delta in a file's bytes. Raises E601 (damaged), E602 (newer), E603 (not a delta), E604 and E625 (makes no
    sense)."""
    header = _parse(data, place)
    value = _read_description(header, place)
    delta_json.check_types(value, place)
    parts = {name: _read_tensor(data, header, name, place) for name in header.entries}
    delta = _assemble(value, parts, place)
    _check_bytes(delta, data, header, place)
    check.check_delta(delta, place)
    return delta


def with_delta_id(delta: Delta) -> Delta:
    """`delta` with the `delta_id` of its content. Raises E604, E605 and E625."""
    return replace(delta, delta_id=_read_delta_id(to_bytes(delta)))


def assemble(description: Mapping[str, Any], parts: packing.Parts, place: str) -> Delta:
    """The delta of a description and of factors read from another container, named as in a delta file.

    Raises E601 where they do not give the `delta_id` in the description, E604 and E625.
    """
    delta = _assemble_whole(description, parts, place)
    if with_delta_id(delta).delta_id != delta.delta_id:
        raise damage_error("its tensors and its description do not match its delta_id", place)
    return delta


def tensor_name(group: str, side: str, index: int) -> str:
    """The name of a factor in the file, such as `group/text/left.0`; `side` is `left`, `right` or `bits`."""
    return f"group/{group}/{side}.{index}"


def _parse(data: bytes, place: str) -> Header:
    """The header of a delta file. Raises E601."""
    if len(data) < 8:
        raise damage_error(f"it has only {len(data)} bytes", place)
    length = int.from_bytes(data[:8], "little")
    try:
        return parse_header(data[8 : 8 + length] if length < len(data) else data, len(data), place)
    except EditcError as error:
        raise damage_error(error.diagnostics[0].message, place) from error


def _read_description(header: Header, place: str) -> Mapping[str, Any]:
    """The description of the delta from the metadata. Raises E601, E602 and E603."""
    if DELTA_KEY not in header.metadata:
        help_text = "a delta is what `editc build` writes; to look into a model use `editc inspect`"
        raise fail("E603", "the file is not an editc delta: it has no description of one", place=place, help=help_text)
    try:
        value: Any = strict_json(header.metadata[DELTA_KEY])
    except ValueError as error:
        raise damage_error(f"its description is not valid JSON: {str(error)[:200]}", place) from error
    delta_json.check_version(value, place)
    table: Mapping[str, Any] = value
    return table


def _assemble(value: Mapping[str, Any], parts: packing.Parts, place: str) -> Delta:
    """The delta of a file's description and its tensors; its `delta_id` is not checked."""
    if value["version"] > 1:
        value, parts = packing.unpack(value, parts, place)
    return _assemble_whole(value, parts, place)


def _assemble_whole(value: Mapping[str, Any], parts: packing.Parts, place: str) -> Delta:
    """The delta of a whole description, and of factors that are a tensor each."""
    sites = delta_json.site_records(value, place)
    factors = {group: _read_factors(value, group, parts, place) for group in value["groups"]}
    if {name for name, _ in named_tensors(factors)} != parts.keys():
        raise damage_error("it holds tensors that belong to no group", place)
    plain = ("family", "encoder", "manifest", "manifest_digest", "tool", "version", "delta_id", "extra")
    fields = {name: value[name] for name in plain} | {name: tuple(value[name]) for name in ("edits", "claims")}
    return Delta(sites=sites, factors=factors, **fields)


def _read_factors(value: Mapping[str, Any], group: str, parts: packing.Parts, place: str) -> Factors:
    """The factors of one group, found by their names. Raises E601 where one is missing or has another dtype."""
    form, sites, *counts = delta_json.read_group(value, group, place)
    if sum(counts) > len(parts):
        raise damage_error(f"group '{group[:80]}' claims more tensors than there are", place)
    names = [[tensor_name(group, side, i) for i in range(n)] for side, n in zip(_SIDES, counts, strict=True)]
    missing = [name for side in names for name in side if name not in parts]
    if missing:
        raise damage_error(f"tensor '{missing[0][:200]}' is missing", place)
    left, right, bits = (tuple(parts[name] for name in side) for side in names)
    for side, dtype in ((left, np.float32), (right, np.float32), (bits, np.uint8)):
        if not all(part.dtype == dtype for part in side):
            raise damage_error(f"group '{group[:80]}' has a tensor of another dtype", place)
    return Factors(form, sites, left, right, bits)


def _read_tensor(data: bytes, header: Header, name: str, place: str) -> NDArray[Any]:
    """One tensor of the file, as a view of its bytes. Raises E601 for a dtype that no delta has."""
    entry = header.entries[name]
    if entry.dtype not in _DTYPES:
        raise damage_error(f"tensor '{name[:200]}' is {entry.dtype}; factors are F32 or F16, bits U8", place)
    dtype = _DTYPES[entry.dtype]
    count = (entry.end - entry.start) // dtype.itemsize
    return np.frombuffer(data, dtype, count, entry.start).reshape(entry.shape)


def _check_bytes(delta: Delta, data: bytes, header: Header, place: str) -> None:
    """Raises E601 unless the header is spelled as editc writes it and all bytes give the `delta_id`."""
    about, parts = _stored(delta)
    try:
        same = _header(about, parts, delta.delta_id) == data[: header.data_start]
        blank = _header(about, parts, _NO_ID)
    except EditcError as error:
        raise damage_error(error.diagnostics[0].message, place) from error
    digest = hashlib.sha256(blank)
    digest.update(memoryview(data)[header.data_start :])
    if not same:
        raise damage_error("its header was not written by editc", place)
    if digest.hexdigest() != delta.delta_id:
        raise damage_error("its bytes do not match its delta_id", place)


def named_tensors(factors: Mapping[str, Factors]) -> Iterator[tuple[str, _Tensor]]:
    """Each tensor of these groups, with the name that a delta file gives it."""
    for group, edit in factors.items():
        sides: tuple[tuple[_Tensor, ...], ...] = (edit.left, edit.right, edit.bits)
        for side, parts in zip(_SIDES, sides, strict=True):
            yield from ((tensor_name(group, side, i), part) for i, part in enumerate(parts))


def _stored(delta: Delta) -> tuple[Mapping[str, Any], packing.Parts]:
    """The description, without a `delta_id`, and the tensors of the file."""
    about, parts = delta_json.describe(delta, _NO_ID), dict(named_tensors(delta.factors))
    return packing.pack(about, parts) if delta.version > 1 else (about, parts)


def _header(about: Mapping[str, Any], parts: packing.Parts, delta_id: str) -> bytes:
    """The header of a file with this description and these tensors, and `delta_id` as given."""
    rows = ((name, _HELD[parts[name].dtype], parts[name].shape, parts[name].nbytes) for name in sorted(parts))
    return header_bytes(rows, {DELTA_KEY: canonical_json({**about, "delta_id": delta_id})})


def _read_delta_id(data: bytes) -> str:
    """The `delta_id` in a file's bytes, which are checked."""
    return from_bytes(data).delta_id
