"""Hostile files: a coded error in under a second and 300 MB, never a traceback, and nothing written."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hostile_files as hostile
import pytest
from hostile_files import Case, Ended
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_files import quick_disk

__all__ = ["quick_disk"]

READERS = ("delta", *hostile.KINDS, "forged delta", "place", "checkpoint", "index", "journal", "adapter")
SECONDS, BYTES = 1.0, 240_000_000
"""The bar of 300 MB less the 60 that Python and numpy have to begin with."""
HARMLESS = {
    "forged delta": ("inspect", "results that are wrong"),
    "checkpoint": ("a tensor named", "an empty tensor more"),
    "journal": ("another mode", "an entry without"),
}


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {reader: [] for reader in READERS}
    for case in hostile.corpus():
        found[case.reader].append(case)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with hostile.stage() as place:
        yield place


def fault(ended: Ended) -> str:
    """What is wrong with the way a command ended, or ''."""
    if ended.exit == 0:
        return ""
    if ended.exit not in (1, 2, 3) or not ended.codes or "Traceback" in ended.said:
        return f"exit {ended.exit} {ended.codes}: {ended.said[-800:]}"
    if ended.wrote:
        return f"{ended.codes} was reported, and yet something was written"
    return "" if ended.seconds < SECONDS else f"it took {ended.seconds:.2f} s"


@pytest.mark.parametrize("reader", READERS)
def test_hostile_files_end_in_a_code(reader: str, cases: dict[str, list[Case]], folder: Path) -> None:
    faults = {}
    for case in cases[reader]:
        ended = hostile.run(case, folder)
        if fault(ended):
            faults[case.name] = fault(ended)
    assert not faults


def test_there_are_many(cases: dict[str, list[Case]]) -> None:
    count = Counter({reader: len(found) for reader, found in cases.items()})
    assert count.total() >= 200 and min(count.values()) >= 10, count
