"""Erase one object after another from the demo model and count: `python -m benchmarks.objects [--objects a,b]`.

For each method a row: how often the erased object still appears (plain prompts; its unlisted other names), and how the
other objects, colours, backgrounds and styles fare, all against the unedited model with the same prompts and seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import world
from editc.backends import painter
from editc.core.delta import Array
from editc.core.places import Source
from editc.core.ports import Context
from editc.core.solution import Solution
from editc.demo import GUIDANCE, STEPS
from editc.demo.captions import Caption
from editc.demo.detector import DemoDetector
from editc.demo.detector import load as load_detector
from editc.formats.models.model import Model
from editc.manifests.decode import decode
from editc.opening import target
from editc.opening.default_list import default_prompts, everyday_prompts
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.solve.solve import Solve
from editc.passes.images.solve.strength import Effect, measure_effect
from editc.passes.stored import StoredWeights
from editc.verbs import open

HEAD = "editc: 1\nmodel: {model}\nedits:\n  - erase: {concept}\n"
DEFAULT = "editc, default settings"
CONFIGURATIONS: Mapping[str, str] = {
    "uce 2025 (last token), published": "    method: uce\n    keys: last\n",
    "uce 2023 (span), published": "    method: uce\n    keys: span\n",
    "uce 2023 (span), same target": "    to: {to}\n    method: uce\n    keys: span\n",
    "rece 1 epoch, published": "    method: rece\n    keys: span\n    anchor: current\n",
    "rece 3 epochs, published": "    method: rece\n    keys: span\n    epochs: 3\n    anchor: current\n",
    "rece 1 epoch, aligned keys, current": "    to: {to}\n    method: rece\n    anchor: current\n",
    "rece 1 epoch, aligned keys": "    to: {to}\n    method: rece\n",
}
"""Published: their key rule, the empty target, their weights and ridges, the full rank."""
TARGETS: Mapping[str, str] = {
    "circle": "heart",
    "star": "arrow",
    "tree": "triangle",
    "fish": "arrow",
    "house": "boat",
    "sword": "person",
}
"""The first line of each in `python -m benchmarks.targets`, which looks at embeddings and at no picture."""


@dataclass
class Lab:
    """A model opened once, with its detector and the pictures that were painted before."""

    model: str
    detector: DemoDetector
    ctx: Context
    canvas: painter.PipelinePainter
    opened: Model
    corpus: tuple[str, ...] | None = None
    """The default list of preserved prompts. None: what a build takes."""
    seed: int = 0
    prompts: world.Prompts = world.DEMO
    base: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def listed(self, concept: str = "circle") -> tuple[str, ...]:
        """The default list of preserved prompts of a manifest that erases the concept."""
        manifest, _ = decode(Source("manifest", HEAD.format(model=self.model, concept=concept)))
        assert manifest is not None
        return default_prompts(self.opened, manifest, self.ctx)

    def solve(self, text: str, tolerance: float | None = None) -> Solution:
        """The solution of a manifest's text."""
        manifest, found = decode(Source("manifest", text))
        if manifest is None:
            raise SystemExit(str(found))
        corpus = default_prompts(self.opened, manifest, self.ctx) if self.corpus is None else self.corpus
        problem = Derive(corpus)(Locate(target.families())(manifest, self.ctx), self.ctx)
        return (Solve() if tolerance is None else Solve(tolerance))(problem, self.ctx)

    def paint(self, captions: Sequence[Caption], seed: int, changed: Mapping[str, Array] | None) -> NDArray[np.uint8]:
        """One picture a caption; seeds count up from `seed`."""
        return self.canvas.paint([one.text for one in captions], range(seed, seed + len(captions)), changed)


def open_lab(
    model: str, detector: Path | None = None, seed: int = 0, steps: int = STEPS, prompts: world.Prompts = world.DEMO
) -> Lab:
    """Everything that the benchmark needs of a model."""
    manifest, _ = decode(Source("manifest", HEAD.format(model=model, concept="circle")))
    assert manifest is not None
    opened = open.open_decoded(manifest)
    ctx = opened.kind.open_ports(opened, None)
    canvas = painter.load(opened.model.path, "unet", steps, GUIDANCE)
    return Lab(model, load_detector(detector), ctx, canvas, opened.model, seed=seed, prompts=prompts)


def edited(solution: Solution) -> Mapping[str, Array]:
    """Each site's W' in float64, as a delta stores it."""
    after = StoredWeights(solution, frozenset(site.name for site in solution.problem.plan.sites))
    return {name: after[name] for name in after}


@dataclass(frozen=True)
class Row:
    """One edit measured, as shares of pictures; `worst` is the other object that fell most, in points."""

    plain: float
    synonym: float
    kept: float
    worst: str
    attributes: Mapping[str, float]
    effect: Effect | None
    rank: int
    before: float
    """`kept` of the unedited model."""
    attributes_before: Mapping[str, float]
    """`attributes` of the unedited model."""
    falls: Mapping[str, float]
    """Other object -> how its share of pictures changed, in points; negative: it fell."""


