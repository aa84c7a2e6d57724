"""The catalogue of diagnostics. The `.md` files in this folder say for each code what it means, why, and what to do.

An entry begins with `## E102: unknown key` and `exit: 2`; four sections follow. The exit code of a run is the largest
of its errors: 1 means that it ran and the answer is no, 2 that the request is wrong, 3 that an input is unreadable, and
70 a bug in editc. An entry that begins with "Warning." or "A warning" is no error: its exit code is 0, whatever its
`exit:` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from editc.core.diagnostics import Diagnostic

BUG = 70
"""The exit code of a bug in editc (EX_SOFTWARE of sysexits.h)."""
EXITS = (0, 1, 2, 3, BUG)
"""The exit codes that an entry may have."""
_WARNING = re.compile(r"(A w|W)arning\b")
"""How the first section of an entry begins if it is a warning."""
SECTIONS = {"What it says": "what", "Why": "why", "Example": "example", "What to do": "todo"}
"""Title of a section -> field of `Code`, in the order in which they stand."""


@dataclass(frozen=True)
class Code:
    """One entry of the catalogue."""

    code: str
    """The code, such as `E102`."""
    title: str
    """The title, without the code."""
    exit: int
    """The exit code of a run with this error; 0 for a warning."""
    what: str
    """What the diagnostic says, as Markdown."""
    why: str
    """Why it is an error, as Markdown."""
    example: str
    """An example that causes it, as Markdown."""
    todo: str
    """What to do about it, as Markdown."""
    stage: str
    """The file that has the entry, without `.md` (`manifest`, `locate`, ...)."""


@cache
def catalogue() -> Mapping[str, Code]:
    """Read all entries: code -> entry, sorted by code. Raises ValueError if a code has two entries."""
    pages = sorted(
        (page for page in files("editc.codes").iterdir() if page.name.endswith(".md")), key=lambda page: page.name
    )
    entries: dict[str, Code] = {}
    for page in pages:
        for entry in parse(page.read_text(encoding="utf-8"), page.name.removesuffix(".md")):
            if entry.code in entries:
                raise ValueError(f"{entry.code} is documented in {entries[entry.code].stage}.md and in {page.name}")
            entries[entry.code] = entry
    return dict(sorted(entries.items()))


def parse(text: str, stage: str) -> tuple[Code, ...]:
    """Return the entries of one page. Raises ValueError that names the entry in which something is missing."""
    return tuple(_entry(part, stage) for part in re.split(r"^(?=## E\d)", text, flags=re.MULTILINE)[1:])


def lookup(code: str) -> Code | None:
    """Return the entry of a code (`E102` or `e102`), or None if there is none."""
    return catalogue().get(code.strip().upper())


def explain(code: str) -> str:
    """Return the whole entry as text for a terminal. Raises KeyError if there is no such code."""
    entry = catalogue()[code.strip().upper()]
    title = f"{entry.code}: {entry.title}"
    said = f"exit code {entry.exit}" if entry.exit else "a warning: it does not change the exit code"
    parts = [f"{title}\n{'=' * len(title)}\n{said}"]
    parts += [f"{name}\n{'-' * len(name)}\n{getattr(entry, field)}" for name, field in SECTIONS.items()]
    return "\n\n".join(parts) + "\n"


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """Return the exit code of a run with these diagnostics: the largest of its errors, or 0 if all are warnings."""
    return max((_exit(one.code) for one in diagnostics if one.is_error), default=0)


def _exit(code: str) -> int:
    """Return the exit code of an error. A code without an entry, and a warning raised as an error, count as a bug."""
    entry = lookup(code)
    return BUG if entry is None else entry.exit or BUG


def _entry(part: str, stage: str) -> Code:
    """Parse the text of one entry. Raises ValueError if its head or a section is missing."""
    head = re.match(r"## (E\d{3}): (.+)\nexit: (\d+)\n", part)
    if head is None or int(head[3]) not in EXITS:
        raise ValueError(f"{stage}.md: an entry begins with `## E123: title` and `exit: 0|1|2|3|70`, not {part[:60]!r}")
    bodies = re.split(r"^### (.+)\n", part[head.end() :], flags=re.MULTILINE)
    sections = {name.strip(): body.strip() for name, body in zip(bodies[1::2], bodies[2::2], strict=True)}
    if list(sections) != list(SECTIONS) or not all(sections.values()):
        raise ValueError(f"{stage}.md: {head[1]} has not the sections {', '.join(SECTIONS)}")
    exit_ = 0 if _WARNING.match(sections["What it says"]) else int(head[3])
    return Code(head[1], head[2], exit_, **{SECTIONS[n]: body for n, body in sections.items()}, stage=stage)
