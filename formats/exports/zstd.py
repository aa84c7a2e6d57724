"""Zstandard frames (RFC 8878) by the library `zstandard`. Equal versions of the library write equal bytes."""

from __future__ import annotations

_LEVEL = 3
"""The library's default."""
_NO_SIZE = -1
"""What the library returns for a frame that does not record the size of its content."""


def compress(plain: bytes) -> bytes:
    """Compress bytes into one frame, which records their number."""
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(plain))


def decompress(frame: bytes, size: int) -> bytes:
    """Decompress a frame into exactly `size` bytes. Raises ValueError if the frame is damaged, holds another number of
    bytes, or has bytes after it.

    The recorded size is compared first, because the library allocates that much memory.
    """
    import zstandard

    try:
        recorded = zstandard.frame_content_size(frame)
        if recorded not in (size, _NO_SIZE):
            raise ValueError(f"the frame says that it holds {recorded} bytes in place of {size}")
        plain = bytes(zstandard.ZstdDecompressor().decompress(frame, max_output_size=size, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise ValueError(f"the frame cannot be unpacked: {error}") from error
    if len(plain) != size:
        raise ValueError(f"the frame holds {len(plain)} bytes and not {size}")
    return plain
