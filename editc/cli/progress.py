"""What a verb is doing, while it does it: on a terminal one line that is drawn anew, elsewhere a line now and then.

Passes say what they work through by the port `Progress`; whatever cannot be counted is named by `ports.announce`. The
line is drawn by a thread, so that it goes on while a library computes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from shutil import get_terminal_size
from threading import Event, RLock, Thread
from typing import Any, TextIO

FIRST_LINE = 0.5
"""Seconds after which a verb shows what it is doing."""
REDRAW_INTERVAL = 0.25
"""Seconds from one drawing of the line to the next."""
LINE_INTERVAL = 30.0
"""Seconds from one line to the next where they are no terminal's."""
BAR_WIDTH = 24
"""Characters of a bar."""
SPINNER = "|/-\\"


@dataclass
class Loop:
    """One loop that is under way: what it works through, since when, how far it is, and when it came so far."""

    label: str
    total: int
    started: float
    done: int = 0
    advanced: float = 0.0

    def line(self, now: float) -> str:
        """`paint [####----] 3 of 8, 0:20 left`."""
        full = BAR_WIDTH * self.done // self.total
        each = (self.advanced - self.started) / self.done if self.done else 0.0
        left = each * (self.total - self.done) - (now - self.advanced)
        rest = f", {clock(left)} left" if self.done and left >= 1 else ""
        return f"{self.label} [{'#' * full}{'-' * (BAR_WIDTH - full)}] {self.done} of {self.total}{rest}"


@dataclass
class ProgressLine:
    """The progress of one verb, told to `stream`. `every` is how often, in seconds."""

    verb: str
    stream: TextIO
    on_terminal: bool
    interval: float
    now: Callable[[], float] = time.monotonic
    loops: list[Loop] = field(default_factory=list)
    phase: str = ""
    lock: Any = field(default_factory=RLock)
    started: float = 0.0
    frames: int = 0
    visible: bool = False

    def __post_init__(self) -> None:
        self.started = self.now()

    def __call__(self, label: str, items: Iterable[Any]) -> Iterable[Any]:
        """The items, counted as they are taken; with none, `label` is what is done from now on."""
        every = list(items)
        if not every:
            self.phase = label
            self._redraw()
            return every
        return self._count(label, every)

    def _count(self, label: str, every: list[Any]) -> Iterator[Any]:
        loop = Loop(label, len(every), self.now())
        self.loops.append(loop)
        if len(self.loops) == 1:
            self._redraw()
        try:
            for item in every:
                yield item
                loop.done, loop.advanced = loop.done + 1, self.now()
        finally:
            self.loops.remove(loop)

    def _redraw(self) -> None:
        """Draws the line anew where one stands: what is done within a moment is seen too."""
        if self.visible:
            with suppress(OSError, ValueError):  # nobody reads it any more
                self.write()

    def line(self) -> str:
        """What is being done now: the loops from the outermost in, else the phase; and since when."""
        now = self.now()
        first, *rest = tuple(self.loops) or (None,)
        doing = self.phase if first is None else first.line(now)
        within = "".join(f", {one.label} {one.done} of {one.total}" for one in rest if one is not None)
        return f"{self.verb} {clock(now - self.started)}  {doing}{within}".rstrip()

    def write(self) -> None:
        """Draws the line anew, or writes one more where there is no terminal."""
        with self.lock:
            if not self.on_terminal:
                self.stream.write(f"{self.line()}\n")
            else:
                self.frames += 1
                width = max(20, get_terminal_size().columns - 1)
                self.stream.write(f"\r\x1b[2K{f'{SPINNER[self.frames % len(SPINNER)]} {self.line()}'[:width]}")
            self.visible = self.on_terminal
            self.stream.flush()

    def clear(self) -> None:
        """Takes the line away."""
        with self.lock:
            if self.visible:
                self.stream.write("\r\x1b[2K")
                self.stream.flush()
            self.visible = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile a thread tells what is being done."""
        over = Event()
        thread = Thread(target=self._run, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.clear()

    def _run(self, over: Event) -> None:
        wait = FIRST_LINE if self.on_terminal else self.interval
        while not over.wait(wait):
            try:
                self.write()
            except (OSError, ValueError):  # nobody reads it any more
                return
            wait = self.interval


def open_progress(verb: str, stream: TextIO) -> ProgressLine | None:
    """The progress of a verb on that stream; None where EDITC_PROGRESS=none asks for none."""
    if os.environ.get("EDITC_PROGRESS", "").lower() in ("none", "0", "off"):
        return None
    drawn = stream.isatty() and os.environ.get("TERM") != "dumb"
    return ProgressLine(verb, stream, drawn, REDRAW_INTERVAL if drawn else LINE_INTERVAL)


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
