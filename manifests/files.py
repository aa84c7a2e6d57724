"""Read the files that a manifest names: prompts under `preserve.files`, and whether adapters exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from editc.core.manifest import Preserve, Request
from editc.manifests.faults import Faults, tick

MAX_BYTES = 1 << 24
"""The largest file that is read. Chosen by hand: thousands of prompts are far smaller."""


def read_preserve_files(preserve: Preserve, folder: Path, faults: Faults) -> tuple[str, ...]:
    """The prompts in the files under `preserve.files`, one a line, in the order of the files. E111 for a file that
    cannot be read."""
    prompts: list[str] = []
    for i, name in enumerate(preserve.files):
        lines, problem, help = read_lines(folder / name)
        if not problem and not lines:
            problem, help = "holds no prompt", "write one prompt a line, or remove the file from the list"
        if problem:
            faults.add("E111", f"{tick(name)} {problem}", preserve.at(f"files.{i}"), help=help)
        prompts.extend(lines)
    return tuple(prompts)


def check_adapters_exist(edits: Sequence[Request], folder: Path, faults: Faults) -> None:
    """E181 for each adapter of `fuse` that is not a file. The content is read when the model is known."""
    for edit in edits:
        path = folder / edit.adapter
        if edit.adapter and not path.is_file():
            problem = "is a folder: name the file in it" if path.is_dir() else "does not exist"
            help = f"looked for {path}: paths are relative to the manifest"
            faults.add("E181", f"the adapter {tick(edit.adapter)} {problem}", edit.at("adapter"), help=help)


def read_lines(path: Path) -> tuple[tuple[str, ...], str, str]:
    """The lines of a file without blank ones; else what is wrong with the file, and what to do."""
    text, problem, help = read_text_file(path, "a few thousand prompts are enough")
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line for line in lines if line), problem, help


def read_text_file(path: Path, enough: str) -> tuple[str, str, str]:
    """The text of a file, with lines ended by `\\n`; else what is wrong with it, and what to do. `enough` is the advice
    for a file that is too large."""
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            return "", "is not a file", ""
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return "", "does not exist", f"looked for {path}: paths are relative to the manifest"
    except IsADirectoryError:
        return "", "is a folder", "name the files in it"
    except (OSError, ValueError) as error:
        return "", f"cannot be read: {getattr(error, 'strerror', None) or error}", ""
    if len(data) > MAX_BYTES:
        return "", "is larger than 16 MiB", enough
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        return "", f"is not UTF-8 (line {number})", "save it as UTF-8 text"
    return text.replace("\r\n", "\n"), "", ""
