"""Erase one object after another from the demo model and count: `python -m benchmarks.erasure [--objects a,b] [--each 40]`.

For each method a row: how often the erased object still appears (plain prompts; its unlisted other names), and how the
other objects, colours, backgrounds and styles fare, all against the unedited model with the same prompts and seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import world
from editc import painter, pipeline, session
from editc.demo import GUIDANCE, STEPS
from editc.demo.captions import Caption
from editc.demo.detector import Detector
from editc.demo.detector import load as load_detector
from editc.demo.world import OBJECTS
from editc.ir import Array, Solution
from editc.manifests.decode import decode
from editc.passes.strength import Effect, effect
from editc.ports import Context
from editc.request import Source

HEAD = "editc: 1\nmodel: {model}\nedits:\n  - erase: {concept}\n"
CONFIGURATIONS: Mapping[str, str] = {
    "editc default": "",
    "uce 2025, last token, as published": "    method: uce\n    keys: last\n",
    "uce 2023, span, as published": "    method: uce\n    keys: span\n",
    "rece, span, 1 epoch, as published": "    method: rece\n    keys: span\n",
    "rece, span, 3 epochs, as published": "    method: rece\n    keys: span\n    epochs: 3\n",
}
OBJECTS_ERASED = ("circle", "star", "tree", "fish", "house", "sword")


@dataclass
class Lab:
    """A model opened once, with its detector and the pictures that were painted before."""

    model: str
    detector: Detector
    ctx: Context
    canvas: painter.PipelinePainter
    corpus: tuple[str, ...]
    base: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def solve(self, text: str, tolerance: float | None = None) -> Solution:
        """The solution of a manifest's text."""
        manifest, found = decode(Source("manifest", text))
        if manifest is None:
            raise SystemExit(str(found))
        steps = list(pipeline.passes(self.corpus, "benchmark")[:3])
        if tolerance is not None:
            steps[2] = pipeline.Solve(tolerance)
        return pipeline.run(manifest, steps, self.ctx)  # type: ignore[no-any-return]

    def paint(self, captions: Sequence[Caption], seed: int, changed: Mapping[str, Array] | None) -> NDArray[np.uint8]:
        """One picture a caption; seeds count up from `seed`."""
        return self.canvas.paint([one.text for one in captions], range(seed, seed + len(captions)), changed)


def open_lab(model: str, detector: Path | None = None) -> Lab:
    """Everything that the benchmark needs of a model."""
    manifest, _ = decode(Source("manifest", HEAD.format(model=model, concept="circle")))
    assert manifest is not None
    opened = session.model_of(manifest)
    ctx = session.build_context(manifest, opened, None)
    canvas = painter.load(opened.path, "unet", STEPS, GUIDANCE)
    return Lab(model, load_detector(detector), ctx, canvas, session.corpus_of(opened))


def edited(solution: Solution) -> Mapping[str, Array]:
    """Each site's W' in float64 (before the rounding of storage)."""
    edit, system = solution.edits["text"], solution.problem.systems["text"]
    found = {}
    for index, (site, W) in enumerate(zip(solution.problem.plan.sites, system.weights, strict=True)):
        left = W @ edit.left[0] if edit.form == "shared" else edit.left[index]
        found[site.name] = W + left @ edit.right[0]
    return found


@dataclass(frozen=True)
class Row:
    """One edit measured: shares of pictures, and the change of the kept shares in points of one hundred."""

    plain: float
    synonym: float
    kept: float
    worst: str
    attributes: Mapping[str, float]
    effect: Effect | None
    rank: int


def measure(lab: Lab, concept: str, solution: Solution | None, plain: int, each: int) -> Row:
    """Paint and judge; with no solution, the base model."""
    changed = None if solution is None else edited(solution)
    detector = lab.detector

    def share(names: Sequence[str], seed: int) -> float:
        captions = world.naming(concept, names, plain, seed)
        found = world.seen(detector, lab.paint(captions, seed, changed))["object"]
        return float(np.mean([one == concept for one in found]))

    rest = world.others(each, 900, (concept,))
    after = world.judge(detector, rest, lab.paint(rest, 90_000, changed))
    if 900 not in lab.base:
        every = world.others(each, 900)
        lab.base[900] = lab.paint(every, 90_000, None)
    before = world.judge(detector, rest, _without(lab, each, concept))
    falls = {what: after.objects[what] - before.objects[what] for what in after.objects}
    worst = min(falls, key=lambda what: falls[what])
    return Row(
        share([concept], 1000),
        share(OBJECTS[concept], 2000),
        100 * (after.rates["object"] - before.rates["object"]),
        f"{worst} {100 * falls[worst]:+.0f}",
        {name: 100 * (after.rates[name] - before.rates[name]) for name in world.ATTRIBUTES[1:]},
        _effect(solution),
        0 if solution is None else solution.edits["text"].stats.rank,
    )


def _without(lab: Lab, each: int, concept: str) -> NDArray[np.uint8]:
    keep = [one.says["object"] != concept for one in world.others(each, 900)]
    return lab.base[900][np.array(keep)]


def _effect(solution: Solution | None) -> Effect | None:
    if solution is None or solution.edits["text"].form != "shared":
        return None
    return effect(solution.problem.systems["text"], solution.edits["text"])


def show(name: str, row: Row, seconds: float) -> str:
    """One line of the table."""
    kept = f"{row.kept:+6.1f} ({row.worst})"
    attributes = " ".join(f"{value:+6.1f}" for value in row.attributes.values())
    inner = "" if row.effect is None else f"{max(row.effect.residuals):.3f} {row.effect.preserve_drift:.3f}"
    return f"| {name:<44} | {row.plain:5.3f} | {row.synonym:5.3f} | {kept:<22} | {attributes} | {inner:<11} | {row.rank:3d} | {seconds:4.0f} |"


TITLE = "| edit                                         | plain | other names | other objects (worst) | colour ground style | residual, drift | rank | s |"


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Erase objects from the demo model and count.")
    parser.add_argument("--objects", default=",".join(OBJECTS_ERASED))
    parser.add_argument(
        "--plain", type=int, default=200, help="prompts for the erased object, and again by other names"
    )
    parser.add_argument("--each", type=int, default=25, help="prompts for each other object")
    parser.add_argument("--model", default="editc:demo")
    parser.add_argument("--only", default="", help="only configurations whose name holds this")
    given = parser.parse_args()
    lab = open_lab(given.model)
    print(TITLE)
    for concept in given.objects.split(","):
        rows = {"no edit": None} | {k: v for k, v in CONFIGURATIONS.items() if given.only in k}
        for name, options in rows.items():
            begun = time.monotonic()
            head = HEAD.format(model=given.model, concept=concept)
            solution = None if options is None else lab.solve(head + options)
            row = measure(lab, concept, solution, given.plain, given.each)
            print(show(f"{concept}: {name}", row, time.monotonic() - begun), flush=True)


if __name__ == "__main__":
    main()
