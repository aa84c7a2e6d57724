"""Pages of the documentation, followed as a reader follows them: from top to bottom, in a folder of their own.

Three things in a page count. A block of `console` has commands, each behind `$ `, and what each prints under it. A
block of another language whose first line is a comment with a file's name (`# circle.yaml`) is that file. A block
behind the line `<!-- not run: WHY -->`, which no reader sees, is left alone.

What a page shows is compared line by line. Numbers, hashes and paths may differ, and `...` stands for anything. A
command must succeed unless the page shows that it does not, by `error[` or `NO`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from runpy import run_path
from subprocess import CompletedProcess
from unittest.mock import patch

from command import editc

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:yaml|yml|py|txt))\n")
NO_FAILURE = re.compile(r"error\[|^NO |NOT MET", re.MULTILINE)
"""What a page shows of a command that answers no."""


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    kind: str
    """The language of the block: `console`, `yaml`, `python`, or empty."""
    text: str
    """What stands in it."""
    why: str = ""
    """Why it is not run; empty where it is."""

    def commands(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each command of a console block, with the lines that the page shows under it."""
        for part in re.split(r"^\$ ", self.text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            yield command.strip(), tuple(line for line in lines if line.strip() not in ("", "..."))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(one["kind"], one["text"], one["why"] or "") for one in found]


def type_command(line: str) -> CompletedProcess[str]:
    """Run one line in the working directory: `editc` and Python files in this process, the rest as programs."""
    program, *words = shlex.split(line, comments=True)
    if program == "editc":
        with patch.dict(os.environ, COLUMNS="100"):  # the width of the pages' output
            return editc(*words)
    if program == "python" and not words[0].startswith("-"):
        return _run_python(line, words)
    program = sys.executable if program == "python" else program
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def _run_python(line: str, words: list[str]) -> CompletedProcess[str]:
    """Run a file of Python here, where the large libraries are loaded already."""
    with redirect_stdout(StringIO()) as out, patch.object(sys, "argv", words):
        run_path(words[0], run_name="__main__")
    return CompletedProcess(line, 0, out.getvalue(), "")


def _nameless(line: str, folder: Path) -> str:
    """A line without paths and hashes."""
    return re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,64}\b", "HASH", line.replace(str(folder), "/models"))


def plain(line: str, folder: Path) -> str:
    """A line without what differs from machine to machine and from input to input: paths, hashes, numbers, spaces."""
    numbers = re.sub(r"-?\d[\d,]*(?:\.\d+)*(?:e[+-]?\d+)?", "N", _nameless(line, folder))
    return re.sub(r"\s+", " ", numbers).strip()


def label(line: str, folder: Path) -> str:
    """The beginning of a line, up to its first number or wide space: what it is about."""
    return re.split(r"\d|\s{2,}", _nameless(line, folder).strip())[0].strip()


def follow(
    page: Path,
    folder: Path,
    swaps: Mapping[str, str] | None = None,
    smaller: bool = False,
    unseen: Sequence[str] = (),
) -> list[str]:
    """Do what a page says in `folder`, and return its commands. Raises AssertionError where something is not as shown.

    `swaps`: text of a command or a file -> what is typed in its place. `smaller`: the inputs are not those of the
    page, so that only the beginning of each line is compared, and lines that begin with one of `unseen` are not.
    """
    ran, here, same = [], folder, label if smaller else plain
    for block in blocks(page):
        named = FILE_NAME.match(block.text)
        if named and not block.why:
            (here / named[1]).write_text(_swapped(block.text, swaps or {}), encoding="utf-8")
        for line, shown in block.commands() if block.kind == "console" and not block.why else ():
            ran.append(line)
            if line.startswith("cd "):
                here = here / line.removeprefix("cd ")
                continue
            with chdir(here):
                done = type_command(_swapped(line, swaps or {}))
            printed = done.stdout + done.stderr
            refused = bool(NO_FAILURE.search("\n".join(shown)))
            assert (done.returncode != 0) == refused, f"{page.name}: {line}\n{printed}"
            lines = {same(one, folder) for one in printed.splitlines()}
            asked = [one for one in shown if not one.strip().startswith(tuple(unseen))]
            lost = [one for one in asked if same(one, folder) not in lines]
            assert not lost, f"{page.name}: {line}\nnot printed: {lost}\nprinted:\n{printed}"
    return ran


def _swapped(line: str, swaps: Mapping[str, str]) -> str:
    """The line, or the file, as it is typed."""
    for text, other in swaps.items():
        line = line.replace(text, other)
    return line
