"""What `editc suggest` proposes for the demo model's objects, against what is known: `python -m benchmarks.suggest`.

Without `--objects`: does it find each object's other names? No picture is painted. With `--objects a,b`: pictures of
the edit as proposed, of its target at the default weight, and of another target drawn at random (none of the tried).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from benchmarks import objects
from editc.core.places import Source
from editc.core.plan import Plan
from editc.demo.world import OBJECTS
from editc.manifests.decode import decode
from editc.opening.target import families
from editc.passes.images.keys import mined_names
from editc.passes.images.locate.locate import Locate
from editc.passes.images.suggest.suggest import (
    CONTEXTS,
    MOST_MINED,
    CachingEncoder,
    Suggestion,
    other_names,
    sample_evenly,
    suggest,
)
from editc.verbs import proposal


def planned(lab: objects.Lab, text: str) -> Plan:
    """The plan of a manifest's text."""
    manifest, found = decode(Source("manifest", text))
    if manifest is None:
        raise SystemExit(str(found))
    return Locate(families())(manifest, lab.ctx)


def names(lab: objects.Lab) -> Iterator[str]:
    """A row an object: the names found, those that are wrong, those that are missing. A part of a name counts as it."""
    assert lab.ctx.encoder is not None
    encoder = CachingEncoder(lab.ctx.encoder)
    yield "| object | found | gap | wrong | missing |\n|---|---|---|---|---|"
    words, hits, wrong_ones, missed = mined_names.candidates(lab.listed()), 0, 0, 0
    for what, others in OBJECTS.items():
        plan = planned(lab, objects.HEAD.format(model=lab.model, concept=what))
        near = mined_names.neighbours(encoder, what, words, sample_evenly(plan.family.contexts, CONTEXTS), MOST_MINED)
        names = other_names(near)
        found = [one.name for one in names.sure]
        wrong = [one for one in found if not any(one == o or one in o.split() for o in others)]
        missing = [o for o in others if not any(one == o or one in o.split() for one in found)]
        hits, wrong_ones, missed = hits + len(found) - len(wrong), wrong_ones + len(wrong), missed + len(missing)
        yield f"| {what} | {', '.join(found)} | {names.gap:.2f} | {', '.join(wrong)} | {', '.join(missing)} |"
    yield f"\nprecision {hits / max(1, hits + wrong_ones):.3f}, recall {hits / max(1, hits + missed):.3f}"


def pictures(lab: objects.Lab, concept: str, count: int, each: int, seed: int) -> Iterator[str]:
    """A row an edit: as proposed, the same target at the default weight, and a target drawn at random."""
    head = objects.HEAD.format(model=lab.model, concept=concept)
    plan = planned(lab, head)
    found: tuple[Suggestion, ...] = suggest(plan, lab.ctx, lab.listed())
    made = proposal.propose(plan.manifest, found, None)
    best, tried = found[0].best, {one.to for one in found[0].trials}
    known = {*tried, concept, best.to}
    rest = [what for what, others in OBJECTS.items() if not {what, *others} & known]
    other = str(np.random.default_rng(seed).choice(rest))
    yield row(lab, f"{concept} to {best.to}, as proposed (weight {best.weight:g})", concept, made.text, count, each)
    yield row(lab, f"{concept} to {best.to}, default weight", concept, f"{head}    to: {best.to}\n", count, each)
    yield row(lab, f"{concept} to {other}, at random", concept, f"{head}    to: {other}\n", count, each)


def row(lab: objects.Lab, name: str, concept: str, text: str, count: int, each: int) -> str:
    """One edit painted."""
    got = objects.measure(lab, concept, lab.solve(text), count, each)
    return f"| {name} | {got.plain:.2f} | {got.synonym:.2f} | {got.kept:.3f} | {got.worst} |"


def main() -> None:
    """Read the command line, measure, print tables as Markdown."""
    parser = argparse.ArgumentParser(description="Judge what editc suggest proposes for the demo model.")
    parser.add_argument("--objects", default="")
    parser.add_argument("--count", type=int, default=10, help="prompts by the object's name, half by its others")
    parser.add_argument("--each", type=int, default=5, help="prompts for each other object")
    parser.add_argument("--seed", type=int, default=0, help="draws the random target")
    given = parser.parse_args()
    lab = objects.open_lab("editc:demo")
    if not given.objects:
        for line in names(lab):
            print(line, flush=True)
        return
    print("| edit | plain | other names | other objects | worst |\n|---|---|---|---|---|", flush=True)
    for concept in given.objects.split(","):
        for line in pictures(lab, concept, given.count, given.each, given.seed):
            print(line, flush=True)


if __name__ == "__main__":
    main()
