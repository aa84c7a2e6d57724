"""Diagnostics: what is wrong, where, and what to do; one record as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from editc.core.places import Source, Span

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Diagnostic:
    """One fault: a code of `editc.codes`, a sentence, a place (in `source`, or a file at large), and help.

    `place` names a file, tensor or option when there is no manifest line to underline. `related` are further places
    in the same source with a few words each (`first given here`). A warning does not change the exit code.
    """

    code: str
    message: str
    span: Span | None = None
    source: Source | None = None
    place: str = ""
    help: str = ""
    notes: tuple[str, ...] = ()
    severity: Severity = "error"
    related: tuple[tuple[Span, str], ...] = ()

    @property
    def is_error(self) -> bool:
        """False for a warning."""
        return self.severity == "error"


class EditcError(Exception):
    """Stops a verb; carries every diagnostic found. The exit code follows from the codes (see `editc.codes`)."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


def fail(code: str, message: str, *, place: str = "", help: str = "", notes: Iterable[str] = ()) -> EditcError:
    """An error with one diagnostic that has no manifest line: `raise fail("E603", ...)`."""
    return EditcError(Diagnostic(code, message, place=place, help=help, notes=tuple(notes)))


def sort_by_place(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics in the order of the manifest's lines (those with no line last), each once."""
    return tuple(dict.fromkeys(sorted(diagnostics, key=_place)))


def _place(diagnostic: Diagnostic) -> tuple[float, int, int, str]:
    span = diagnostic.span
    return (span.line, span.column, span.length, diagnostic.code) if span else (inf, 0, 0, diagnostic.code)


def as_json(diagnostic: Diagnostic) -> Mapping[str, Any]:
    """The record as plain JSON values; absent fields are left out."""
    span, source = diagnostic.span, diagnostic.source
    record: dict[str, Any] = {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "notes": list(diagnostic.notes),
        "related": [{**_where(source, place), "message": text} for place, text in diagnostic.related],
    }
    if span is None and source is not None:
        record["file"] = source.name
    record |= {"place": diagnostic.place} if span is None else _where(source, span)
    return {name: value for name, value in record.items() if value}


def _where(source: Source | None, span: Span) -> Mapping[str, Any]:
    """File, line and column of `span`; for a value from the command line the `--set` in full."""
    if source is not None and source.is_override(span):
        return {"place": source.line(span.line), "column": span.column, "length": span.length}
    file = {} if source is None else {"file": source.name}
    return {**file, "line": span.line, "column": span.column, "length": span.length}
