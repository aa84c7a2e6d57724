"""Render diagnostics as text: headline, place, source line with carets, help and notes; plain or in colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from editc.core.diagnostics import Diagnostic
from editc.core.places import Source, Span

LINE_WIDTH = 100
"""Columns of a source line that are shown. A longer line is cut around what is underlined. Chosen by hand."""
MAX_DIAGNOSTICS = 100
"""The most diagnostics that are shown in full: a generated manifest can have thousands. Chosen by hand."""
TAB_SPACES = "    "
"""How a tab is shown."""
_COLOUR = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "bold": "\x1b[1m", "frame": "\x1b[1;34m"}
"""Style of a text -> its ANSI code."""


@dataclass(frozen=True)
class Styler:
    """Wraps text in ANSI colour, or leaves it as it is."""

    on: bool
    """True if text gets colour."""

    def __call__(self, text: str, style: str) -> str:
        """The text in the style, a key of `_COLOUR`."""
        return f"{_COLOUR[style]}{text}\x1b[0m" if self.on and text else text


def render(diagnostics: Sequence[Diagnostic], *, colour: bool = False) -> str:
    """All diagnostics, separated by empty lines, and a summary. Ends with a line break. Empty if there are none."""
    if not diagnostics:
        return ""
    blocks = [render_one(one, colour=colour) for one in diagnostics[:MAX_DIAGNOSTICS]]
    if len(diagnostics) > MAX_DIAGNOSTICS:
        blocks.append(f"... and {len(diagnostics) - MAX_DIAGNOSTICS} more\n")
    return "\n".join([*blocks, summary(diagnostics) + "\n"])


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many errors and warnings there are, such as `2 errors, 1 warning`."""
    severities = [one.severity for one in diagnostics]
    counts = [(severities.count("error"), "error"), (severities.count("warning"), "warning")]
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts if count)


def render_one(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """One diagnostic as text. Ends with a line break."""
    paint = Styler(colour)
    return "\n".join(_parts(diagnostic, paint)) + "\n"


def _parts(one: Diagnostic, paint: Styler) -> Iterator[str]:
    """The lines of one diagnostic."""
    yield paint(f"{one.severity}[{one.code}]", one.severity) + paint(f": {clean(one.message)}", "bold")
    gutter = ""
    if one.source is not None and one.span is not None:
        gutter = " " * max(
            _number_width(one.source, place) for place in (one.span, *(place for place, _ in one.related))
        )
        yield f"{gutter}{paint('-->', 'frame')} {clean(where(one.source, one.span))}"
        yield from _snippet(one.source, one, gutter, paint)
    elif one.place or one.source:
        yield f" {paint('-->', 'frame')} {clean(one.place or (one.source.name if one.source else ''))}"
    for label, text in (*((("help", one.help),) if one.help else ()), *(("note", note) for note in one.notes)):
        yield f"{gutter} {paint('=', 'frame')} {paint(label, 'bold')}: {clean(text)}"


def where(source: Source, span: Span) -> str:
    """The place of a diagnostic: `manifest.yaml:4:5`, or `command line` for an override."""
    return "command line" if source.is_override(span) else f"{source.name}:{span.line}:{span.column}"


def _number_width(source: Source, span: Span) -> int:
    """How many characters the line number needs. An override has none and needs 1."""
    return 1 if source.is_override(span) else len(str(span.line))


def _snippet(source: Source, one: Diagnostic, gutter: str, paint: Styler) -> Iterator[str]:
    """The source lines that are underlined, in order, with each mark on a line of its own."""
    assert one.span is not None
    marks = sorted(
        [(one.span, "", "^"), *((place, text, "-") for place, text in one.related)], key=lambda mark: mark[:2]
    )
    bar = paint("|", "frame")
    yield f"{gutter} {bar}"
    last: int | None = None
    for span, text, char in marks:
        shown, left, width = excerpt(source.line(span.line), span)
        if span.line != last:
            if last is not None and span.line > last + 1:
                yield paint("...", "frame")
            number = " " if source.is_override(span) else str(span.line)
            yield f"{paint(number.rjust(len(gutter)), 'frame')} {bar} {shown}".rstrip()
        label = f" {clean(text)}" if text else ""
        yield f"{gutter} {bar} {' ' * left}{paint(char * width + label, one.severity if char == '^' else 'frame')}"
        last = span.line


def excerpt(line: str, span: Span, width: int = LINE_WIDTH) -> tuple[str, int, int]:
    """The line as shown, the columns before the underlined text, and the columns under it.

    Tabs become four spaces, control characters become escapes. A wide character counts two columns, a combining one
    none.
    """
    first, last = _window(line, span, width)
    start = min(span.column - 1, len(line))
    stop = max(start, min(start + span.length, last))
    left, right = "..." if first else "", "..." if last < len(line) else ""
    before, under = _columns(line[first:start]), _columns(line[start:stop])
    return f"{left}{clean(line[first:last])}{right}", len(left) + before, max(1, under)


def _window(line: str, span: Span, width: int) -> tuple[int, int]:
    """The range of characters that is shown. It starts at 0 if the underlined text then fits, else a little before that
    text."""
    start = min(span.column - 1, len(line))
    head = _columns(line[: start + span.length]) if start + span.length <= width else width + 1
    first = 0 if head <= width or (start <= width // 4 and span.length > width) else max(0, start - width // 4)
    last, total = first, 0
    while last < len(line) and total < width:
        total += _columns(line[last])
        last += 1
    return first, last


def clean(text: str) -> str:
    """Replace characters that could move the cursor, turn colours on or reverse the reading order."""
    return "".join(_cell(character) for character in text)


def _cell(character: str) -> str:
    """One character as `clean` shows it."""
    if character == "\t":
        return TAB_SPACES
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"\\u{ord(character):04x}" if character != "\u200d" else character
    return character


def _columns(text: str) -> int:
    """The width of a text in columns, as `clean` shows it."""
    return sum(_width(shown) for character in text for shown in _cell(character))


def _width(character: str) -> int:
    """The width of one character in columns: 0, 1 or 2."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
