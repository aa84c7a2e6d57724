"""One sentence of a text: of a docstring, and of the comments at the head of a manifest."""

from __future__ import annotations

import re
from importlib.resources import files
from inspect import cleandoc
from itertools import takewhile
from pathlib import Path

_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"])")
"""Where a sentence ends: `eq. 7` and `p. 3` go on in small letters or digits."""


def first_sentence(text: str) -> str:
    """The first sentence of a text, on one line; of a docstring its first paragraph is looked at."""
    paragraph = cleandoc(text).partition("\n\n")[0]
    return _END.split(" ".join(paragraph.split()), maxsplit=1)[0]


def header_text(manifest: str) -> str:
    """The comment lines with which a manifest begins, as one text, without lines for an editor (`name: $key=...`)."""
    lines = takewhile(lambda line: line.startswith("#"), manifest.splitlines())
    return " ".join(line.lstrip("# ") for line in lines if ": $" not in line)


def example_folder() -> Path:
    """The folder with the manifests that are installed with editc."""
    return Path(str(files("editc.manifests"))) / "examples"
