"""The catalogue of diagnostics: what each code says, why, an example and what to do, read from the `.md` files beside.

An entry begins with `## E102: unknown key`, then `exit: 2`, then the four sections below. The exit code of a run is the
largest of its errors: 1 it ran and the answer is no; 2 the request is wrong; 3 an input is unreadable; 70 a bug. An
entry that says "Warning." or "A warning" first is no error, and its exit code is 0 whatever stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from editc.core.diagnostics import Diagnostic

BUG = 70
EXITS = (0, 1, 2, 3, BUG)
_WARNING = re.compile(r"(A w|W)arning\b")
SECTIONS = {"What it says": "what", "Why": "why", "Example": "example", "What to do": "todo"}


@dataclass(frozen=True)
class Code:
    """One entry of the catalogue; `stage` is the file it stands in (`manifest`, `locate`, ...)."""

    code: str
    title: str
    exit: int
    what: str
    why: str
    example: str
    todo: str
    stage: str


@cache
def catalogue() -> Mapping[str, Code]:
    """Every code that editc can report, in order."""
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
    """The entries of one page. Raises ValueError that names the entry which lacks something."""
    return tuple(_entry(part, stage) for part in re.split(r"^(?=## E\d)", text, flags=re.MULTILINE)[1:])


def lookup(code: str) -> Code | None:
    """The entry of a code (`E102` or `e102`), or None."""
    return catalogue().get(code.strip().upper())


def explain(code: str) -> str:
    """The whole entry as text for a terminal. Raises KeyError for a code that does not exist."""
    entry = catalogue()[code.strip().upper()]
    title = f"{entry.code}: {entry.title}"
    said = f"exit code {entry.exit}" if entry.exit else "a warning: it does not change the exit code"
    parts = [f"{title}\n{'=' * len(title)}\n{said}"]
    parts += [f"{name}\n{'-' * len(name)}\n{getattr(entry, field)}" for name, field in SECTIONS.items()]
    return "\n\n".join(parts) + "\n"


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """The exit code of a run with these diagnostics: the largest of its errors, 0 if there are only warnings."""
    return max((_exit(one.code) for one in diagnostics if one.is_error), default=0)


def _exit(code: str) -> int:
    entry = lookup(code)
    return BUG if entry is None else entry.exit or BUG


def _entry(part: str, stage: str) -> Code:
    head = re.match(r"## (E\d{3}): (.+)\nexit: (\d+)\n", part)
    if head is None or int(head[3]) not in EXITS:
        raise ValueError(f"{stage}.md: an entry begins with `## E123: title` and `exit: 0|1|2|3|70`, not {part[:60]!r}")
    bodies = re.split(r"^### (.+)\n", part[head.end() :], flags=re.MULTILINE)
    sections = {name.strip(): body.strip() for name, body in zip(bodies[1::2], bodies[2::2], strict=True)}
    if list(sections) != list(SECTIONS) or not all(sections.values()):
        raise ValueError(f"{stage}.md: {head[1]} has not the sections {', '.join(SECTIONS)}")
    exit_ = 0 if _WARNING.match(sections["What it says"]) else int(head[3])
    return Code(head[1], head[2], exit_, **{SECTIONS[n]: body for n, body in sections.items()}, stage=stage)
