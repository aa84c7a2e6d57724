"""Show progress: a line that is redrawn, on a terminal or under a notebook's cell, or a new one every half minute.

Passes report their loops through the port `Progress`; steps that cannot be counted report their name through
`ports.announce`. A thread draws the line, so it stays alive while a library computes.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from inspect import signature
from shutil import get_terminal_size
from threading import Event, RLock, Thread
from typing import Any, Literal, ParamSpec, TextIO, TypeAlias, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
ShowProgress: TypeAlias = Callable[[str, Iterable[object]], Iterable[object]] | Literal[False] | None
"""What `progress` may be in a call of `editc.api`: the port `Progress`; None: a line under the cell in a notebook, and
nothing elsewhere; False: nothing anywhere."""

FIRST_LINE = 0.5
"""Seconds before a command shows the line on a terminal, so that quick commands show none. Chosen by hand."""
REDRAW_INTERVAL = 0.25
"""Seconds between two drawings of the line. Chosen by hand."""
LINE_INTERVAL = 30.0
"""Seconds between two lines where there is no terminal. Chosen by hand, for logs."""
BAR_WIDTH = 24
"""The width of a bar in characters. Chosen by hand."""
SPINNER = "|/-\\"
"""The characters that show by turns that a command is running."""


@dataclass
class Loop:
    """One loop that is running."""

    label: str
    """What the loop does, such as `paint`."""
    total: int
    """The number of its items, at least 1."""
    started: float
    """When it started, in seconds of `ProgressLine.now`."""
    done: int = 0
    """The number of items that are done."""
    advanced: float = 0.0
    """When the last item was done, in the same seconds. 0 before the first."""

    def line(self, now: float) -> str:
        """The loop as text, such as `paint [####----] 3 of 8, 0:20 left`. `now` is the time in seconds."""
        full = BAR_WIDTH * self.done // self.total
        each = (self.advanced - self.started) / self.done if self.done else 0.0
        left = each * (self.total - self.done) - (now - self.advanced)
        rest = f", {clock(left)} left" if self.done and left >= 1 else ""
        return f"{self.label} [{'#' * full}{'-' * (BAR_WIDTH - full)}] {self.done} of {self.total}{rest}"


@dataclass
class ProgressLine:
    """The progress of one command. Passes call it as the port `Progress`."""

    verb: str
    """The name of the command, such as `build`."""
    stream: TextIO
    """Where the line is written."""
    on_terminal: bool
    """True if the line is redrawn in place. False: each time a new line is written."""
    interval: float
    """Seconds between two lines."""
    now: Callable[[], float] = time.monotonic
    """Gives the time in seconds; tests replace it."""
    loops: list[Loop] = field(default_factory=list)
    """The loops that are running, the outermost first."""
    phase: str = ""
    """The step that is running, if it is not a loop. Empty before the first."""
    lock: Any = field(default_factory=RLock)
    """Held while the line is written, because a thread writes it too."""
    started: float = 0.0
    """When the command started."""
    frames: int = 0
    """How often the line was drawn, which chooses the character of the spinner."""
    visible: bool = False
    """True while the line stands on the terminal."""

    def __post_init__(self) -> None:
        self.started = self.now()

    def __call__(self, label: str, items: Iterable[Any]) -> Iterable[Any]:
        """Yield the items and count them as they are taken. Without items, `label` is the step that runs from now
        on."""
        every = list(items)
        if not every:
            self.phase = label
            self._redraw()
            return every
        return self._count(label, every)

    def _count(self, label: str, every: list[Any]) -> Iterator[Any]:
        """Yield the items of one loop, and report how many are done."""
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
        """Draw the line again if it is visible, so that short steps are seen too."""
        if self.visible:
            with suppress(OSError, ValueError):  # the stream is closed
                self.write()

    def line(self) -> str:
        """What is running now: the command, its time so far, then all loops from the outermost in, or the step."""
        now = self.now()
        first, *rest = tuple(self.loops) or (None,)
        doing = self.phase if first is None else first.line(now)
        within = "".join(f", {one.label} {one.done} of {one.total}" for one in rest if one is not None)
        return f"{self.verb} {clock(now - self.started)}  {doing}{within}".rstrip()

    def write(self) -> None:
        """Draw the line again, or write one more where there is no terminal."""
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
        """Remove the line from the terminal."""
        with self.lock:
            if self.visible:
                self.stream.write("\r\x1b[2K")
                self.stream.flush()
            self.visible = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """While this context is open, a thread writes the line."""
        over = Event()
        # a notebook knows by the context to which cell a line belongs
        thread = Thread(target=copy_context().run, args=(self._run, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.clear()

    def _run(self, over: Event) -> None:
        """Write the line again and again until `over` is set."""
        wait = FIRST_LINE if self.on_terminal else self.interval
        while not over.wait(wait):
            try:
                self.write()
            except (OSError, ValueError):  # the stream is closed
                return
            wait = self.interval


class CellLine(ProgressLine):
    """The progress of one call of `editc.api`. IPython shows it: as HTML with a bar, or as text where that is all."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb, io.StringIO(), True, REDRAW_INTERVAL)
        self._place: Any = None
        """What IPython gives to draw in the same place again. None before the first drawing."""

    def write(self) -> None:
        """Draw the line, or draw it again."""
        self._draw(self.line(), self._html())

    @contextmanager
    def running(self) -> Iterator[None]:
        """As for a terminal. In the end the line says how long the call took, if it was ever drawn."""
        ended = "stopped after"
        try:
            with super().running():
                yield
                ended = "took"
        finally:
            text = f"{self.verb} {ended} {clock(self.now() - self.started)}"
            if self._place is not None:
                self._draw(text, f"<div>{escape(text)}</div>")

    def clear(self) -> None:
        """Leave the line: the last drawing takes its place."""
        self.visible = False

    def _draw(self, text: str, html: str) -> None:
        """Show a line in place of the last one."""
        from IPython.display import display

        with self.lock:
            shown = {"text/plain": text, "text/html": html}
            if self._place is None:
                self._place = display(shown, raw=True, display_id=True)
            else:
                self._place.update(shown, raw=True)
            self.visible = True

    def _html(self) -> str:
        """The line with a bar for the outermost loop."""
        now = self.now()
        first, *rest = tuple(self.loops) or (None,)
        doing = escape(self.phase) if first is None else _bar(first, now)
        within = "".join(f", {escape(one.label)} {one.done} of {one.total}" for one in rest if one is not None)
        return f"<div><b>{escape(self.verb)}</b> {clock(now - self.started)} {doing}{within}</div>"


