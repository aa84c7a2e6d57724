"""The wire format of protocol buffers, as much of it as an ONNX file needs: fields of a message, read and written.

The reader holds one block of the file at a time, and never a value that the caller does not ask for: a field with a
length is given as the range of its bytes. Every length is checked against the message around it before it is believed.
Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 2_000_000
"""Fields of one file at most, so that no file takes long; a graph of ten thousand nodes has some 200,000."""
_BLOCK = 1 << 16
Range: TypeAlias = tuple[int, int]
"""Absolute positions of a message's first byte and of the one after its last."""


class WireError(ValueError):
    """These bytes are no message."""


class Field(NamedTuple):
    """One field: its number, its kind on the wire, the range of its bytes, and for a varint its value (unsigned)."""

    number: int
    kind: int
    start: int
    end: int
    value: int = 0

    @property
    def span(self) -> Range:
        """Where the bytes are."""
        return self.start, self.end


class Wire:
    """A file as fields of messages. Raises WireError."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._block, self._from = b"", 0
        self._left = MAX_FIELDS

    def fields(self, span: Range) -> Iterator[Field]:
        """The fields of the message at `span`, in the order of the file."""
        position, end = span
        while position < end:
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            value, start = 0, position
            if kind == BYTES:
                length, start = self._varint(position, end)
                position = start + length
            elif kind == VARINT:
                value, position = self._varint(position, end)
            elif kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
            else:
                raise WireError(f"a field at byte {position} has the unknown kind {kind}")
            self._left -= 1
            if position > end or self._left < 0 or not 0 < number < 1 << 29:
                raise self._wrong(number, start, position, end)
            yield Field(number, kind, start, position, value)

    def _wrong(self, number: int, start: int, position: int, end: int) -> WireError:
        if self._left < 0:
            return WireError(f"it has more than {MAX_FIELDS} fields")
        if position > end:
            return WireError(f"a field at byte {start} reaches {position - end} bytes over the end of its message")
        return WireError(f"a field at byte {start} has the number {number}")

    def read(self, span: Range, limit: int) -> bytes:
        """The bytes of a field, `limit` at most."""
        size = span[1] - span[0]
        if size > limit:
            raise WireError(f"a text at byte {span[0]} has {size} bytes; {limit} is the limit")
        self._load(span[0], size)
        start = span[0] - self._from
        return self._block[start : start + size]

    def text(self, span: Range, limit: int = 1 << 16) -> str:
        """A field as text."""
        try:
            return self.read(span, limit).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"a text at byte {span[0]} is not UTF-8") from error

    def varints(self, span: Range, limit: int) -> list[int]:
        """A packed field, `limit` numbers at most."""
        found, position = [], span[0]
        while position < span[1]:
            value, position = self._varint(position, span[1])
            found.append(value)
            if len(found) > limit:
                raise WireError(f"a list at byte {span[0]} has more than {limit} numbers")
        return found

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """An unsigned number of 64 bits and where it ends."""
        at = position - self._from
        if 0 <= at < len(self._block) and position < end and self._block[at] < 0x80:
            return self._block[at], position + 1
        self._load(position, min(10, max(0, end - position)))
        block, at = self._block, position - self._from
        value = shift = 0
        for byte in block[at : at + min(10, end - position)]:
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value, position
            shift += 7
        raise WireError(f"a number at byte {position} does not end")

    def _load(self, position: int, size: int) -> None:
        if self._from <= position and position + size <= self._from + len(self._block):
            return
        if position + size > self.size:
            raise WireError(f"it ends at byte {self.size}, inside a field")
        self._file.seek(position)
        self._block, self._from = self._file.read(max(size, _BLOCK)), position
        if len(self._block) < size:
            raise WireError("it became shorter while it was read")


def number(field: int, value: int) -> bytes:
    """A field with a number, which is not negative."""
    return _encoded(field << 3 | VARINT) + _encoded(value)


def data(field: int, value: bytes | str) -> bytes:
    """A field with bytes, a text, or a message that is written already."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return header(field, len(raw)) + raw


def header(field: int, size: int) -> bytes:
    """What stands before the bytes of a field."""
    return _encoded(field << 3 | BYTES) + _encoded(size)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
