"""Numbers with their words."""

from __future__ import annotations

WORDS = {"matrix": "matrices", "is": "are", "was": "were"}
"""Words whose many is not made with an s."""


def count(number: int, word: str) -> str:
    """`1 matrix`, `2 matrices`: a number with its word, of which the last is put into the plural."""
    first, _, last = word.rpartition(" ")
    many = word if number == 1 else f"{first} {WORDS.get(last, last + 's')}".strip()
    return f"{number:,} {many}"
