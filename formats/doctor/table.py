"""An examination as text: one line for each loader, with the reason and the advice below it, wrapped to the
terminal."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from editc.core.text import count
from editc.formats.doctor.examine import Examination, headline
from editc.formats.doctor.models import TITLES
from editc.formats.doctor.verdict import LoaderVerdict

SHOWN = 3
"""How many of the modules that a loader leaves out are named. Chosen by hand."""

_INDENT = 13
"""Columns before the text: a mark of two letters, a space, the longest loader's name, a space."""


def as_text(found: Examination, width: int) -> str:
    """The table, at most `width` columns wide. Names and error texts of the loaders are not cut."""
    kinds = sorted({module.kind for module in found.adapter})
    modules = count(len(found.adapter.modules), "module")
    what = f"{modules} ({', '.join(kinds)}) for {TITLES[found.known.kind]}, {found.known.why}"
    if found.adapter.container == "delta":
        what = "an editc delta, which no other program loads"
    elif found.adapter.container == "gguf":
        what = "a GGUF file, which llama.cpp loads; the doctor does not judge llama.cpp"
    lines = wrap(f"{found.adapter.path}: {what}", width, subsequent_indent="  ", break_on_hyphens=False)
    if found.meant_for:
        lines.append(f"the exit code depends on {', '.join(found.meant_for)} (change with --for)")
    body = [line for verdict in found.verdicts for line in _loader(verdict, width, verdict.loader in found.meant_for)]
    return "\n".join([*lines, "", *body])


def _loader(verdict: LoaderVerdict, width: int, counts: bool) -> Iterator[str]:
    """The lines of one loader. `counts`: the file is meant for it."""
    marks = {"applies": "ok", "not judged": "??"}
    mark = marks.get(verdict.outcome, "NO") if counts else "--"
    yield from _paragraph(headline(verdict), width, f"{mark} {verdict.loader}")
    if verdict.outcome != "applies":
        yield from _paragraph(verdict.reason, width)
    if verdict.advice and (counts or verdict.outcome == "partly"):
        yield from _paragraph(f"do: {verdict.advice}", width)
    if verdict.outcome == "partly":
        yield from _left_out(verdict, width)


def _left_out(verdict: LoaderVerdict, width: int) -> Iterator[str]:
    """The lines that name the modules which a loader leaves out."""
    lost = [row for row in verdict.rows if row.fate == "lost"]
    for row in lost[:SHOWN]:
        near = f" (nearest: {row.near})" if row.near else ""
        yield from _paragraph(f"left out: {row.module}{near}", width)
    if len(lost) > SHOWN:
        yield from _paragraph(f"and {len(lost) - SHOWN} more (all with --json)", width)


def _paragraph(text: str, width: int, head: str = "") -> list[str]:
    """Wrap a text, with `head` in front of its first line. At least 40 columns wide."""
    first, rest = f"{head:<{_INDENT}}", " " * _INDENT
    wide = max(width, 40)
    return wrap(
        text, wide, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
