"""Read the header of a safetensors file strictly: a file that is not exactly right is refused (E612), never
repaired."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers import placeholders
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.placeholders import FILES, refuse_whole, require
from editc.numerics.bits.dtypes import BITS, nbytes

MAX_HEADER = 6_000_000
"""Bytes of JSON at most, which is room for some 40,000 tensors. One byte of JSON can become 27 bytes of memory: at the
limit of the safetensors library, 100 MB, a file could take 2.7 GB (docs/explanation/hostile.md)."""

_MAX_DIMENSIONS = 32
"""Dimensions of a tensor at most: as many as numpy 1 can have."""


@dataclass(frozen=True)
class TensorEntry:
    """The dtype, shape and byte range of one tensor in its file."""

    dtype: str
    """Its dtype as safetensors names it; in a GGUF file also the name of a quantised type."""
    shape: tuple[int, ...]
    """Its shape, row-major."""
    start: int
    """Position of its first byte in the file."""
    end: int
    """Position after its last byte."""


@dataclass(frozen=True)
class Header:
    """The tensors and the metadata that the header of a file lists."""

    entries: Mapping[str, TensorEntry]
    """Name -> where the tensor is."""
    metadata: Mapping[str, str]
    """The file's metadata; every value is a text. Empty where the file has none."""
    data_start: int
    """Position of the first tensor byte; 0 for containers whose header does not stand before the tensors."""


def read_header(path: Path) -> Header:
    """Read the header of the file at `path`, and no tensor. Raises E610 (cannot be opened), E618 (a Git LFS pointer)
    and E612 (malformed)."""
    with open_file(path, ranges=True) as (file, size):
        require(path, 0, 8)
        prefix = file.read(8)
        length = _header_length(prefix, size, str(path))
        require(path, 8, length)
        return parse_header(file.read(length), size, str(path))


@contextmanager
def open_file(path: Path, ranges: bool = False) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading; yields it and its size in bytes. `ranges`: the caller asks for each range with
    `placeholders.require` before it reads it, so the file may be a sparse copy.

    Raises E618 for a Git LFS pointer, E963 for a sparse copy, and E610 for everything else: opening a pipe would wait
    for ever, and a device has no end.
    """
    placeholders.refuse(path)
    if not ranges:
        refuse_whole(path)
    try:
        with os.fdopen(_open_regular(path), "rb", buffering=0 if ranges and path in FILES else -1) as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error


def _open_regular(path: Path) -> int:
    """A file descriptor of the file. Raises E610 unless it is a regular file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:  # a nul in the name
        raise fail("E610", f"the file cannot be read: {error}", place=str(path)) from error
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise fail("E610", "this is not a regular file", place=str(path), help="give a file, not a folder or a device")


def read_small(path: Path, limit: int = MAX_HEADER) -> bytes:
    """The bytes of a small file of JSON or text. Raises E610 and E618, and ValueError where it has more than `limit`
    bytes."""
    with open_file(path) as (file, size):
        data = file.read(limit) if size <= limit else b""
    if size > limit:
        raise ValueError(f"it has {size} bytes; {limit} is the limit")
    return data


def parse_header(text: bytes, size: int, place: str) -> Header:
    """The header from its JSON bytes; `size` is the size of the whole file. Raises E612."""
    if len(text) > size - 8:
        raise _malformed_error("the file ends inside its header", place)
    document = _parse_json(text, place)
    metadata = _parse_metadata(document.pop("__metadata__", {}), place)
    start = 8 + len(text)
    entries = {name: _parse_entry(name, value, start, place) for name, value in document.items()}
    _check_layout(entries, start, size, place)
    return Header(entries, metadata, start)


def _header_length(prefix: bytes, size: int, place: str) -> int:
    """The length of the JSON from the first 8 bytes of the file. Raises E612."""
    if len(prefix) < 8:
        raise _malformed_error(f"it has {size} bytes; a safetensors file begins with an 8-byte length", place)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise _malformed_error(f"it claims a header of {length} bytes; {MAX_HEADER} is the limit", place)
    if length > size - 8:
        raise _malformed_error(f"it claims a header of {length} bytes, but only {size - 8} follow", place)
    return length


def _parse_json(text: bytes, place: str) -> dict[str, Any]:
    """The header as a JSON object. Raises E612."""
    if not text.startswith(b"{"):
        raise _malformed_error("its header does not begin with '{'", place)
    try:
        document = strict_json(text.decode("utf-8"))
        for name in document:
            name.encode("utf-8")
    except ValueError as error:
        raise _malformed_error(f"its header is not valid JSON: {_shorten(error)}", place) from error
    return dict(document)


def _parse_metadata(value: Any, place: str) -> Mapping[str, str]:
    """The metadata, checked. Raises E612 unless it is a map of texts to texts."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _malformed_error("its __metadata__ is not a map of texts to texts", place)
    return value


def _parse_entry(name: str, value: Any, data: int, place: str) -> TensorEntry:
    """One tensor of the header, checked; `data` is the position of the first tensor byte. Raises E612."""
    shown = name if len(name) < 200 else name[:200] + "..."
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _malformed_error(f"tensor '{shown}' does not have exactly dtype, shape and data_offsets", place)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _malformed_error(f"tensor '{shown}' has the unknown dtype {str(dtype)[:40]!r}", place)
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise _malformed_error(f"tensor '{shown}' has a shape that is not a short list of sizes", place)
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _malformed_error(f"tensor '{shown}' has data_offsets that are not [begin, end]", place)
    if nbytes(dtype, tuple(shape)) != offsets[1] - offsets[0]:
        size = offsets[1] - offsets[0]
        raise _malformed_error(f"tensor '{shown}' is {dtype} {shape} but holds {size} bytes", place)
    return TensorEntry(dtype, tuple(shape), data + offsets[0], data + offsets[1])


def _check_layout(entries: Mapping[str, TensorEntry], start: int, size: int, place: str) -> None:
    """Raises E612 unless the tensors follow one another without gap or overlap and fill the file to its last byte."""
    position, last = start, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            fault = "overlaps" if entry.start < position else "leaves a gap after"
            raise _malformed_error(f"tensor '{name[:200]}' {fault} {last[:200]}", place)
        position, last = entry.end, f"tensor '{name}'"
    if position > size:
        raise _malformed_error(f"it is truncated: {position} bytes are needed, {size} are there", place)
    if position < size:
        raise _malformed_error(f"{size - position} bytes after {last[:200]} belong to no tensor", place)


def _are_counts(value: Any) -> bool:
    """True for a list of whole numbers from 0 to 2^63 - 1; JSON's true and false do not count as numbers."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _shorten(error: Exception) -> str:
    """The first 200 letters of an error's message."""
    return str(error)[:200]


def _malformed_error(reason: str, place: str) -> EditcError:
    """E612: the safetensors file is not well formed."""
    return fail(
        "E612",
        f"this is not a well-formed safetensors file: {reason}",
        place=place,
        help="fetch or save the file again, and compare its size and sha256 with the publisher's",
    )
