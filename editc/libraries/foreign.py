"""What libraries say of themselves while a verb runs: kept, and never on a user's terminal.

Warnings, logs, bars of others and what their C++ prints all end in one file, by the streams of Python and by the two
file descriptors under them. It is shown where a verb ends in a bug, and always with EDITC_DEBUG=1.
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
"""Every line that was kept back so far."""
SHOWN_LINES = 50
"""Lines that a bug shows of them."""


@contextmanager
def quiet() -> Iterator[None]:
    """The warnings, logs and bars of the libraries that load models held back; what they raise is not. diffusers takes
    long to import, and is quiet where nobody did."""
    for name in ("transformers", *({"diffusers"} & sys.modules.keys())):
        logging = import_module(f"{name}.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def capture_output() -> Iterator[tuple[TextIO, TextIO]]:
    """Meanwhile nothing that is printed reaches the terminal, but by the true stdout and stderr that this gives.

    Libraries hold on to the stream that they found, so it takes what comes later as well.
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
    """The last lines that were kept back, or with `everything` all; empty where there are none."""
    if not CAPTURED:
        return ""
    shown = CAPTURED if everything else CAPTURED[-SHOWN_LINES:]
    return "\n".join(("libraries said:", *(f"  {line}" for line in shown), ""))


def _numbers(*streams: TextIO) -> list[int]:
    """The file descriptors of the streams, where they are the process's own: under a test they are not."""
    found = []
    for stream, number in zip(streams, (1, 2), strict=True):
        with suppress(OSError, ValueError, AttributeError):
            if stream.fileno() == number:
                found.append(number)
    return found


def _true(stream: TextIO, copy: int | None) -> TextIO:
    """A stream that leads to where this one led, by a copy of its descriptor."""
    return stream if copy is None else open(copy, "w", encoding=stream.encoding, errors="replace", closefd=False)


def _flush(*streams: Any) -> None:
    for stream in streams:
        with suppress(OSError, ValueError):
            stream.flush()


def _flush_c() -> None:
    """What libraries in C have printed and not written yet: at the end of the process it would come out after all."""
    with suppress(Exception):  # where there is no such library, nothing waits in it
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _lines(sink: Sink) -> list[str]:
    """The lines since the last time, a bar that was drawn over itself only as it was last."""
    lines = (line.rstrip().rpartition("\r")[2].strip() for line in sink.fresh().split("\n"))
    return [line for line in lines if line]


class Sink(TextIOBase):
    """A text stream into a file that has no name and lives as long as the process."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.number, path = mkstemp(prefix="editc-")
        self.taken = 0
        with suppress(OSError):  # some systems keep a file that is open
            Path(path).unlink()

    @property
    def buffer(self) -> FileIO:
        """The same for bytes."""
        return FileIO(self.number, "w", closefd=False)

    def fileno(self) -> int:
        """The file's number."""
        return self.number

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Puts it at the end."""
        os.write(self.number, text.encode("utf-8", "replace"))
        return len(text)

    def fresh(self) -> str:
        """What was written since this was asked last."""
        size = os.fstat(self.number).st_size
        os.lseek(self.number, self.taken, os.SEEK_SET)
        data = os.read(self.number, size - self.taken)
        self.taken = os.lseek(self.number, 0, os.SEEK_END)
        return data.decode("utf-8", "replace")


@cache
def _sink() -> Sink:
    return Sink()
