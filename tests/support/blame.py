"""Whose a warning is: a test fails on those that our code causes, and what a library says of itself is counted.

A warning names a line of code, mostly that of a caller of the function that warns. It is ours if that line is ours; or
if the function names itself and our code called it. Functions of libraries that only pass on what they are given, as
decorators do and `torch.nn.Module.__call__`, are looked through: what names them is about the call behind them.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple, TextIO

from places import ROOT

OURS = tuple(f"{ROOT / name}/" for name in ("editc", "passes", "formats", "manifests", "tests", "benchmarks"))
_ANY = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Running(NamedTuple):
    """A function that is running: its file, the line that it is at, and whether it only passes on what it is given."""

    file: str
    line: int
    passes_on: bool = False


def is_ours(stack: Sequence[Running], file: str, line: int, ours: tuple[str, ...] = OURS) -> bool:
    """Whether our code caused the warning that names `line` of `file`. `stack` begins with the function that warns."""
    named = next((i for i, one in enumerate(stack) if (one.file, one.line) == (file, line)), None)
    if named is None:
        return file.startswith(ours)
    outward = [one for one in stack[named:] if one.file.startswith(ours) or not one.passes_on]
    of_itself = named == 0 and outward[:1] == [stack[0]]
    return any(one.file.startswith(ours) for one in outward[: 2 if of_itself else 1])


def running() -> Iterator[Running]:
    """The functions that run, from the one that warns on outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_code.co_filename in (__file__, warnings.__file__):
        frame = frame.f_back
    while frame:
        yield Running(frame.f_code.co_filename, frame.f_lineno, _passes_on(frame.f_code))
        frame = frame.f_back


def _passes_on(code: CodeType) -> bool:
    """True for a function of `*args, **kwargs` and no argument of its own but `self`."""
    own = code.co_argcount + code.co_kwonlyargcount
    return code.co_flags & _ANY == _ANY and (own == 0 or (own == 1 and code.co_varnames[0] in ("self", "cls")))


@contextmanager
def judged(ours: tuple[str, ...] = OURS) -> Iterator[None]:
    """Inside, a warning of ours is raised where it is given; others go where they went before."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if is_ours([*running()], filename, lineno, ours):
            raise message if isinstance(message, Warning) else category(message)
        before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def source(warning: warnings.WarningMessage) -> tuple[str, str]:
    """The library, and the kind of warning with its first line."""
    parts = Path(warning.filename).parts
    at = len(parts) - 1 - parts[::-1].index("site-packages") + 1 if "site-packages" in parts else len(parts) - 1
    first = (str(warning.message).strip().splitlines() or [""])[0].rstrip()
    return Path(parts[at]).stem, f"{warning.category.__name__}: {first[:160]}"


def summary(seen: Counter[tuple[str, str]]) -> Iterator[str]:
    """One line for each library and message, the most frequent first."""
    for (library, said), times in sorted(seen.items(), key=lambda one: (-one[1], one[0])):
        yield f"{times:5}  {library}: {said}"
