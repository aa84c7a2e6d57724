"""Measure every cell in a process of its own, and keep what was measured in a file, so that a killed run goes on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.against.problem import Case
from benchmarks.scale import child

COUNTS = (1, 10, 100, 1000)
"""Concepts."""
PRESERVED = (0, 100, 1000)
"""Preserved texts."""
LARGE = 200
"""With more keys the published side of UCE 2025 edits one matrix of each shape."""
FIT = (250, 500, 1000, 2000)
"""Keys at which the cost of editc's solve is fitted, half of them preserved."""
WIDTH = 1536
"""d_in of the matrix of SmolLM2-135M that MEMIT and AlphaEdit edit."""
LANGUAGE = ((1, 0), (10, 100), (100, 100), (1000, 1000))
"""Facts and preserved keys of MEMIT and AlphaEdit."""
Measured = dict[str, Any]


def cells() -> Iterator[tuple[str, Case]]:
    """Every side and problem that is run, the short ones first."""
    for preserved in PRESERVED:
        for concepts in COUNTS:
            case = Case("uce2025", concepts, preserved)
            yield "ours", case
            yield "theirs", Case("uce2025", concepts, preserved, sampled=case.keys > LARGE)
    for concepts in (1, 2):
        yield "theirs", Case("uce2023", concepts, 0, sampled=True)
        yield "theirs", Case("rece", concepts, 0, sampled=True, epochs=1)
    for concepts in (1, 10, 100):
        yield "ours", Case("rece", concepts, 0)
        yield "ours", Case("uce2023", concepts, 0)
    yield "ours", Case("uce2023", 10, 100)
    yield from language_cells()
    for width in (768, 2048):
        for keys in FIT:
            yield "ours", Case("uce2025", keys // 2, keys // 2, width)
    for concepts, preserved in ((1, 0), (10, 100)):
        yield "build", Case("uce2025", concepts, preserved)
        yield "script", Case("uce2025", concepts, preserved)
    yield "theirs", Case("rece", 1, 0)


def language_cells() -> Iterator[tuple[str, Case]]:
    """The cells of MEMIT and AlphaEdit, by keys."""
    for method in ("memit", "alphaedit"):
        for concepts, preserved in LANGUAGE:
            yield from ((side, Case(method, concepts, preserved, WIDTH)) for side in ("ours", "theirs"))


def measure(side: str, case: Case, folder: Path) -> Measured:
    """The figures of one cell."""
    if side == "build":
        from benchmarks.against.whole import build

        return build(case, folder)
    printed, total, peak = child("benchmarks.against", "--child", side, json.dumps(asdict(case)), str(folder))
    return {**json.loads(printed), "process": total, "peak": peak}


def load(file: Path) -> dict[str, Measured]:
    """What was measured so far, by the name of the cell."""
    return json.loads(file.read_text()) if file.exists() else {}


def name(side: str, case: Case) -> str:
    """The name of a cell in the file."""
    return f"{side} {json.dumps(asdict(case))}"


def run_all(folder: Path, file: Path) -> dict[str, Measured]:
    """Measure what is missing in `file`."""
    found = load(file)
    for side, case in cells():
        if name(side, case) not in found:
            found[name(side, case)] = measure(side, case, folder)
            print(name(side, case), found[name(side, case)], file=sys.stderr, flush=True)
            file.write_text(json.dumps(found, indent=1))
    return found


def solve(side: str, case: Case, folder: Path) -> Measured:
    """What a process of its own runs. Imports are here, so that a side loads no more than it uses."""
    if side == "script":
        found: Measured = import_module("benchmarks.against.whole").published(case, folder)
    elif case.method in ("memit", "alphaedit"):
        found = getattr(import_module("benchmarks.against.memories"), side)(case)
    else:
        found = getattr(import_module("benchmarks.against.solves"), side)(case, folder)
    return found


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a pipeline that `benchmarks.true_shapes FOLDER sd15` made")
    parser.add_argument("--results", type=Path, default=Path("against.json"), help="where figures are kept")
    parser.add_argument("--picture", type=Path, help="an SVG file for the curves")
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "CASE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        side, case = given.child
        print(json.dumps(solve(side, Case(**json.loads(case)), given.folder)))
        return
    report(run_all(given.folder, given.results), given.picture)


def report(found: dict[str, Measured], picture: Path | None) -> None:
    """Print the tables, and write the curves to `picture`."""
    from benchmarks.against import page, tables

    for part in (page.table, tables.spans, tables.language, tables.commands):
        print(*part(found), "", sep="\n")
    print(*(line for width in (768, 2048) for line in page.fit(found, width)), sep="\n")
    if picture is not None:
        picture.write_text(page.picture(found), "utf-8")


if __name__ == "__main__":
    main()
