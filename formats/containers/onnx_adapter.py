"""Read the header of ONNX Runtime's adapter files: their parameters, and the description that editc appends to them.

Such a file is a FlatBuffer with "TORT" at byte 4. Its root table has three versions and the parameters; each parameter
is a table of name, sizes, type and bytes. The description cannot be a parameter: a parameter that is not an input of
the model stops a session. But offsets in a FlatBuffer count from the start, so bytes after its end are never looked at,
and ONNX Runtime ignores them. There editc writes the description, its length (8 bytes, little-endian) and `editc/v1`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path

from editc.core.diagnostics import EditcError
from editc.formats.containers.canonical import DELTA_KEY, damage_error
from editc.formats.containers.safetensors import MAX_HEADER, Header, TensorEntry, open_file

MAGIC, END = b"TORT", b"editc/v1"
"""The bytes at position 4 of every adapter file, and the last bytes of one that has a description."""
TYPES: Mapping[int, str] = {1: "F32", 10: "F16"}
"""Type number in the file (that of ONNX) -> dtype, for the types that editc writes; ONNX Runtime takes no other
floats."""
_FOOTER = struct.Struct("<Q8s")
"""Behind the description: its length in bytes, and `END`."""
_MAX_PARAMETERS, _MAX_NAME, _MAX_SIZES = 1 << 13, 512, 8
"""Limits for hostile files: parameters, bytes of a name, dimensions. Chosen by hand, above what editc writes: two
parameters for each site, two dimensions each."""


def append_description(adapter: bytes, text: str) -> bytes:
    """The bytes of an adapter file with the description `text` behind them."""
    description = text.encode()
    return b"".join([adapter, description, _FOOTER.pack(len(description), END)])


def read_onnx_adapter(path: Path) -> Header:
    """The parameters of an adapter file and, under the metadata key `editc`, the description of the delta. The metadata
    is empty where the file has no description.

    Raises E610 (cannot be opened), E618 (a Git LFS pointer) and E601 (malformed).
    """
    with open_file(path) as (file, size):
        if size < 8 + _FOOTER.size:
            raise _malformed_error(f"it has only {size} bytes", str(path))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end, text = _find_description(data, str(path))
            entries = _FlatBuffer(data, end, str(path)).read_parameters()
    return Header(entries, {} if text is None else {DELTA_KEY: text}, 0)


def _find_description(data: mmap.mmap, place: str) -> tuple[int, str | None]:
    """Where the FlatBuffer ends, and the description behind it; None where there is none."""
    start = len(data) - _FOOTER.size
    length, mark = _FOOTER.unpack_from(data, start)
    if mark != END:
        return len(data), None
    if length > min(MAX_HEADER, start):
        raise _malformed_error(f"it claims a description of {length} bytes, which is too long", place)
    try:
        return start - length, data[start - length : start].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed_error("its description is not UTF-8", place) from error


class _FlatBuffer:
    """The tables of a FlatBuffer that ends at byte `end`. Raises E601 for an offset that leads out of it."""

    def __init__(self, data: mmap.mmap, end: int, place: str) -> None:
        self._data, self._end, self._place = data, end, place

    def read_parameters(self) -> dict[str, TensorEntry]:
        """Name -> dtype, shape and byte range of each parameter."""
        if self._data[4:8] != MAGIC:
            raise _malformed_error("it is not an adapter of ONNX Runtime", self._place)
        start, count = self._find_vector(self._find_field(self._read_number("I", 0), 3))
        if count > _MAX_PARAMETERS:
            raise _malformed_error(f"it claims {count} parameters, which is more than editc reads", self._place)
        slots = range(start, start + 4 * count, 4)
        found = dict(self._read_parameter(slot + self._read_number("I", slot)) for slot in slots)
        if len(found) < count:
            raise _malformed_error("two parameters have the same name", self._place)
        if sum(entry.end - entry.start for entry in found.values()) > self._end:
            raise _malformed_error("its parameters share their bytes", self._place)
        return found

    def _read_parameter(self, table: int) -> tuple[str, TensorEntry]:
        """Name and place of the parameter whose table begins at byte `table`."""
        at, length = self._find_vector(self._find_field(table, 0))
        sizes, dimensions = self._find_vector(self._find_field(table, 1))
        kind = self._read_number("i", self._find_field(table, 2))
        start, size = self._find_vector(self._find_field(table, 3))
        if length > _MAX_NAME or dimensions > _MAX_SIZES or kind not in TYPES:
            what = f"the type {kind}, {dimensions} dimensions and a name of {length} bytes"
            raise _malformed_error(f"a parameter has {what}, which is not allowed", self._place)
        shape = tuple(self._read_number("q", sizes + 8 * i) for i in range(dimensions))
        width = 4 if TYPES[kind] == "F32" else 2
        if min(shape, default=0) < 0 or prod(shape) * width != size or start + size > self._end:
            raise _malformed_error(f"a parameter of the sizes {shape} has {size} bytes", self._place)
        self._read_number("c", at + length)  # checks that the name and the zero byte behind it lie inside
        try:
            return self._data[at : at + length].decode("utf-8"), TensorEntry(TYPES[kind], shape, start, start + size)
        except UnicodeDecodeError as error:
            raise _malformed_error("a parameter's name is not UTF-8", self._place) from error

    def _find_field(self, table: int, index: int) -> int:
        """Position of a table's field. Raises E601 where the table lacks the field."""
        layout = table - self._read_number("i", table)
        slot = 4 + 2 * index
        offset = self._read_number("H", layout + slot) if slot < self._read_number("H", layout) else 0
        if not offset:
            raise _malformed_error("a table lacks some of its fields", self._place)
        return table + offset

    def _find_vector(self, field: int) -> tuple[int, int]:
        """Position of a vector's first element, and how many elements it has."""
        at = field + self._read_number("I", field)
        return at + 4, self._read_number("I", at)

    def _read_number(self, code: str, at: int) -> int:
        """The number at byte `at`, by its `struct` code."""
        if not 0 <= at <= self._end - struct.calcsize(f"<{code}"):
            raise _malformed_error(f"an offset points to byte {at} of {self._end}", self._place)
        return struct.unpack_from(f"<{code}", self._data, at)[0]  # type: ignore[no-any-return]


def _malformed_error(reason: str, place: str) -> EditcError:
    """E601: the adapter file is not well formed."""
    return damage_error(f"this is not a well-formed adapter file: {reason}", place)
