"""Where a name stands in a text: as words of their own, not inside longer ones."""

from __future__ import annotations

from collections.abc import Iterator


def whole(text: str, name: str) -> Iterator[int]:
    """Where the name stands and is no part of a longer word: its tokens would be others."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not (_joined(text[start - 1 : start], name[0]) or _joined(name[-1], text[end : end + 1])):
            yield start
        start = text.find(name, end)


def last(text: str, name: str) -> int:
    """Where the name last stands, as words of their own if it does anywhere; -1 if it does not stand there at all."""
    return max(whole(text, name), default=text.rfind(name))


def _joined(left: str, right: str) -> bool:
    """True for two characters of one word, in scripts that have spaces between words."""
    return bool(left and right) and all(one.isdigit() or one.lower() != one.upper() for one in (left, right))
