"""What the C library does with memory that was freed."""

from __future__ import annotations

from contextlib import suppress

M_MMAP_THRESHOLD = -3
"""glibc's number of the option (malloc.h)."""
LARGE = 1 << 20
"""Bytes of a block from which on it goes back to the system when it is freed. Chosen by hand: smaller than the matrices
of a language model, larger than most other blocks."""


def give_large_blocks_back() -> None:
    """From now on, memory of large blocks goes back to the system when they are freed.

    glibc keeps freed blocks of up to 32 MB once it has seen some of that size, and threads keep each their own. Where
    layers are read and dropped, that took 1.7 GB more (docs/measurements/language-size.md). Other C libraries are left
    as they are.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
