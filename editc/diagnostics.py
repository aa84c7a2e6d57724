"""Diagnostics: what is wrong, where, and what to do; one record as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from editc.request import Source, Span


@dataclass(frozen=True)
class Diagnostic:
    """One fault: a code of `editc.codes`, a sentence, a place (in `source`, or a file at large), and help.

    `place` names a file, tensor or option when there is no manifest line to underline.
    """

    code: str
    message: str
    span: Span | None = None
    source: Source | None = None
    place: str = ""
    help: str = ""
    notes: tuple[str, ...] = ()


class EditcError(Exception):
    """Stops a verb; carries every diagnostic found. The exit code follows from the codes (see `editc.codes`)."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


def fail(code: str, message: str, *, place: str = "", help: str = "", notes: Iterable[str] = ()) -> EditcError:
    """An error with one diagnostic that has no manifest line: `raise fail("E603", ...)`."""
    return EditcError(Diagnostic(code, message, place=place, help=help, notes=tuple(notes)))


def as_json(diagnostic: Diagnostic) -> Mapping[str, Any]:
    """The record as plain JSON values; absent fields are left out."""
    span, source = diagnostic.span, diagnostic.source
    record: dict[str, Any] = {"code": diagnostic.code, "message": diagnostic.message}
    if source is not None:
        record["file"] = source.name
    if span is not None:
        record |= {"line": span.line, "column": span.column, "length": span.length}
    extra = {"place": diagnostic.place, "help": diagnostic.help, "notes": list(diagnostic.notes)}
    return record | {name: value for name, value in extra.items() if value}
