"""A file that is fetched on what an earlier run left is the published one, whatever was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from editc.core.diagnostics import EditcError
from editc.publish.fetch import Stream, fetch
from editc.publish.listing import Entry

DATA = bytes(range(256)) * 40


@contextmanager
def published(start: int) -> Iterator[Stream]:
    """The file as it was published, from a position on."""
    yield start, iter([DATA[start:]])


@pytest.mark.parametrize(
    "left", [b"", DATA[:999], DATA, b"x" * 999, DATA[:500] + DATA[501:1000], b"x" * len(DATA), DATA + b"x"]
)
def test_what_was_left_is_used_only_where_it_is_the_beginning(left: bytes, tmp_path: Path) -> None:
    part = tmp_path / "part"
    if left:
        part.write_bytes(left)
    fetch(Entry("delta.safetensors", "delta", len(DATA), sha256(DATA).hexdigest()), part, published, "shelf")
    assert part.read_bytes() == DATA


def test_a_source_that_stays_wrong_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(DATA[:999])
    with pytest.raises(EditcError, match="E954"):
        fetch(Entry("delta.safetensors", "delta", len(DATA), "0" * 64), part, published, "shelf")
    assert not part.exists()
