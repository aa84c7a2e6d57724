"""The files that a language model's manifest names: prompts, with or without answers, data sets, and the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editc.core.language_edits import Corpus, DataSet, PromptAnswer
from editc.core.places import Span
from editc.manifests.data_sets import read_rows
from editc.manifests.faults import Faults, tick
from editc.manifests.fields import BlockValues
from editc.manifests.files import read_lines, read_text_file
from editc.manifests.prompts import PromptFile
from editc.manifests.value_kinds import PromptList


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

    def data_set(self, name: str, span: Span | None, faults: Faults) -> DataSet | None:
        """The rows in the file `name`, with its sha256. None if it has a mistake: E111 for the file, E126 for a row.

        A delta records the hash alone. Then the rows are read from the first folder of `near` that has a file of that
        name with that hash; they are empty if there is none.
        """
        recorded = self.recorded.get("data", {})
        if name in recorded:
            sha256 = str(recorded[name])
            for folder in self.near:
                found, problem, _ = read_text_file(folder / name, "")
                if not problem and hashlib.sha256(found.encode()).hexdigest() == sha256:
                    return DataSet(name, sha256, read_rows(name, found, faults))
            return DataSet(name, sha256)
        if self.folder is None:
            return DataSet(name, "")
        empty = "holds no rows", "write one question with its answer a line, or name another file"
        text = _read(self.folder / name, name, "split it into several edits", empty, span, faults)
        return (
            None
            if text is None
            else DataSet(name, hashlib.sha256(text.encode()).hexdigest(), read_rows(name, text, faults))
        )

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
