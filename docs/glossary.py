"""The page docs/glossary.md, made from the words that `editc explain` knows.

`python docs/glossary.py` prints it; with `--write` it is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from editc.report import terms
from editc.report.words import TITLES

PAGE = Path(__file__).with_name("glossary.md")
HEAD = """\
# Glossary

What do the words mean that a manifest, a build, a report or an error uses? `editc explain WORD` prints each entry of
this page.

<!-- Made by `python docs/glossary.py --write` from editc/texts/glossary.txt and editc/report/words.py. -->
"""


def glossary() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_topics(), *_measurements()])


def _topics() -> Iterator[str]:
    for topic in terms.topics():
        page = os.path.relpath(topic.page, "docs")
        yield from (
            f"## {topic.title}",
            "",
            f"More: [{Path(page).name}]({page}).",
            "",
            "| word | meaning |",
            "|---|---|",
        )
        yield from (f"| {word} | {says} |" for word, says in topic.words.items())
        yield ""


def _measurements() -> Iterator[str]:
    yield from (
        "## Measurements",
        "",
        "A report shows these names. Those with a bound can be limited in a manifest.",
        "",
    )
    yield from ("| name | title in the report | meaning | bound |", "|---|---|---|---|")
    for name, (title, about) in TITLES.items():
        bound = terms.bound_of(name)
        yield f"| `{name}` | {title} | {about[:1].upper()}{about[1:]}. | {f'`{bound}`' if bound else ''} |"
    yield ""


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(glossary(), encoding="utf-8")
    else:
        print(glossary(), end="")
