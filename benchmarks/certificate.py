"""How far an erased object comes back: `python -m benchmarks.certificate [--objects a,b] [--count 40] [--album FILE]`.

For each edit of the demo model: `recoverable` (exact), RECE's derived embedding by the same measure, the prompts' own
rows, and the share of pictures that show the object, painted from its prompts, from RECE's embedding and from the exact
minimiser, each put in place of every row that the target would change.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import world
from benchmarks.objects import CONFIGURATIONS, HEAD, TARGETS, Lab, edited, open_lab
from editc.core.delta import Array
from editc.core.measurements import Attack, Certificate
from editc.core.solution import Solution
from editc.numerics import adversary
from editc.passes.images.measure.certificate import REGULARISATION, LayerSums, certify
from editc.passes.images.measure.row_sums import Layer
from editc.passes.images.painting import certificate_attack

EDITS: Mapping[str, tuple[str, float]] = {
    "uce, aligned keys (default)": ("    to: {to}\n", 0.1),
    "uce 2025 (last token), published": (CONFIGURATIONS["uce 2025 (last token), published"], 1e-9),
    "rece 1 epoch (span), published": (CONFIGURATIONS["rece 1 epoch, published"], 1e-9),
}
"""Manifest lines of an edit, and the share of it that a lower rank may lose."""
TITLE = (
    "| edit | exact | median | RECE, possible | RECE, as derived | own prompt | shown: prompt | RECE | exact |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def sums(solution: Solution) -> tuple[Array, Array]:
    """sum W'^T W' and sum W'^T W of the edited model, before the rounding of storage."""
    total, after = LayerSums(solution), edited(solution)
    for site, W in zip(solution.problem.plan.sites, solution.problem.systems["text"].weights, strict=True):
        total.add("text", Layer.of_weights(np.asarray(W), after[site.name]))
    return total.grams("text")


def derived(solution: Solution, gram: Array, cross: Array) -> tuple[Attack, ...]:
    """RECE's derived embedding for every sentence, as published: no thought of what an encoder can give."""
    watch = solution.problem.systems["text"].certificate_input
    assert watch is not None
    return tuple(
        Attack(one.prompt, one.rows, adversary.derive(one.keys, one.targets, gram, cross, REGULARISATION, "regzero"))
        for one in watch.witnesses
    )


def pictures(lab: Lab, tries: Sequence[Attack], count: int, changed: Mapping[str, Array]) -> NDArray[np.uint8]:
    """`count` pictures of the sentences in turn, painted from the attacks' rows."""
    assert lab.ctx.encoder is not None
    chosen = [tries[i % len(tries)] for i in range(count)]
    return lab.canvas.paint_rows(certificate_attack.replace_rows(lab.ctx.encoder, chosen), _seeds(count), changed)


def row(lab: Lab, concept: str, solution: Solution, count: int) -> tuple[Certificate, list[NDArray[np.uint8]]]:
    """The certificate of one edit, and its pictures: from the prompts, from RECE's embedding, from the exact one."""
    gram, cross = sums(solution)
    (found,) = certify(solution.problem.systems["text"], gram, cross)
    changed = edited(solution)
    prompts = [found.attacks[i % len(found.attacks)].prompt for i in range(count)]
    by_prompt = lab.canvas.paint(prompts, _seeds(count), changed)
    others = [pictures(lab, tries, count, changed) for tries in (derived(solution, gram, cross), found.attacks)]
    return found, [by_prompt, *others]


def _seeds(count: int) -> list[int]:
    return list(range(5000, 5000 + count))


def show(name: str, found: Certificate, shares: Sequence[float]) -> str:
    """One line of the table."""
    inner = (found.recoverable, found.median, found.derived, found.derived_free, found.own, *shares)
    return "| " + " | ".join([name, *(f"{value:.3f}" for value in inner)]) + " |"


def album(file: Path, rows: Sequence[Sequence[NDArray[np.uint8]]], count: int = 12) -> None:
    """The first pictures of every set, a line of `count` each, as one PNG."""
    from PIL import Image

    lines = [np.hstack(list(one[:count])) for sets in rows for one in sets]
    whole = np.vstack(lines)
    Image.fromarray(whole).resize((whole.shape[1] * 2, whole.shape[0] * 2), Image.Resampling.NEAREST).save(file)


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Certify edits of the demo model, and paint the attacks.")
    parser.add_argument("--objects", default="circle,fish,sword")
    parser.add_argument("--edits", default="", help="only those whose name begins so")
    parser.add_argument("--count", type=int, default=40, help="pictures of each kind")
    parser.add_argument("--model", default="editc:demo")
    parser.add_argument("--album", type=Path, help="write the first pictures of every row here")
    given = parser.parse_args()
    lab = open_lab(given.model)
    painted = []
    print(TITLE, flush=True)
    for concept in given.objects.split(","):
        for name in (one for one in EDITS if one.startswith(given.edits)):
            options, tolerance = EDITS[name]
            text = HEAD.format(model=given.model, concept=concept) + options.format(to=TARGETS[concept])
            found, sets = row(lab, concept, lab.solve(text, tolerance), given.count)
            shares = [np.mean([one == concept for one in world.seen(lab.detector, p)["object"]]) for p in sets]
            print(show(f"{concept}: {name}", found, [float(one) for one in shares]), flush=True)
            painted.append(sets)
    if given.album:
        album(given.album, painted)


if __name__ == "__main__":
    main()
