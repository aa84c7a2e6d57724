"""Hostile files: a coded error in under a second and 300 MB, never a traceback, and nothing written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_deltas import KINDS, as_delta, good, written
from hostile_files import corpus
from hostile_run import Case, Ended, run, stage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editc.formats.delta.container import to_bytes

READERS = ("delta", *KINDS, "forged delta", "place", "checkpoint", "index", "journal", "adapter", "onnx")
SECONDS, BYTES = 1.0, 250_000_000
"""The bar of 300 MB less the 50 that Python and numpy have to begin with."""
HARMLESS = {
    "delta": r"never",
    "export": r"text: another spelling|note: (another|a third) kind",
    "forged delta": r".*, inspect|a sketch of NaN, apply",
    "place": r"a terabyte tensor, inspect",
    "checkpoint": r"dtype \w+|an empty tensor more|a tensor named .*",
    "index": r"never",
    "journal": r".*, status|(a time far out|a delta's .*), revert",
    "adapter": r"header: metadata twice",
    "onnx": r"never",
}
"""What may end well, as patterns of names: other words for the same; lies in what the command does not read; tensors of
odd names and dtypes that no edit touches; journals that are only looked at, or whose stored bytes are the right ones.
Such files may be edited and restored as any other."""


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {reader: [] for reader in READERS}
    for case in corpus():
        found[case.reader].append(case)
    return found


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    with stage() as place:
        delta = good(place)
        return {"delta": to_bytes(delta)} | {kind: written(kind, delta, place) for kind in KINDS}


@pytest.fixture
def folder() -> Iterator[Path]:
    with stage() as place:
        yield place


def quickest(case: Case, folder: Path, tries: int = 3) -> Ended:
    """How the case ends; one that took too long is run again: what a neighbour on the same core costs is not its."""
    ended = run(case, folder)
    while ended.seconds > SECONDS and (tries := tries - 1):
        ended = min(ended, run(case, folder), key=lambda one: one.seconds)
    return ended


def fault(case: Case, ended: Ended) -> str:
    """What is wrong with the way a command ended, or ''."""
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", ended.said):
        return f"characters are printed that a terminal obeys: {ended.said[:800]!r}"
    if ended.exit == 0:
        pattern = HARMLESS["export" if case.reader in KINDS else case.reader]
        return "" if re.fullmatch(pattern, case.name) else "it was taken for a good file"
    if ended.exit not in (1, 2, 3) or not ended.codes or "Traceback" in ended.said:
        return f"exit {ended.exit} {ended.codes}: {ended.said[-800:]}"
    if ended.wrote:
        return f"{ended.codes} was reported, and yet something was written"
    if ended.seconds > SECONDS or ended.peak > BYTES:
        return f"it took {ended.seconds:.2f} s and {ended.peak / 1e6:.0f} MB"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_hostile_files_end_in_a_code(reader: str, cases: dict[str, list[Case]], folder: Path) -> None:
    faults = {case.name: fault(case, quickest(case, folder)) for case in cases[reader]}
    assert not {name: said for name, said in faults.items() if said}


PROGRAM = """import sys
from editc.cli import cli
from editc.cli.terminal import run_command
code = run_command(cli, sys.argv[1:])
print(code, [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("delta", "header: as many lists as fit"),
        ("delta", "header: as many maps as fit"),
        ("kohya", "text: lists"),
        ("index", "as many lists as fit"),
        ("place", "a terabyte delta, apply"),
    ],
)
def test_a_whole_process_stays_small(reader: str, name: str, cases: dict[str, list[Case]], folder: Path) -> None:
    (case,) = [case for case in cases[reader] if case.name == name]
    words = [word.replace("HERE", str(folder)) for word in case.build(folder)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    code, kilobytes = done.stdout.split()
    assert code in "13" and int(kilobytes) < 300_000


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_damage_ends_in_a_code(sound: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    """Bytes changed, cut out and put in at random, in delta files and exports."""
    reader = data.draw(st.sampled_from(sorted(sound)))
    bad = bytearray(sound[reader])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(bad) - 1))
        end = start + data.draw(st.integers(0, 12))
        bad[start:end] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"[", b'{"', b"1e999", b"NaN", b"-1", b"null"])
        )
    build = as_delta(reader, bytes(bad), data.draw(st.sampled_from(["inspect", "apply"])))
    ended = run(Case(reader, "random", build), folder)
    if ended.exit != 0:
        assert not fault(Case(reader, "random", build), ended)
    elif reader == "delta":
        assert bytes(bad) == sound[reader]


def test_there_are_many(cases: dict[str, list[Case]]) -> None:
    count = Counter({reader: len(found) for reader, found in cases.items()})
    assert count.total() >= 200 and min(count.values()) >= 10, count
