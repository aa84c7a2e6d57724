"""A process that answers prompts beside the server, so that pages open while it works and Ctrl-C need not wait.

It loads the model at the first prompt and keeps it. It is told to stop between two steps; if it does not, it is ended,
and the next prompt starts another.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Lock
from typing import Any, TypeAlias

from editc.core.diagnostics import EditcError
from editc.viewing.brush import Asked, Brush

Message: TypeAlias = Mapping[str, Any]
"""What a page hears: a `stage` with `done` and `of`, a part of the answer (`brush.Part`), an `error`, or nothing yet
({})."""
TICK = 0.25
"""Seconds after which a page hears that nothing is new, so that a page that is gone is noticed."""
GRACE = 2.0
"""Seconds that a process has to stop between two steps. Chosen by hand: a step of Stable Diffusion 1.5 on two cores
takes some 5 s, and is not waited for."""
OPENER = "editc.viewing.brush:open_brush"
"""What loads the model in the process, as `module:attribute`."""
BUSY = "another page is asking at the moment; try again when it has its answer"
"""What a page hears while another is answered."""


@dataclass
class Studio:
    """The process, for one delta and one model."""

    given: tuple[str, ...]
    """What the opener is called with: the file of the delta, and the model."""
    opener: str = OPENER
    """What loads the model, as `module:attribute`."""
    _lock: Lock = field(default_factory=Lock)
    _process: BaseProcess | None = None
    _line: Connection | None = None

    def ask(self, asked: Asked) -> Generator[Message, None, None]:
        """Yield messages until the answer is whole. If the iterator is closed before, the work stops."""
        if not self._reserve():
            yield {"error": BUSY}
            return
        try:
            yield from self._ask(asked)
        finally:
            self._lock.release()

    def close_if_idle(self) -> bool:
        """End the process, unless it answers a page. Returns whether it has ended."""
        if not self._reserve():
            return False
        self.close()
        self._lock.release()
        return True

    def _reserve(self) -> bool:
        """Take the process for one page. A page that was just stopped may still be at its last step, so that is waited
        for. False if another page has it."""
        return self._lock.acquire(timeout=GRACE + 1)

    def _ask(self, asked: Asked) -> Generator[Message, None, None]:
        """The messages of one prompt."""
        ended = False
        try:
            line = self._start()
            line.send(asked)
            while not ended:
                message = line.recv() if line.poll(TICK) else {}
                ended = bool(message.get("error") or message.get("part") == "after")
                yield message
        except (EOFError, OSError):
            ended = True
            self.close()
            yield {"error": "the process that runs the model ended; perhaps there was not enough memory"}
        finally:
            if not ended:
                self._stop()

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.is_alive()

    def _start(self) -> Connection:
        """The line to the process, which is started if it does not run."""
        if self._line is None or not self.running:
            self.close()
            context = get_context("spawn")
            self._line, other = context.Pipe()
            self._process = context.Process(target=_work, args=(other, self.opener, self.given), daemon=True)
            self._process.start()
            other.close()
        return self._line

    def _stop(self) -> None:
        """End the work on a prompt; the process too, if it goes on."""
        with suppress(EOFError, OSError):
            if self._line is not None:
                self._line.send(None)
            while self._line is not None and self._line.poll(GRACE):
                if self._line.recv().get("stopped"):
                    return
        self.close(0.0)

    def close(self, patience: float = GRACE) -> None:
        """End the process: it goes by itself when its line is closed, and is killed after so many seconds."""
        process, line, self._process, self._line = self._process, self._line, None, None
        if line is not None:
            line.close()
        if process is not None:
            process.join(patience)
            process.kill()
            process.join()
            process.close()


class _StopError(Exception):
    """Ends the work on a prompt."""


def _work(line: Connection, opener: str, given: tuple[str, ...]) -> None:
    """Answer prompts until the server ends."""
    import signal

    from editc.libraries import foreign
    from editc.opening.attack_processes import end_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    end_with_parent()
    brushes: list[Brush] = []
    with foreign.capture_output(), suppress(EOFError, OSError):
        while True:
            asked = line.recv()
            try:
                if asked is None:
                    raise _StopError
                if not brushes:
                    line.send({"stage": "loading the model"})
                    brushes.append(_open(opener, given))
                for part in brushes[0](asked, lambda stage, items: _watch(line, stage, items)):
                    line.send(part)
            except _StopError:
                line.send({"stopped": True})
            except EditcError as error:
                line.send({"error": _in_words(error)})
            except Exception as error:
                line.send({"error": f"a bug in editc: {type(error).__name__}: {error}"})


def _open(opener: str, given: tuple[str, ...]) -> Brush:
    """Load the model."""
    module, _, attribute = opener.partition(":")
    brush: Brush = getattr(import_module(module), attribute)(*given)
    return brush


def _watch(line: Connection, stage: str, items: Iterable[object]) -> Iterator[object]:
    """The items one after the other, while the page hears how many are done."""
    every = list(items)
    line.send({"stage": stage, "done": 0, "of": len(every)})

    def each() -> Iterator[object]:
        for done, one in enumerate(every):
            _refuse_to_go_on(line)
            line.send({"stage": stage, "done": done, "of": len(every)})
            yield one

    return each()


def _refuse_to_go_on(line: Connection) -> None:
    """Raise _StopError if the server asked for that."""
    if line.poll():
        line.recv()
        raise _StopError


def _in_words(error: EditcError) -> str:
    """The first fault, with its code and what to do."""
    first = error.diagnostics[0]
    return f"{first.code}: {first.message}" + (f" ({first.help})" if first.help else "")
