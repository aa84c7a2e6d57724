"""The files that a language model's manifest names: prompts, with or without answers, data sets, and the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from editc.core.language_edits import Corpus, DataSet, PromptAnswer
from editc.core.places import Source, Span
from editc.manifests.data_sets import read_keyed_rows
from editc.manifests.faults import Faults, tick
from editc.manifests.fields import BlockValues
from editc.manifests.files import read_lines, read_text_file
from editc.manifests.prompts import PromptFile
from editc.manifests.slices import Slices, rows_sha256
from editc.manifests.value_kinds import PromptList

WHOLE = Slices((1,), 1)
"""All rows of a file."""


@dataclass(frozen=True)
class AttachedFiles:
    """The files that a language model's manifest names, read from disk or from the record of a delta."""

    folder: Path | None = None
    """The folder that file names are relative to. None: files on disk are not read."""
    recorded: Mapping[str, Any] = field(default_factory=dict)
    """The `extra` of a delta, with `files` and `corpus`. What it holds is used instead of files on disk."""
    near: tuple[Path, ...] = ()
    """Folders in which data sets that a delta records by their hash are looked for."""
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """File name -> its lines. It grows with each file that `fill` reads."""

    def fill(self, block: BlockValues, faults: Faults) -> None:
        """Replace each file name among the values of `block` by the prompts in the file. Their place is that of the
        name."""
        for name, value in tuple(block.values.items()):
            if isinstance(value, PromptFile):
                span = block.spans[name]
                prompts = self._prompts(value, span, faults)
                del block.values[name]
                if prompts:
                    block.values[name] = prompts
                    block.spans.update({f"{name}.{i}": span for i in range(len(prompts))})

    def corpus(self, name: str | None, span: Span | None, faults: Faults) -> Corpus | None:
        """The corpus in the file `name`, with its sha256. None without a name.

        E111 if the file cannot be read or has no text. Without a folder only the name is known; from a delta's record
        also the sha256.
        """
        if name is None:
            return None
        if "corpus" in self.recorded:
            return Corpus(name, str(self.recorded["corpus"]))
        if self.folder is None:
            return Corpus(name, "")
        empty = "holds no text", "name a file with ordinary text, or leave `corpus` out"
        text = _read(self.folder / name, name, "a megabyte of text is enough for statistics", empty, span, faults)
        return None if text is None else Corpus(name, hashlib.sha256(text.encode()).hexdigest(), text)

    def data_set(self, name: str, span: Span | None, faults: Faults, slices: Slices = WHOLE) -> DataSet | None:
        """The rows in the file `name`, or in slices of it, with their sha256. None if it has a mistake: E111 for the
        file, E126 for a row and for slices without one.

        A delta records the hash alone. Then the rows are read from the first folder of `near` that has a file of that
        name with that hash; they are empty if there is none.
        """
        known = DataSet(name, "", part=slices.part)
        recorded = self.recorded.get("data", {})
        if known.name in recorded:
            sha256 = str(recorded[known.name])
            for folder in self.near:
                text, problem, _ = read_text_file(folder / name, "")
                found = _sliced(name, "" if problem else text, slices, Faults(Source(name, text)))
                if found.rows and found.sha256 == sha256:
                    return found
            return replace(known, sha256=sha256)
        if self.folder is None:
            return known
        empty = "holds no rows", "write one question with its answer a line, or name another file"
        text_or_none = _read(self.folder / name, name, "split it into several edits", empty, span, faults)
        if text_or_none is None:
            return None
        before = len(faults.found)
        found = _sliced(name, text_or_none, slices, faults)
        if slices.part and not found.rows and len(faults.found) == before:
            message = f"no row of {tick(name)} is in slice {slices.part}"
            faults.add("E126", message, span, help="leave the slice out, or divide the file into fewer")
        return found

    def _prompts(self, wanted: PromptFile, span: Span, faults: Faults) -> tuple[str | PromptAnswer, ...]:
        """The prompts of one file. Empty if it has a mistake, which E111 reports."""
        lines, problem, help = self._lines(wanted.name)
        if lines:
            bad = next((line for line in lines if _line_fault(line, wanted.kind)), None)
            if bad is not None:
                problem, help = f"has the line {tick(bad)}, {_line_fault(bad, wanted.kind)}", _line_layout(wanted.kind)
        if problem:
            faults.add("E111", f"{tick(wanted.name)} {problem}", span, help=help)
            return ()
        return tuple(_parse_line(line) if wanted.kind.answers else line for line in lines)

    def _lines(self, name: str) -> tuple[tuple[str, ...], str, str]:
        """The lines of a file; else what is wrong with it, and what to do. Lines that a delta records come first."""
        recorded = self.recorded.get("files", {})
        if name in recorded:
            self.files[name] = tuple(str(line) for line in recorded[name])
        if name in self.files or self.folder is None:
            return self.files.get(name, ()), "", ""
        lines, problem, help = read_lines(self.folder / name)
        if problem:
            return (), problem, help
        if not lines:
            return (), "holds no prompt", "write one prompt a line"
        self.files[name] = lines
        return lines, "", ""


def _sliced(name: str, text: str, slices: Slices, faults: Faults) -> DataSet:
    """The rows of a file's text that are in some slices, with the sha256 of the whole text or of these rows."""
    rows = slices.choose(read_keyed_rows(name, text, slices.by, faults))
    sha256 = rows_sha256(rows) if slices.part else hashlib.sha256(text.encode()).hexdigest()
    return DataSet(name, sha256, rows, slices.part)


def _line_fault(line: str, kind: PromptList) -> str:
    """What is wrong with a line of a file. Empty if nothing is."""
    parts = line.split("\t")
    if kind.slot and parts[0].count("{}") != 1:
        return "which needs exactly one `{}`"
    if not kind.answers and len(parts) > 1:
        return "which has a tab"
    return "which has more than one tab" if len(parts) > 2 else ""


def _line_layout(kind: PromptList) -> str:
    """What a line of the file must look like, for help texts."""
    slot = " with one `{}`" * kind.slot
    return f"a line is a prompt{slot}" + (", or a prompt, a tab and its answer" if kind.answers else " and no more")


def _parse_line(line: str) -> PromptAnswer:
    """A prompt, and its answer if a tab and text follow."""
    prompt, _, answer = line.partition("\t")
    return PromptAnswer(prompt.strip(), answer.strip() or None)


def _read(
    path: Path, name: str, too_large: str, empty: tuple[str, str], span: Span | None, faults: Faults
) -> str | None:
    """The text of a file that the manifest calls `name`. None, with E111, if it cannot be read or has no text.
    `too_large` is the help for a file that is; `empty` says what an empty one lacks, and the help for it."""
    text, problem, help = read_text_file(path, too_large)
    if not problem and not text.strip():
        problem, help = empty
    if problem:
        faults.add("E111", f"{tick(name)} {problem}", span, help=help)
        return None
    return text
