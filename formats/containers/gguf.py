"""Read the header of a GGUF file (version 2 and 3, little-endian) strictly; a file that is not well formed is refused
(E692).

Layout of the file: magic, version, counts; key-value pairs; a table of tensors; then the tensors, each at a multiple of
the alignment. The file stores a shape with the fastest dimension first; editc has it row-major, (d_out, d_in), as
everywhere else.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers import placeholders
from editc.formats.containers.safetensors import Header, TensorEntry

MAGIC = b"GGUF"
"""The first four bytes of a GGUF file."""
TYPES: Mapping[int, tuple[str, int, int]] = MappingProxyType(
    {
        **{0: ("F32", 1, 4), 1: ("F16", 1, 2), 28: ("F64", 1, 8), 30: ("BF16", 1, 2)},
        **{24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8)},
        **{2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24)},
        **{8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 20: ("IQ4_NL", 32, 18)},
        **{10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176)},
        **{14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 23: ("IQ4_XS", 256, 136)},
        **{16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 22: ("IQ2_S", 256, 82)},
        **{18: ("IQ3_XXS", 256, 98), 21: ("IQ3_S", 256, 110), 19: ("IQ1_S", 256, 50), 29: ("IQ1_M", 256, 56)},
        **{34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 41: ("Q1_0", 128, 18)},
        **{39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36)},
    }
)
"""Type number in the file -> (name, weights in one block, bytes of one block). Source: ggml, as of gguf 0.19."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Number of a scalar type -> its code for `struct` (ggml/docs/gguf.md)."""
_TEXT, _ARRAY = 8, 9
"""The numbers of the types text and array (ggml/docs/gguf.md)."""
_MAX_KEYS, _MAX_TENSORS, _MAX_TEXTS, _MAX_NAME = 1 << 14, 1 << 16, 1 << 20, 1 << 8
"""Limits for hostile files: metadata keys, tensors, texts in arrays, letters of a tensor's name. Chosen by hand, far
above what published models have; ggml allows a name 64 bytes."""
_MAX_HEADER, _MAX_TEXT_BYTES = 100_000_000, 16_000_000
"""Limits for hostile files, chosen by hand: bytes of the whole header, and bytes of the texts in it that are read. The
long texts of a file are its vocabulary, which is skipped."""

_LENGTH = struct.Struct("<Q")
"""The length of a text, which stands before it."""


