"""A model's own sentences: `contexts.txt` in its folder, one a line, each with one `{}` for a concept."""

from __future__ import annotations

from pathlib import Path

from editc.core.diagnostics import fail

NAME = "contexts.txt"
"""The name of the file."""


def read_own_contexts(folder: Path) -> tuple[str, ...]:
    """The sentences in a model's folder, without lines that begin with `#`. () if `folder` is a file, or has no such
    file in it.

    Raises E146 if the file cannot be read, has no sentence, or has a line without exactly one `{}`.
    """
    path = folder / NAME
    if not path.is_file():
        return ()
    help_ = "one sentence a line, each with one `{}`, as in `a photo of a {}`; or remove the file"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise fail("E146", f"cannot read the model's own contexts: {why}", place=str(path), help=help_) from error
    found = tuple(dict.fromkeys(line for line in lines if line.strip() and line[0] != "#"))
    wrong = next((line for line in found if line.count("{}") != 1), None)
    if wrong is not None or not found:
        what = "the file has none" if wrong is None else f"`{wrong[:60]}` has {wrong.count('{}')} places for a concept"
        raise fail(
            "E146", f"the model's own contexts must be sentences with one `{{}}`: {what}", place=str(path), help=help_
        )
    return found
