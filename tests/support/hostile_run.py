"""Runs one command over hostile files in a fresh folder, and says how it ended."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from tiny_files import write_pipeline

from editc.cli import cli, terminal
from editc.formats.doctor.adapter import read_adapter
from editc.formats.models.model import open_model

Build = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Case:
    """`build` makes the files in a folder that holds the pipeline `m`, and returns the command's words."""

    reader: str
    name: str
    build: Build


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, the codes it reported, seconds of CPU, and by how many bytes the process grew."""

    exit: int
    codes: tuple[str, ...]
    seconds: float
    peak: int
    wrote: bool
    said: str


@click.group()
def reading() -> None:
    """What no command of editc reads alone."""


@reading.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("model")
def adapter(file: Path, model: str) -> int:
    """An adapter as `fuse` reads it."""
    read_adapter(file, open_model(model).component("unet"))
    return 0


@contextlib.contextmanager
def stage() -> Iterator[Path]:
    """A folder with the pipeline `m`, alone in two folders more, in which nothing else may appear."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "outer" / "inner"
        write_pipeline(folder / "m")
        yield folder
        assert [path.name for path in (*folder.parents[1].iterdir(), *folder.parent.iterdir())] == ["outer", "inner"]


def run(case: Case, folder: Path) -> Ended:
    """Build the files, run the command, and put the folder back as it was."""
    words = [word.replace("HERE", str(folder)) for word in case.build(folder)]
    before, out, err = listing(folder), io.StringIO(), io.StringIO()
    resident = memory("VmRSS", anew=True)
    begun = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        exit_code = terminal.run_command(reading if words[0] == "adapter" else cli, words)
    seconds = time.process_time() - begun
    peak = memory("VmHWM") - resident
    wrote = listing(folder) != before
    found = tuple(re.findall(r"error\[(E\d+)\]", err.getvalue()))
    for path in folder.iterdir():
        if path.name != "m":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if wrote or words[-1] == "spoils":
        shutil.rmtree(folder / "m")
        write_pipeline(folder / "m")
    return Ended(exit_code, found, seconds, peak, wrote, out.getvalue() + err.getvalue())


def memory(name: str, anew: bool = False) -> int:
    """Bytes of this process as Linux counts them; `anew` forgets the peak (VmHWM) so far."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name)]
    return 1024 * int(line.split()[1])


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below a folder with size, time and inode: a write of any kind changes it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        found[str(path)] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found
