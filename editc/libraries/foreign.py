"""What libraries print while a verb runs. It is captured and does not reach the terminal.

Warnings, logs, progress bars and what C++ prints all go into one file, through the streams of Python and the two file
descriptors under them. It is shown where a verb ends in a bug, and always with EDITC_DEBUG=1.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from io import FileIO, TextIOBase
from pathlib import Path
from tempfile import mkstemp
from typing import Any, TextIO

CAPTURED: list[str] = []
"""Every line that was captured so far."""
SHOWN_LINES = 50
"""How many of the last lines are shown with a bug. Chosen by hand: two screens."""


@contextmanager
def quiet() -> Iterator[None]:
    """Switches off warnings, logs and progress bars of the libraries that load models; errors come through. diffusers
    is only touched where it is imported already, because importing it takes long."""
    for name in ("transformers", *({"diffusers"} & sys.modules.keys())):
        logging = import_module(f"{name}.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def capture_output() -> Iterator[tuple[TextIO, TextIO]]:
    """Inside this context nothing that is printed reaches the terminal, except through the two streams that it gives:
    the true stdout and stderr.

    Libraries keep the stream that they found, so the same sink also takes what they print later.
    """
    sink, streams = _sink(), (sys.stdout, sys.stderr)
    saved = [(number, os.dup(number)) for number in _numbers(*streams)]
    copies = dict(saved)
    true = tuple(_true(stream, copies.get(number)) for stream, number in zip(streams, (1, 2), strict=True))
    _flush(*streams)
    try:
        for number, _ in saved:
            os.dup2(sink.fileno(), number)
        sys.stdout = sys.stderr = sink
        yield true[0], true[1]
    finally:
        _flush(sink, *true)
        _flush_c()
        sys.stdout, sys.stderr = streams
        for number, copy in saved:
            os.dup2(copy, number)
        CAPTURED.extend(_lines(sink))
        for _, copy in saved:
            os.close(copy)


def last_lines(everything: bool = False) -> str:
    """The last captured lines, or with `everything` all of them. Empty where there are none."""
    if not CAPTURED:
        return ""
    shown = CAPTURED if everything else CAPTURED[-SHOWN_LINES:]
    return "\n".join(("output of the libraries:", *(f"  {line}" for line in shown), ""))


def _numbers(*streams: TextIO) -> list[int]:
    """The file descriptors of the streams, where they are the process's own. Under a test they are not."""
    found = []
    for stream, number in zip(streams, (1, 2), strict=True):
        with suppress(OSError, ValueError, AttributeError):
            if stream.fileno() == number:
                found.append(number)
    return found


def _true(stream: TextIO, copy: int | None) -> TextIO:
    """A stream to where the given one led, through a copy of its descriptor."""
    return stream if copy is None else open(copy, "w", encoding=stream.encoding, errors="replace", closefd=False)


def _flush(*streams: Any) -> None:
    """Flushes streams, closed ones too."""
    for stream in streams:
        with suppress(OSError, ValueError):
            stream.flush()


def _flush_c() -> None:
    """Flushes what C libraries have printed but not written. Otherwise it would appear at the end of the process."""
    with suppress(Exception):  # without a C library nothing is buffered in it
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _lines(sink: Sink) -> list[str]:
    """The lines since the last call. Of a progress bar that was drawn over itself only its last state."""
    lines = (line.rstrip().rpartition("\r")[2].strip() for line in sink.fresh().split("\n"))
    return [line for line in lines if line]


class Sink(TextIOBase):
    """A text stream into a file that has no name and lives as long as the process."""

    encoding = "utf-8"
    """The encoding of the file."""

    def __init__(self) -> None:
        self.number, path = mkstemp(prefix="editc-")
        self.taken = 0
        with suppress(OSError):  # some systems do not remove an open file
            Path(path).unlink()

    @property
    def buffer(self) -> FileIO:
        """The stream for bytes, into the same file."""
        return FileIO(self.number, "w", closefd=False)

    def fileno(self) -> int:
        """The file descriptor."""
        return self.number

    def writable(self) -> bool:
        """Always True."""
        return True

    def write(self, text: str) -> int:
        """Appends the text to the file."""
        os.write(self.number, text.encode("utf-8", "replace"))
        return len(text)

    def fresh(self) -> str:
        """What was written since the last call."""
        size = os.fstat(self.number).st_size
        os.lseek(self.number, self.taken, os.SEEK_SET)
        data = os.read(self.number, size - self.taken)
        self.taken = os.lseek(self.number, 0, os.SEEK_END)
        return data.decode("utf-8", "replace")


@cache
def _sink() -> Sink:
    """The one sink of the process."""
    return Sink()
