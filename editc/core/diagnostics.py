"""Diagnostics: what is wrong, where, and what to do about it. The same record is printed as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from editc.core.manifest import Manifest
    from editc.core.places import ManifestBlock, Source, Span

Severity: TypeAlias = Literal["error", "warning"]
"""A warning does not change the exit code."""


@dataclass(frozen=True)
class Diagnostic:
    """One fault or warning."""

    code: str
    """A code of `editc.codes`, such as E501."""
    message: str
    """What is wrong, in one sentence."""
    span: Span | None = None
    """The place in `source`. None where the fault has no line."""
    source: Source | None = None
    """The manifest that `span` belongs to. None where the fault is not in a manifest."""
    place: str = ""
    """A file, tensor or option, where there is no line to underline. Else empty."""
    help: str = ""
    """What to do. May be empty."""
    notes: tuple[str, ...] = ()
    """Further lines, shown under the message."""
    severity: Severity = "error"
    """Error or warning."""
    related: tuple[tuple[Span, str], ...] = ()
    """Further places in the same source, each with a few words such as `first given here`."""

    @property
    def is_error(self) -> bool:
        """False for a warning."""
        return self.severity == "error"

    @property
    def where(self) -> str:
        """Where it is, in a few words: `manifest.yaml, line 4`, or a file, a tensor or an option. May be empty."""
        if self.span is None or self.source is None:
            return self.place or ("" if self.source is None else self.source.name)
        if self.source.is_override(self.span):
            return self.source.line(self.span.line)
        return f"{self.source.name}, line {self.span.line}"


class EditcError(Exception):
    """Stops a verb, with every diagnostic that was found. The exit code follows from the codes (see `editc.codes`)."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics
        for one in diagnostics:  # Python and notebooks show them under a traceback
            self.add_note(_note(one))

    def __reduce__(self) -> tuple[type[EditcError], tuple[Diagnostic, ...]]:
        """How it is sent from one process to another. An exception is made again from its text by default, and a pool
        of processes breaks on what cannot be made again."""
        return type(self), self.diagnostics


def _note(one: Diagnostic) -> str:
    """A diagnostic in a few lines: code and place, the line that it underlines, and what to do."""
    lines = [f"{one.code}{' at ' if one.where else ''}{one.where}"]
    if one.span is not None and one.source is not None:
        lines += [f"  {one.source.line(one.span.line)}", f"  {' ' * (one.span.column - 1)}{'^' * one.span.length}"]
    return "\n".join((*lines, *([f"  help: {one.help}"] if one.help else [])))


def fail(code: str, message: str, *, place: str = "", help: str = "", notes: Iterable[str] = ()) -> EditcError:
    """An error with one diagnostic that has no line in a manifest. Use it as `raise fail("E603", ...)`."""
    return EditcError(Diagnostic(code, message, place=place, help=help, notes=tuple(notes)))


def sort_by_place(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics in the order of the lines of the manifest, each once. Those without a line come last."""
    return tuple(dict.fromkeys(sorted(diagnostics, key=_place)))


def _place(diagnostic: Diagnostic) -> tuple[float, int, int, str]:
    """The sort key of a diagnostic: line, column, length, code."""
    span = diagnostic.span
    return (span.line, span.column, span.length, diagnostic.code) if span else (inf, 0, 0, diagnostic.code)


def as_json(diagnostic: Diagnostic) -> Mapping[str, Any]:
    """The diagnostic as plain JSON values, without empty entries."""
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
    """The file, line and column of `span`. For a value from the command line: the whole `--set`."""
    if source is not None and source.is_override(span):
        return {"place": source.line(span.line), "column": span.column, "length": span.length}
    file = {} if source is None else {"file": source.name}
    return {**file, "line": span.line, "column": span.column, "length": span.length}


@contextmanager
def pointing_at(manifest: Manifest, field: str, block: ManifestBlock | None = None) -> Iterator[None]:
    """Inside this context, a diagnostic without a line of its own underlines `field` of the manifest, or of a block of
    it."""
    try:
        yield
    except EditcError as error:
        span = (block or manifest).at(field)
        raise EditcError(*(_with_span(one, manifest, span) for one in error.diagnostics)) from error


def _with_span(one: Diagnostic, manifest: Manifest, span: Span | None) -> Diagnostic:
    """The diagnostic with `span`; its own place goes into a note. A diagnostic with a line stays as it is."""
    if one.span is not None:
        return one
    notes = (*one.notes, f"in {one.place}") if one.place else one.notes
    return replace(one, span=span, source=manifest.source, notes=notes)
