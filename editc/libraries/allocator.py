"""What the C library does with memory that was freed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the options (malloc.h)."""
LARGE = 1 << 20
"""Bytes of a block from which on it goes back to the system when it is freed. Chosen by hand: smaller than the matrices
of a language model, larger than most other blocks."""
REUSED = 1 << 28
"""Bytes of a block up to which it is reused when it is freed. Chosen by hand: larger than any matrix that a pass forms,
and smaller than the weights of a text encoder."""


def reuse_large_blocks() -> None:
    """From now on, memory of large blocks is reused when they are freed.

    glibc gives blocks of more than 32 MB back to the system, which then clears each page of the next one. A square
    matrix of width 2048 is such a block: in a build of SDXL, clearing pages took 18 of 150 CPU seconds.
    """
    _set_options({M_MMAP_THRESHOLD: REUSED, M_TRIM_THRESHOLD: 2 * REUSED})


def give_large_blocks_back() -> None:
    """From now on, memory of large blocks goes back to the system when they are freed.

    glibc keeps freed blocks of up to 32 MB once it has seen some of that size, and threads keep each their own. Where
    layers are read and dropped, that took 1.7 GB more (docs/measurements/language-size.md). Other C libraries are left
    as they are.
    """
    _set_options({M_MMAP_THRESHOLD: LARGE})


def _set_options(options: Mapping[int, int]) -> None:
    """Set options of glibc's malloc, by their numbers, up to the first that it refuses.

    A glibc that refuses a threshold of more than 32 MB must not get the other options either: each of them ends the
    thresholds' own growth, and large blocks would come back to the system more often than before.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        all(set_option(option, value) for option, value in options.items())