def measure(
    lab: Lab, concept: str, solution: Solution | None, count: int, each: int, without: Sequence[str] = ()
) -> Row:
    """Paint and judge; with no solution, the base model. `without` are concepts that are not counted among the others,
    because the same edit erases them."""
    changed = None if solution is None else edited(solution)
    every, attribute = world.others(each, lab.seed, prompts=lab.prompts), lab.prompts.attribute_of(concept)
    keep = np.array([one.says.get(attribute) not in {concept, *without} for one in every])
    rest = [one for one, kept in zip(every, keep, strict=True) if kept]
    seeds = [seed for seed, kept in zip(seeds_of(every), keep, strict=True) if kept]
    painted = lab.canvas.paint([one.text for one in rest], seeds, changed) if solution else None
    after = None if painted is None else world.judge(lab.detector, rest, painted)
    before = world.judge(lab.detector, rest, _unedited(lab, each)[keep])
    now = after or before
    falls = {what: 100 * (now.objects[what] - before.objects[what]) for what in now.objects}
    worst = min(falls, key=lambda what: falls[what])
    return Row(
        _share(lab, concept, [concept], count, lab.seed + 1000, changed),
        _share(lab, concept, lab.prompts.other_names(concept), max(1, count // 2), lab.seed + 2000, changed),
        now.rates["object"],
        f"{worst} {falls[worst]:+.0f}" if solution else "",
        {name: now.rates[name] for name in world.ATTRIBUTES[1:]},
        _effect(solution),
        0 if solution is None else max(edit.stats.rank for edit in solution.edits.values()),
        before.rates["object"],
        {name: before.rates[name] for name in world.ATTRIBUTES[1:]},
        falls,
    )


def _share(
    lab: Lab, concept: str, names: Sequence[str], count: int, seed: int, changed: Mapping[str, Array] | None
) -> float:
    captions = world.naming(concept, names, count, seed, lab.prompts)
    found = world.seen(lab.detector, lab.paint(captions, seed, changed))[lab.prompts.attribute_of(concept)]
    return float(np.mean([one == concept for one in found]))


def _unedited(lab: Lab, each: int) -> NDArray[np.uint8]:
    """The base model's pictures of every caption, painted once."""
    if each not in lab.base:
        every = world.others(each, lab.seed, prompts=lab.prompts)
        lab.base[each] = lab.canvas.paint([one.text for one in every], seeds_of(every))
    return lab.base[each]


def seeds_of(captions: Sequence[Caption]) -> list[int]:
    """A seed a caption that does not depend on which other captions are painted with it."""
    return [int.from_bytes(sha256(f"{i} {one.text}".encode()).digest()[:4], "big") for i, one in enumerate(captions)]


def _effect(solution: Solution | None) -> Effect | None:
    if solution is None or "text" not in solution.edits or solution.training is not None:
        return None
    return measure_effect(solution.problem.systems["text"], solution.edits["text"])


TITLE = (
    "| edit | plain | other names | other objects | worst | colour | background | style | residual | drift | rank |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def show(name: str, row: Row) -> str:
    """One line of the table."""
    shares = [row.plain, row.synonym, row.kept]
    effect_ = row.effect
    inner = ["", ""] if effect_ is None else [f"{max(effect_.residuals):.2f}", f"{effect_.preserve_drift:.2f}"]
    cells = [*(f"{one:.3f}" for one in shares), row.worst, *(f"{one:.3f}" for one in row.attributes.values()), *inner]
    return "| " + " | ".join([name, *cells, str(row.rank or "")]) + " |"


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Erase objects from the demo model and count.")
    parser.add_argument("--objects", default=",".join(TARGETS))
    parser.add_argument("--count", type=int, default=200, help="prompts by the object's name, half by its others")
    parser.add_argument("--each", type=int, default=50, help="prompts for each other object")
    parser.add_argument(
        "--published", type=int, default=8, help="the same for the other methods, whose effect is large"
    )
    parser.add_argument("--model", default="editc:demo")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps of a picture")
    parser.add_argument("--everyday", action="store_true", help="preserve the everyday prompts and nothing else")
    parser.add_argument("--seed", type=int, default=20_261_122, help="where prompts and noise start")
    given = parser.parse_args()
    lab = open_lab(given.model, seed=given.seed, steps=given.steps)
    lab.corpus = everyday_prompts() if given.everyday else None
    print(TITLE, flush=True)
    for concept in given.objects.split(","):
        to = TARGETS[concept]
        head = HEAD.format(model=given.model, concept=concept)
        print(show(f"{concept}: no edit", measure(lab, concept, None, given.count // 2, given.each)), flush=True)
        ours = lab.solve(head + f"    to: {to}\n")
        print(show(f"{concept} to {to}: {DEFAULT}", measure(lab, concept, ours, given.count, given.each)), flush=True)
        for name, options in CONFIGURATIONS.items() if given.published else ():
            solution = lab.solve(head + options.format(to=to), 0.1 if "aligned" in name else 1e-9)
            print(
                show(f"{concept}: {name}", measure(lab, concept, solution, given.count // 4, given.published)),
                flush=True,
            )


if __name__ == "__main__":
    main()
