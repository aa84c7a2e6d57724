"""Turn PyYAML's errors into messages that say what to change."""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml

from editc.core.places import Span
from editc.manifests.faults import START, Faults

PlaceOf = Callable[[int, int], Span]
"""Gives the place of a line and column, both counted from 0."""

_ADVICE = (
    (r"found character '\\t'", "a tab where YAML wants spaces", "replace the tab by spaces"),
    (r"found character '([%@`])'", "a text cannot begin with {0}", "put the text in quotes"),
    (
        r"mapping values are not allowed",
        "a second `:` in one value",
        "put a text that contains `: ` in quotes; or check the indentation",
    ),
    (
        r"could not find expected ':'",
        "this key has no `:` after it",
        "write `key: value`, with a space after the colon",
    ),
    (
        r"while scanning a quoted scalar.*end of stream",
        "this quote is never closed",
        "close it; an apostrophe inside '...' is written twice",
    ),
    (
        r"while scanning a double-quoted scalar",
        "an unknown escape in a quoted text",
        "write `\\\\` for a backslash, or use single quotes",
    ),
    (r"document separator", "this quote is never closed", "close it before `---`"),
    (
        r"expected ',' or '[]}]'",
        "a bracket is not closed, or a comma is missing",
        "close it; quote items that contain `,` `:` or brackets",
    ),
    (
        r"while parsing a flow node",
        "a value is missing or out of place here",
        "check commas and brackets; quote special characters",
    ),
    (
        r"expected <block end>.*block sequence",
        "this line does not fit the list above",
        "start the item with `- ` in the column of the others",
    ),
    (
        r"expected <block end>",
        "this line does not fit the block above",
        "give keys of one block the same indentation; quote texts fully or not at all",
    ),
    (
        r"sequence entries are not allowed",
        "a list item cannot begin here",
        "begin the list on its own line, under its key",
    ),
    (
        r"while scanning a block scalar",
        "this `|` or `>` block is not well formed",
        "indent its lines with spaces, and by the same amount",
    ),
    (r"found duplicate anchor", "an anchor is defined twice", "give each `&name` once"),
    (r"incompatible YAML document", "this file says it is written for another YAML version", "remove the %YAML line"),
    (r"directive|%", "a directive that YAML does not know", "remove lines that begin with %"),
    (r"anchor|alias", "`&` and `*` begin an anchor or an alias", "quote a text that begins with & or *"),
    (r"tag", "`!` begins a tag", "quote a text that begins with !"),
)
"""Pattern in PyYAML's message -> what is wrong, what to do. The first match counts."""

_AT_START = ("this quote is never closed", "this key has no `:` after it")
"""Messages whose place is where the value begins, not where PyYAML stopped."""


def report_syntax(error: Exception, text: str, mark: yaml.Mark | None, place: PlaceOf, faults: Faults) -> None:
    """Add one E101 at the place of the error, with the start of the value if YAML names it. `mark` is where reading
    stopped."""
    if isinstance(error, yaml.reader.ReaderError):
        span, code = _at(text, error.position, place), error.character
        number = ord(code) if isinstance(code, str) else int(code)
        faults.add("E101", f"the character U+{number:04X} is not allowed in YAML", span, help="remove it")
        return
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        span = START if mark is None else place(mark.line, mark.column)
        faults.add("E101", "a number or an escape that YAML cannot hold", span, help="check `\\U`, `\\x` and %YAML")
        return
    problem = f"{error.context or ''}: {error.problem or ''}"
    message, help = _advice(problem)
    found, begun = error.problem_mark, error.context_mark
    if begun is not None and message in _AT_START:
        found = begun
    related = [] if begun is None else [(place(begun.line, begun.column), "begun here")]
    notes = [f"the YAML reader says: {problem.strip(': ')}"]
    faults.add("E101", message, place(found.line, found.column), help=help, notes=notes, related=related)


def _advice(problem: str) -> tuple[str, str]:
    """What is wrong and what to do, for a message of PyYAML."""
    for pattern, message, help in _ADVICE:
        if match := re.search(pattern, problem):
            return message.format(*match.groups()), help
    return "this is not YAML", "check indentation, quotes and brackets near this place"


def _at(text: str, position: int, place: PlaceOf) -> Span:
    """The place of a character of the text, by its number."""
    before = re.split("\r\n|[\n\r\x85\u2028\u2029]", text[:position])
    return place(len(before) - 1, len(before[-1]))
