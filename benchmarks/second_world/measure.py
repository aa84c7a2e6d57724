"""The default edit on ten objects of the second world: `python -m benchmarks.second_world.measure`.

Every row is a manifest with `erase` and `to` and nothing else. Objects and targets were named before anything was
measured, and no default of editc is chosen on what this prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.objects import HEAD, Lab, Row, measure, open_lab
from benchmarks.second_world import DETECTOR, MODEL
from benchmarks.second_world.evaluate import STEPS
from benchmarks.second_world.names import PICTOGRAMS
from benchmarks.second_world.prompts import PROMPTS
from editc.opening.default_list import everyday_prompts

EDITS: Mapping[str, str] = {
    "cat": "dog",
    "pistol": "guitar",
    "horse": "cow",
    "shark": "dolphin",
    "taxi": "bus",
    "airplane": "balloon",
    "pirate": "robot",
    "church": "castle",
    "tulip": "mushroom",
    "hammer": "wrench",
}
"""Object -> the one that it is erased to."""
TITLE = (
    "| edit | plain | other name | all others before | after | change | of its kind | target | worst others | colour | "
    "style | residual | drift | rank |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def kin(concept: str) -> tuple[str, ...]:
    """The other objects of its kind."""
    return tuple(what for members in PICTOGRAMS.values() if concept in members for what in members if what != concept)


def show(concept: str, to: str, row: Row) -> str:
    """One line of the table; changes are in points."""
    worst = [what for what in sorted(row.falls, key=lambda what: row.falls[what])[:4] if row.falls[what] < 0]
    change = 100 * (row.kept - row.before)
    near = float(np.mean([row.falls[what] for what in kin(concept)]))
    cells = [f"{row.plain:.3f}", f"{row.synonym:.3f}", f"{row.before:.3f}", f"{row.kept:.3f}", f"{change:+.1f}"]
    cells += [f"{near:+.1f}", f"{row.falls[to]:+.0f}", ", ".join(f"{what} {row.falls[what]:+.0f}" for what in worst)]
    cells += [f"{row.attributes[name]:.3f}" for name in ("colour", "style")]
    assert row.effect is not None
    cells += [f"{max(row.effect.residuals):.2f}", f"{row.effect.preserve_drift:.2f}", str(row.rank)]
    return "| " + " | ".join([f"{concept} to {to}", *cells]) + " |"


def solve_and_measure(lab: Lab, concept: str, to: str, extra: str, count: int, each: int) -> Row:
    """Solve the default edit, with more lines of a manifest where wanted, and paint."""
    solution = lab.solve(HEAD.format(model=lab.model, concept=concept) + f"    to: {to}\n{extra}")
    return measure(lab, concept, solution, count, each)


def means(rows: Mapping[str, Row]) -> str:
    """The line of the means over all edits."""
    changes = [100 * (row.kept - row.before) for row in rows.values()]
    near = [np.mean([row.falls[what] for what in kin(concept)]) for concept, row in rows.items()]
    cells = [np.mean([row.plain for row in rows.values()]), np.mean([row.synonym for row in rows.values()])]
    return f"| mean | {cells[0]:.3f} | {cells[1]:.3f} | | | {np.mean(changes):+.2f} | {np.mean(near):+.1f} |" + " |" * 7


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="The default edit on ten objects of the second world.")
    parser.add_argument("--objects", default=",".join(EDITS))
    parser.add_argument("--count", type=int, default=40, help="prompts by the object's name, half by its other name")
    parser.add_argument("--each", type=int, default=2, help="prompts for each other object")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--detector", type=Path, default=DETECTOR)
    parser.add_argument("--lines", default="", help="more lines for each manifest, such as `preserve: ...`")
    parser.add_argument("--everyday", action="store_true", help="preserve the everyday prompts alone")
    parser.add_argument("--seed", type=int, default=70_000, help="where prompts and noise start")
    given = parser.parse_args()
    lab = open_lab(str(given.model), given.detector, given.seed, given.steps, PROMPTS)
    lab.corpus = everyday_prompts() if given.everyday else None
    print(TITLE, flush=True)
    rows = {}
    for concept in given.objects.split(","):
        rows[concept] = solve_and_measure(lab, concept, EDITS[concept], given.lines, given.count, given.each)
        print(show(concept, EDITS[concept], rows[concept]), flush=True)
    print(means(rows))


if __name__ == "__main__":
    main()
