"""Read and write the wire format of protocol buffers, as far as an ONNX file needs it: the fields of a message.

The reader has one block of the file in memory at a time. A field with a length is returned as the range of its bytes,
and its value is read only when the caller asks. Every length is checked against the message around it before it is
used. Everything that takes time or memory costs steps, and a file may take `MAX_STEPS` of them. Source: protobuf.dev,
"Encoding".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple, TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types of fields, by their numbers in the file."""
MAX_STEPS = 2_000_000
"""Steps that one file may take. Measured (docs/explanation/hostile.md): all steps together take some 0.6 seconds. A
step is the work of passing over a small field. A node as PyTorch's exporters write it takes 60 steps (legacy exporter)
to 100 (dynamo, weights outside) with its share of the tensors, so graphs of 20,000 to 30,000 nodes can be read."""
_TEXT_STEPS, _FIELD_STEPS, _MESSAGE_STEPS, _LONG_STEPS, _BLOCK_STEPS = 2, 3, 3, 5, 20
"""What work costs beyond the step of the field: reading a text (plus one step for every 64 bytes of it), a field that
is returned, a message whose fields are asked for, a number of three bytes or more, and reading a block of the file. Set
by hand, in proportion to the time that each takes."""
_BLOCK = 1 << 13
"""Bytes that are read from the file at once. Chosen by hand."""
_ANY = range(1, 1 << 29)
"""Every field number that the format allows."""
Range: TypeAlias = tuple[int, int]
"""Positions in the file of a message's first byte and of the byte after its last."""


class WireError(ValueError):
    """Raised for bytes that are not a well-formed message."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    """The number of the field in its message."""
    kind: int
    """Its wire type: VARINT, FIXED64, BYTES or FIXED32."""
    start: int
    """Position of the first byte of its value in the file."""
    end: int
    """Position after the last byte of its value."""
    value: int = 0
    """The unsigned value of a VARINT; 0 for all other kinds."""

    @property
    def span(self) -> Range:
        """The byte range of the value."""
        return self.start, self.end


class WireReader:
    """Reads a file as fields of messages. Every method raises WireError for bytes that are not well formed, and where
    the file has taken more than `MAX_STEPS` steps."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._block, self._block_start = b"", 0
        self._steps_left = MAX_STEPS

    def fields(self, span: Range, wanted: Collection[int] = _ANY) -> Iterator[Field]:
        """The fields of the message at `span` whose numbers are `wanted`, in the order of the file."""
        self.spend(_MESSAGE_STEPS)
        position, end = span
        block, base = self._block, self._block_start
        while position < end:
            self._steps_left -= 1
            at = position - base
            if 0 <= at < len(block) - 1 and (tag := block[at]) < 0x80 and (value := block[at + 1]) < 0x80:
                start, position = position + 1, position + 2  # tag and value take one byte each, as in most fields
            else:
                self._steps_left -= 1
                tag, start = self._varint(position, end)
                value, position = self._varint(start, end) if tag & 7 in (VARINT, BYTES) else (0, start)
                block, base = self._block, self._block_start
            kind = tag & 7
            if kind == BYTES:
                start, position, value = position, position + value, 0
            elif kind == VARINT:
                self._steps_left -= 1  # the shortest fields: a file can hold the most of these
            else:
                position, value = start + _fixed_size(kind, start), 0
            if position > end or self._steps_left < 0 or not 8 <= tag < 1 << 32:
                raise self._fault(tag >> 3, start, position, end)
            if tag >> 3 in wanted:
                self._steps_left -= _FIELD_STEPS
                yield tuple.__new__(Field, (tag >> 3, kind, start, position, value))  # in half the time of Field(...)

    def spend(self, steps: int) -> None:
        """Count steps. Raises WireError when the file has none left."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise self._fault(1, 0, 0, 0)

    def _fault(self, number: int, start: int, position: int, end: int) -> WireError:
        """The error for a field: out of steps, longer than its message, or of an impossible number."""
        if self._steps_left < 0:
            return WireError(f"it has too many parts: reading it would take more than {MAX_STEPS} steps")
        if position > end:
            return WireError(f"a field at byte {start} reaches {position - end} bytes past the end of its message")
        return WireError(f"a field at byte {start} has the number {number}")

    def read_bytes(self, span: Range, limit: int) -> bytes:
        """The bytes of a field. Raises WireError for more than `limit`."""
        size = span[1] - span[0]
        if size > limit:
            raise WireError(f"a text at byte {span[0]} has {size} bytes; {limit} is the limit")
        self.spend(_TEXT_STEPS + (size >> 6))
        self._load(span[0], size)
        start = span[0] - self._block_start
        return self._block[start : start + size]

    def read_text(self, span: Range, limit: int = 1 << 16) -> str:
        """The text of a field, in UTF-8, of at most `limit` bytes."""
        try:
            return self.read_bytes(span, limit).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"a text at byte {span[0]} is not UTF-8") from error

    def read_varints(self, span: Range, limit: int) -> list[int]:
        """The numbers of a packed field, at most `limit`."""
        found, position = [], span[0]
        while position < span[1]:
            value, position = self._varint(position, span[1])
            found.append(value)
            self.spend(1)
            if len(found) > limit:
                raise WireError(f"a list at byte {span[0]} has more than {limit} numbers")
        return found

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """An unsigned number of up to 64 bits at `position`, and the position after it."""
        at = position - self._block_start
        if 0 <= at < len(self._block) and position < end and self._block[at] < 0x80:
            return self._block[at], position + 1
        if 0 <= at < len(self._block) - 1 and position + 1 < end and self._block[at + 1] < 0x80:
            self._steps_left -= 1
            return self._block[at] & 0x7F | self._block[at + 1] << 7, position + 2
        self.spend(_LONG_STEPS)
        self._load(position, min(10, max(0, end - position)))
        block, at = self._block, position - self._block_start
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
        """Make sure that `size` bytes from `position` on are in the block in memory."""
        if self._block_start <= position and position + size <= self._block_start + len(self._block):
            return
        if position + size > self.size:
            raise WireError(f"it ends at byte {self.size}, inside a field")
        self.spend(_BLOCK_STEPS)
        self._file.seek(position)
        self._block, self._block_start = self._file.read(max(size, _BLOCK)), position
        if len(self._block) < size:
            raise WireError("it became shorter while it was read")


def _fixed_size(kind: int, place: int) -> int:
    """Bytes of a value with a fixed size: 8 or 4. Raises WireError for an unknown wire type."""
    if kind not in (FIXED64, FIXED32):
        raise WireError(f"a field at byte {place} has the unknown kind {kind}")
    return 8 if kind == FIXED64 else 4


def encode_number(field: int, value: int) -> bytes:
    """The bytes of a field with a whole number, which must not be negative."""
    return _encode_varint(field << 3 | VARINT) + _encode_varint(value)


def encode_bytes(field: int, value: bytes | str) -> bytes:
    """The bytes of a field with bytes, a text, or a message that is encoded already."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return encode_prefix(field, len(raw)) + raw


def encode_prefix(field: int, size: int) -> bytes:
    """The bytes that stand before the value of a field with a length: its number and its size."""
    return _encode_varint(field << 3 | BYTES) + _encode_varint(size)


def _encode_varint(value: int) -> bytes:
    """The bytes of a whole number that is not negative: seven bits in each byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
