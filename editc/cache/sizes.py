"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import re

from editc.core.diagnostics import fail


def parse_size(text: str, place: str) -> int:
    """The bytes that a text such as `500MB`, `2GiB` or `1000000` means. Raises E800, which names the `place` that the
    text came from."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(?:([KMGT])(I?))?B?\s*", text.upper(), re.ASCII)
    if found is None:
        message = f"`{text}` is not a size"
        raise fail("E800", message, place=place, help="write a number with a unit, such as 500MB, 2GB or 1.5GiB")
    number, letter, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(letter) + 1 if letter else 0))


def show_size(count: int) -> str:
    """Bytes as a short text, such as `4.7 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
