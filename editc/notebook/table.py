"""A table of HTML for the last value of a notebook's cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TypeAlias

Row: TypeAlias = Sequence[object]
"""The cells of one row. The first is its heading."""
SHOWN = 20
"""How many rows a table has at most. Chosen by hand: a screen."""
LONGEST = 300
"""How many characters of a cell are shown. Chosen by hand: three lines."""


def table(title: str, rows: Iterable[Row], notes: Iterable[str] = ()) -> str:
    """A table with a title above it and a line of text under it for each note. Of many rows, the first SHOWN and how
    many more there are."""
    every = [tuple(row) for row in rows]
    left = len(every) - SHOWN
    more: list[Row] = [(f"and {left} more",)] if left > 0 else []
    shown: list[Row] = [*every[:SHOWN], *more]
    body = "".join(f"<tr>{_heading(row[0])}{''.join(map(_cell, row[1:]))}</tr>" for row in shown)
    under = "".join(f"<div>{_text(note)}</div>" for note in notes)
    return f"<div><b>{_text(title)}</b></div><table>{body}</table>{under}"


def size(count: int) -> str:
    """A number of bytes with its unit, three digits: `1.24 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


def _heading(value: object) -> str:
    return f"<th style='text-align:left'>{_text(value)}</th>"


def _cell(value: object) -> str:
    return f"<td style='text-align:left'>{_text(value)}</td>"


def _text(value: object) -> str:
    """A value as escaped text, without control characters, cut after LONGEST characters; a float with four digits."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    plain = "".join(one if one.isprintable() else " " for one in text)
    return escape(plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 3]}...")
