"""Slices of a data set: a row's slice depends on the row alone."""

from __future__ import annotations

import json

import pytest

from editc.core.places import Source
from editc.manifests.data_sets import read_keyed_rows, read_rows
from editc.manifests.faults import Faults
from editc.manifests.slices import Slices, rows_sha256, slice_of

TEXT = "".join(
    json.dumps({"question": f"What did {one} write, {i}?", "answer": f"Book {i}.", "author": one}) + "\n"
    for one in ("Ada", "Bo", "Cy", "Di")
    for i in range(5)
)


def faults() -> Faults:
    return Faults(Source("x", ""))


def test_every_row_is_in_exactly_one_slice() -> None:
    rows = read_keyed_rows("x", TEXT, None, faults())
    parts = [Slices((number,), 4).choose(rows) for number in range(1, 5)]
    assert sorted(one.digest for part in parts for one in part) == sorted(row.digest for _, row in rows)
    assert len({row.digest for _, row in rows}) == 20


def test_removing_a_row_moves_no_other() -> None:
    lines = TEXT.splitlines(keepends=True)
    for gone in range(0, 20, 7):
        less = "".join(lines[:gone] + lines[gone + 1 :])
        own = slice_of(read_keyed_rows("x", lines[gone], None, faults())[0][0], 4)
        for number in range(1, 5):
            before, after = (
                rows_sha256(Slices((number,), 4).choose(read_keyed_rows("x", text, None, faults())))
                for text in (TEXT, less)
            )
            assert (before == after) == (number != own)


def test_by_a_key_all_rows_of_one_author_are_in_one_slice() -> None:
    rows = read_keyed_rows("x", TEXT, "author", faults())
    assert {key for key, _ in rows} == {"Ada", "Bo", "Cy", "Di"}
    for number in range(1, 4):
        part = Slices((number,), 3, "author").choose(rows)
        assert len(part) % 5 == 0


def test_plain_text_has_slices_and_no_keys() -> None:
    found = faults()
    assert [key for key, _ in read_keyed_rows("x", "one piece\n\nanother", None, found)] == ["one piece", "another"]
    assert read_rows("x", "one piece\n\nanother", found)[1].answer == "another" and not found.found
    read_keyed_rows("x", "one piece", "author", found)
    assert [one.code for one in found.found] == ["E126"]


@pytest.mark.parametrize(("numbers", "of", "part"), [((2,), 4, "2 of 4"), ((3, 1), 4, "3, 1 of 4"), ((1,), 1, "")])
def test_the_name_of_a_part(numbers: tuple[int, ...], of: int, part: str) -> None:
    assert Slices(numbers, of).part == part