def _bar(loop: Loop, now: float) -> str:
    """A loop as a bar of HTML, with the text beside it."""
    counts = loop.line(now).rpartition("] ")[2]
    bar = f"<progress value='{loop.done}' max='{loop.total}' style='vertical-align:middle'></progress>"
    return f"{escape(loop.label)} {bar} {escape(counts)}"


def open_progress(verb: str, stream: TextIO) -> ProgressLine | None:
    """The progress of a command, for this stream. None if EDITC_PROGRESS is `none`, `0` or `off`."""
    if _is_off():
        return None
    drawn = stream.isatty() and os.environ.get("TERM") != "dumb"
    return ProgressLine(verb, stream, drawn, REDRAW_INTERVAL if drawn else LINE_INTERVAL)


def in_notebook(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function with a parameter `progress` show a line under the cell if a notebook runs it and the caller gave
    no progress. Elsewhere it is called as it is. EDITC_PROGRESS switches the line off too."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature(function).bind_partial(*args, **kwargs)
        if bound.arguments.get("progress") is not None or _is_off() or not in_kernel():
            return function(*args, **kwargs)
        line = CellLine(function.__name__)
        bound.arguments["progress"] = line
        with line.running():
            return function(*bound.args, **bound.kwargs)

    return call


def in_kernel() -> bool:
    """True in a kernel of Jupyter, such as a notebook's. IPython is asked only if it is loaded."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def _is_off() -> bool:
    """True if EDITC_PROGRESS is `none`, `0` or `off`."""
    return os.environ.get("EDITC_PROGRESS", "").lower() in ("none", "0", "off")


def clock(seconds: float) -> str:
    """A time in seconds as `0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