def read_gguf(path: Path) -> Header:
    """The tensors and the metadata of a GGUF file. Numbers in the metadata become text; arrays (vocabularies) are
    skipped.

    Raises E610 (cannot be opened), E618 (a Git LFS pointer) and E692 (malformed).
    """
    placeholders.refuse(path)
    try:
        if path.exists() and not path.is_file():
            raise fail("E610", "this is not a regular file", place=str(path), help="give a file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 24:
                raise malformed_error(f"it has only {size} bytes", str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(_Cursor(data, min(size, _MAX_HEADER), str(path)), size)
    except OSError as error:
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error


def malformed_error(reason: str, place: str) -> EditcError:
    """E692: the GGUF file is not well formed."""
    help_ = "fetch or convert the file again, and compare its size and sha256 with the publisher's"
    return fail("E692", f"this is not a well-formed GGUF file: {reason}", place=place, help=help_)


class _Cursor:
    """Reads the header from its first byte onward, never past `end`. Every method raises E692 where the header ends too
    early."""

    def __init__(self, data: mmap.mmap, end: int, place: str) -> None:
        self._data, self._end, self.place, self.position = data, end, place, 0
        self._texts = self._text_bytes = 0

    def read_bytes(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.skip(size)
        return self._data[self.position - size : self.position]

    def skip(self, size: int) -> None:
        """Move on by `size` bytes without reading them."""
        if self.position + size > self._end:
            raise malformed_error(f"its header ends at byte {self._end}, inside a value", self.place)
        self.position += size

    def read_number(self, code: str) -> int | float | bool:
        """The next scalar, by its `struct` code."""
        return struct.unpack(f"<{code}", self.read_bytes(struct.calcsize(f"<{code}")))[0]  # type: ignore[no-any-return]

    def read_count(self, code: str = "Q") -> int:
        """The next whole number."""
        return int(self.read_number(code))

    def read_text(self) -> str:
        """The next text: its length, then UTF-8. Raises E692 also when all texts together are longer than
        `_MAX_TEXT_BYTES`."""
        length = self.read_count()
        self._text_bytes += length
        if self._text_bytes > _MAX_TEXT_BYTES:
            raise malformed_error(f"its texts have more than {_MAX_TEXT_BYTES} bytes", self.place)
        try:
            return self.read_bytes(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise malformed_error("a text in its header is not UTF-8", self.place) from error

    def read_value(self) -> str | None:
        """The next metadata value, with its type before it, as text. None for an array, which is skipped."""
        kind = self.read_count("I")
        if kind == _TEXT:
            return self.read_text()
        if kind != _ARRAY:
            return str(self.read_number(_scalar_code(kind, self.place)))
        inner, count = self.read_count("I"), self.read_count()
        if inner == _TEXT:
            self._skip_texts(count)
        else:
            self.skip(count * struct.calcsize(f"<{_scalar_code(inner, self.place)}"))
        return None

    def _skip_texts(self, count: int) -> None:
        """Skip an array of `count` texts."""
        self._texts += count
        if self._texts > _MAX_TEXTS:
            raise malformed_error(f"it claims {self._texts} texts; {_MAX_TEXTS} is the limit", self.place)
        at, last, data = self.position, self._end - _LENGTH.size, self._data
        for _ in range(count):
            if at > last:
                break
            at += _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        self.position = min(at, self._end + 1)
        self.skip(0)


def _scalar_code(kind: int, place: str) -> str:
    """The `struct` code of a scalar type. Raises E692 for a number that is no scalar type."""
    if kind not in _SCALARS:
        raise malformed_error(f"a value has the type {kind}, which GGUF does not have", place)
    return _SCALARS[kind]


def _parse(cursor: _Cursor, size: int) -> Header:
    """The header, read to its end and checked against the size of the file."""
    place = cursor.place
    if cursor.read_bytes(4) != MAGIC:
        raise malformed_error("it does not begin with GGUF", place)
    version = cursor.read_count("I")
    if version not in (2, 3):
        raise malformed_error(f"its version is {version}; 2 and 3, little-endian, are known", place)
    tensors, keys = cursor.read_count(), cursor.read_count()
    if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
        raise malformed_error(f"it claims {tensors} tensors and {keys} keys, which is more than editc reads", place)
    metadata = _read_metadata(cursor, keys)
    rows = dict(_read_entry(cursor) for _ in range(tensors))
    if len(rows) != tensors:
        raise malformed_error("two tensors have the same name", place)
    alignment = _alignment(metadata, place)
    start = -(-cursor.position // alignment) * alignment
    entries = {n: TensorEntry(e.dtype, e.shape, start + e.start, start + e.end) for n, e in rows.items()}
    _check_layout(entries, start, alignment, size, place)
    return Header(entries, metadata, start)


def _read_metadata(cursor: _Cursor, keys: int) -> Mapping[str, str]:
    """The next `keys` key-value pairs, without those whose value is an array."""
    found: dict[str, str | None] = {}
    for _ in range(keys):
        name = cursor.read_text()
        if name in found:
            raise malformed_error(f"its metadata has the key '{name[:200]}' twice", cursor.place)
        found[name] = cursor.read_value()
    return {name: value for name, value in found.items() if value is not None}


def _read_entry(cursor: _Cursor) -> tuple[str, TensorEntry]:
    """One line of the table of tensors: the name, and where the tensor is, counted from the first tensor byte."""
    name = cursor.read_text()
    if not 0 < len(name) <= _MAX_NAME:
        raise malformed_error(f"a tensor's name has {len(name)} letters", cursor.place)
    dimensions = cursor.read_count("I")
    if not 1 <= dimensions <= 4:
        raise malformed_error(f"tensor '{name[:200]}' has {dimensions} dimensions", cursor.place)
    shape = tuple(cursor.read_count() for _ in range(dimensions))[::-1]
    kind, offset = cursor.read_count("I"), cursor.read_count()
    if kind not in TYPES:
        raise malformed_error(f"tensor '{name[:200]}' has the type {kind}, which is not known", cursor.place)
    dtype, block, nbytes = TYPES[kind]
    if shape[-1] % block or prod(shape) >= 1 << 60:
        message = f"tensor '{name[:200]}' has the shape {shape}, whose rows are not blocks of {block}"
        raise malformed_error(message, cursor.place)
    return name, TensorEntry(dtype, shape, offset, offset + prod(shape) // block * nbytes)


def _alignment(metadata: Mapping[str, str], place: str) -> int:
    """The alignment of tensors in bytes: a power of two below 100,000; 32 where the file does not say."""
    text = metadata.get("general.alignment", "32")
    if not text.isdecimal() or len(text) > 5 or int(text) == 0 or int(text) & (int(text) - 1):
        raise malformed_error(f"its alignment is '{text[:40]}'", place)
    return int(text)


def _check_layout(entries: Mapping[str, TensorEntry], start: int, alignment: int, size: int, place: str) -> None:
    """Raises E692 unless the tensors follow one another, each at the next multiple of the alignment, and fill the
    file."""
    position = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            fault = "overlaps the one before it" if entry.start < position else "leaves a gap before it"
            raise malformed_error(f"tensor '{name[:200]}' {fault}", place)
        if entry.end > size:
            raise malformed_error(f"it is truncated: tensor '{name[:200]}' ends at {entry.end} of {size} bytes", place)
        position = -(-entry.end // alignment) * alignment
    if size > position:
        raise malformed_error(f"{size - position} bytes at its end belong to no tensor", place)
