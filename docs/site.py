"""Gather the pages of the site in one folder: `python docs/site.py FOLDER`; `make docs` then builds it.

The site has all pages of docs/, and those that stand beside what they describe: the delta format, the error codes, and
the pages for contributors. Links between them follow. A link to any other file of the repository, such as a source
file, becomes its text, because the site does not have that file.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE: Mapping[str, str] = {
    "formats/FORMAT.md": "reference/delta-format.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "integrations/comfyui/README.md": "reference/comfyui.md",
}
"""Pages outside docs/: the path in the repository, and the path in the site."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def pages() -> dict[str, str]:
    """Every page and picture of the site: its path in the repository, and its path in the site."""
    found = {f"docs/{path}": path for path in _below("docs", ("*.md", "*.png", "*.svg"))}
    found |= {f"editc/codes/{path}": f"codes/{path}" for path in _below("editc/codes", ("*.md",))}
    return found | {path: goal for path, goal in ELSEWHERE.items() if (ROOT / path).exists()}


def gather(folder: Path) -> None:
    """Write the site's pages below `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    known = pages()
    for source, goal in known.items():
        target = folder / goal
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            target.write_text(relinked((ROOT / source).read_text(encoding="utf-8"), source, known), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, target)


def relinked(text: str, source: str, known: Mapping[str, str]) -> str:
    """The page's text with its links as they lead from its place in the site; code blocks stay as they are."""
    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    here = PurePosixPath(known[source]).parent
    return "".join(part if part.startswith("```") else _links(part, source, here, known) for part in parts)


def _links(text: str, source: str, here: PurePosixPath, known: Mapping[str, str]) -> str:
    def led(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, sharp, heading = target.partition("#")
        if ":" in path or not path:
            return match[0]
        goal = known.get(posixpath.normpath(f"{PurePosixPath(source).parent}/{path}"))
        return f"{picture}[{words}]({posixpath.relpath(goal, here)}{sharp}{heading})" if goal else words

    return LINK.sub(led, text)


def _below(folder: str, patterns: tuple[str, ...]) -> list[str]:
    top = ROOT / folder
    return sorted(path.relative_to(top).as_posix() for pattern in patterns for path in top.rglob(pattern))


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
