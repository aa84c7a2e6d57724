"""Zstandard frames (RFC 8878), by the library `zstandard`: the same bytes wherever its version is the same."""

from __future__ import annotations

_LEVEL = 3
"""The library's own default."""
_NO_SIZE = -1
"""What the library gives for a frame that does not say how long its content is."""


def compress(plain: bytes) -> bytes:
    """One frame that unpacks to `plain` and says how long that is."""
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(plain))


def decompress(frame: bytes, size: int) -> bytes:
    """The `size` bytes in a frame. ValueError for a frame of another size, a damaged one, and what is behind it.

    The library makes room for what the frame says of itself, so that is compared first.
    """
    import zstandard

    try:
        said = zstandard.frame_content_size(frame)
        if said not in (size, _NO_SIZE):
            raise ValueError(f"the frame says that it holds {said} bytes, and {size} are wanted")
        plain = bytes(zstandard.ZstdDecompressor().decompress(frame, max_output_size=size, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise ValueError(f"the frame cannot be unpacked: {error}") from error
    if len(plain) != size:
        raise ValueError(f"the frame holds {len(plain)} bytes and not {size}")
    return plain
