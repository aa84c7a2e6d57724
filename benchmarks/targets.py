"""Which target suits a concept, from the text encoder alone: `python -m benchmarks.targets [--objects a,b]`.

For every other object as target: what the default edit leaves of the concept (its erase residual), and how far it moves
the object that moves most, in units of what tells that object from the others:

    |W M x_o| / |W (x_o - mean_o x_o)|  over all sites, x_o at the rows after the text, root mean square over contexts

The target with the least sum of both is the one that `benchmarks.objects` uses. No picture is painted.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.objects import HEAD, Lab, open_lab
from editc.core.delta import Array
from editc.core.ports import Encoder
from editc.core.solution import Solution
from editc.demo.world import CHARACTERS, OBJECTS, WEAPONS
from editc.families.images.contexts import CONTEXTS
from editc.passes.images.rows.phrases import fill_context, last_text_row
from editc.passes.images.solve.strength import measure_effect

TARGETS = tuple(name for name in OBJECTS if name not in (*WEAPONS, *CHARACTERS))
"""Nothing is sent to what somebody else may want erased."""


def signals(encoder: Encoder, contexts: Sequence[str]) -> Mapping[str, tuple[Array, Array]]:
    """Object -> its rows (contexts, 2, d) after the text (end of text, mean of the padding), and the same less the mean
    over all objects."""
    names = tuple(OBJECTS)
    encoded = encoder.encode([fill_context(context, name) for name in names for context in contexts])
    rows = np.array([[e.rows[last_text_row(e) + 1], e.rows[last_text_row(e) + 2 :].mean(axis=0)] for e in encoded])
    rows = rows.reshape(len(names), len(contexts), 2, -1)
    return dict(zip(names, zip(rows, rows - rows.mean(axis=0), strict=True), strict=True))


def furthest(solution: Solution, seen: Mapping[str, tuple[Array, Array]], concept: str, target: str) -> float:
    """The movement of the other object that moves most, the target left out."""
    edit, gram = solution.edits["text"], solution.problem.systems["text"].total_gram()
    moved = {
        name: np.sqrt(_size(gram, rows @ edit.right[0].T @ edit.left[0].T) / _size(gram, signal))
        for name, (rows, signal) in seen.items()
        if name not in (concept, target)
    }
    return float(max(np.max(one) for one in moved.values()))


def _size(gram: Array, rows: Array) -> Array:
    """Mean over contexts of x^T gram x, for both places after the text."""
    return np.asarray(np.einsum("cki,ij,ckj->k", rows, gram, rows, optimize=True))


def scores(lab: Lab, concept: str, seen: Mapping[str, tuple[Array, Array]]) -> list[tuple[float, str, float, float]]:
    """(residual + movement, target, residual, movement) of every target, best first."""
    found = []
    for target in TARGETS:
        if target != concept:
            solution = lab.solve(HEAD.format(model=lab.model, concept=concept) + f"    to: {target}\n")
            residual = max(measure_effect(solution.problem.systems["text"], solution.edits["text"]).residuals)
            moved = furthest(solution, seen, concept, target)
            found.append((residual + moved, target, residual, moved))
    return sorted(found)


def main() -> None:
    """Print the three best targets and the worst of each object as Markdown."""
    parser = argparse.ArgumentParser(description="Which target suits a concept, from the text encoder alone.")
    parser.add_argument("--objects", default=",".join(OBJECTS))
    parser.add_argument("--model", default="editc:demo")
    given = parser.parse_args()
    lab = open_lab(given.model)
    assert lab.ctx.encoder is not None
    seen = signals(lab.ctx.encoder, CONTEXTS)
    print("| concept | target | residual | furthest other |\n|---|---|---|---|", flush=True)
    for concept in given.objects.split(","):
        found = scores(lab, concept, seen)
        for _, target, residual, moved in [*found[:3], found[-1]]:
            print(f"| {concept} | {target} | {residual:.2f} | {moved:.2f} |", flush=True)


if __name__ == "__main__":
    main()
