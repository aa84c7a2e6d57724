"""Ten objects erased: jointly, one after another, and as a sum of ten deltas: `python -m benchmarks.ten`.

Each goes to the target among the objects left that `benchmarks.targets` puts first. The keys come from embeddings, so
one after another multiplies the ten maps I + M_i, and the sum adds the M_i; the joint edit is one solve.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np

from benchmarks import targets, world
from benchmarks.objects import HEAD, Lab, open_lab
from editc.core.delta import Array
from editc.core.solution import Solution
from editc.families.images.contexts import CONTEXTS

TITLE = (
    "| way | shown | most | other objects | least | colour | background | style |\n|---|---|---|---|---|---|---|---|"
)
ERASED = ("circle", "star", "tree", "fish", "house", "sword", "bomb", "boat", "cross", "moon")


def aims(lab: Lab, erased: Sequence[str]) -> Mapping[str, str]:
    """Each object's target: the first of `benchmarks.targets` that is not erased itself."""
    assert lab.ctx.encoder is not None
    seen = targets.signals(lab.ctx.encoder, CONTEXTS)
    found = {}
    for concept in erased:
        ranked = [target for _, target, _, _ in targets.scores(lab, concept, seen)]
        found[concept] = next(target for target in ranked if target not in erased)
    return found


def manifest(lab: Lab, to: Mapping[str, str], weight: float) -> str:
    """All of `to` in one manifest."""
    first, *rest = to
    text = HEAD.format(model=lab.model, concept=first) + f"    to: {to[first]}\n"
    text += "".join(f"  - erase: {concept}\n    to: {to[concept]}\n" for concept in rest)
    return text + (f"preserve: {{weight: {weight}}}\n" if weight else "")


def factors(solution: Solution) -> tuple[Array, Array]:
    """M = left right of a shared edit, (d, r) and (r, d)."""
    edit = solution.edits["text"]
    return edit.left[0], edit.right[0]


def maps(lab: Lab, to: Mapping[str, str], weight: float) -> Mapping[str, Array]:
    """I + M of the three ways, (d, d) each."""
    joint = lab.solve(manifest(lab, to, weight))
    single = [factors(lab.solve(manifest(lab, {concept: aim}, weight))) for concept, aim in to.items()]
    eye = np.eye(len(single[0][0]))
    step: Callable[[Array, tuple[Array, Array]], Array] = lambda P, M: P + (P @ M[0]) @ M[1]  # noqa: E731
    return {
        "joint": step(eye, factors(joint)),
        "one after another": reduce(step, single, eye),
        "one after another, backwards": reduce(step, single[::-1], eye),
        "sum of ten deltas": eye + sum((left @ right for left, right in single), np.zeros_like(eye)),
    }


def weights(lab: Lab, to: Mapping[str, str], P: Array) -> Mapping[str, Array]:
    """W P of every site."""
    problem = lab.solve(manifest(lab, dict([next(iter(to.items()))]), 0)).problem
    pairs = zip(problem.plan.sites, problem.systems["text"].weights, strict=True)
    return {site.name: np.asarray(W) @ P for site, W in pairs}


def line(lab: Lab, name: str, to: Mapping[str, str], P: Array | None, count: int, each: int) -> str:
    """One row of the table: the objects that still show, and how the others fare."""
    changed = None if P is None else weights(lab, to, P)
    left = {}
    for concept in to:
        captions = world.naming(concept, [concept], count, lab.seed)
        found = world.seen(lab.detector, lab.paint(captions, lab.seed, changed))["object"]
        left[concept] = float(np.mean([one == concept for one in found]))
    rest = world.others(each, lab.seed + 1, tuple(to))
    kept = world.judge(lab.detector, rest, lab.paint(rest, lab.seed + 9000, changed))
    most, least = max(left, key=lambda one: left[one]), min(kept.objects, key=lambda one: kept.objects[one])
    figures = [f"{np.mean(list(left.values())):.3f}", f"{most} {left[most]:.3f}", f"{kept.rates['object']:.3f}"]
    figures += [f"{least} {kept.objects[least]:.2f}", *(f"{kept.rates[one]:.3f}" for one in world.ATTRIBUTES[1:])]
    return "| " + " | ".join([name, *figures]) + " |"


def main() -> None:
    """Choose targets, solve, paint, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Ten objects at once.")
    parser.add_argument("--count", type=int, default=40, help="plain prompts of each erased object")
    parser.add_argument("--each", type=int, default=25, help="prompts of each other object")
    parser.add_argument("--weight", type=float, default=0, help="preserve.weight; 0: the default")
    parser.add_argument("--only", default="", help="only ways whose name has this in it")
    parser.add_argument("--model", default="editc:demo")
    given = parser.parse_args()
    lab = open_lab(given.model, seed=70_000)
    to = aims(lab, ERASED)
    print(", ".join(f"{concept} to {aim}" for concept, aim in to.items()) + "\n", flush=True)
    print(TITLE, flush=True)
    if not given.only:
        print(line(lab, "no edit", to, None, given.count, given.each), flush=True)
    for name, P in maps(lab, to, given.weight).items():
        if given.only in name:
            print(line(lab, name, to, P, given.count, given.each), flush=True)


if __name__ == "__main__":
    main()
