"""How many preserved prompts are needed: `python -m benchmarks.corpus [--objects circle,fish]`.

Each object of the demo model is erased with a part of the default list preserved, drawn at random. A row for each size:
how often the object still appears, how the others fare, and how far all prompts of the list move, which a small part
does not see.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.objects import HEAD, TARGETS, Lab, Row, measure, open_lab
from editc.core.problem import System
from editc.core.solution import Solution
from editc.demo import STEPS
from editc.passes.images.solve.strength import measure_effect

SIZES = (12, 25, 50, 100, 200)
"""Prompts that are preserved; a row with the whole list follows."""
DRAWS = 5
"""Parts of one size for which the drift is computed. Pictures are painted for the first."""
TITLE = (
    "| edit | preserved prompts | plain | other names | other objects | worst | colour | background | style | residual "
    "| drift of these prompts | drift of all prompts (5 draws) |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Part:
    """A list of preserved prompts and the edit that was solved with it."""

    solution: Solution
    """The edit."""
    drift: float
    """How far all prompts of the default list move, in units of their outputs."""


def solve_part(lab: Lab, concept: str, listed: Sequence[str], whole: System | None) -> Part:
    """Erase the concept with this list preserved. `whole` is the system with the whole list; None: this is that."""
    lab.corpus = tuple(listed)
    solution = lab.solve(HEAD.format(model=lab.model, concept=concept) + f"    to: {TARGETS[concept]}\n")
    system = solution.problem.systems["text"] if whole is None else whole
    return Part(solution, measure_effect(system, solution.edits["text"]).preserve_drift)


def parts(lab: Lab, concept: str, sizes: Sequence[int], draws: int) -> Iterator[tuple[int, tuple[Part, ...]]]:
    """For each size, and then for the whole list, its parts."""
    lab.corpus = None
    listed = lab.listed(concept)
    whole = solve_part(lab, concept, listed, None)
    system = whole.solution.problem.systems["text"]
    for size in sizes:
        found = []
        for draw in range(draws):
            picked = sorted(np.random.default_rng([size, draw]).permutation(len(listed))[:size].tolist())
            found.append(solve_part(lab, concept, [listed[one] for one in picked], system))
        yield size, tuple(found)
    yield len(listed), (whole,)


def show(name: str, size: str, row: Row, found: Sequence[Part]) -> str:
    """One line of the table."""
    shares = [f"{one:.3f}" for one in (row.plain, row.synonym, row.kept)]
    rest = [row.worst, *(f"{row.attributes[what]:.3f}" for what in ("colour", "background", "style"))]
    effect = (
        ["", ""] if row.effect is None else [f"{max(row.effect.residuals):.2f}", f"{row.effect.preserve_drift:.2f}"]
    )
    drifts = [one.drift for one in found]
    spread = f"{min(drifts):.3f} to {max(drifts):.3f}" if len(drifts) > 1 else "".join(f"{one:.3f}" for one in drifts)
    return "| " + " | ".join([name, size, *shares, *rest, *effect, spread]) + " |"


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="How many preserved prompts are needed.")
    parser.add_argument("--objects", default="circle,fish,sword")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--count", type=int, default=40, help="prompts by the object's name, half by its others")
    parser.add_argument("--each", type=int, default=6, help="prompts for each other object")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps of a picture")
    parser.add_argument("--model", default="editc:demo")
    given = parser.parse_args()
    lab = open_lab(given.model, seed=50_000, steps=given.steps)
    print(TITLE, flush=True)
    for concept in given.objects.split(","):
        base = measure(lab, concept, None, given.count, given.each)
        print(show(f"{concept}: no edit", "", base, ()), flush=True)
        for size, found in parts(lab, concept, [int(one) for one in given.sizes.split(",")], DRAWS):
            row = measure(lab, concept, found[0].solution, given.count, given.each)
            print(show(f"{concept} to {TARGETS[concept]}", str(size), row, found), flush=True)


if __name__ == "__main__":
    main()
