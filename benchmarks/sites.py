"""Which matrices of the demo model carry a concept, and what editing only these does: `python -m benchmarks.sites`.

For each edit the ranking that `sites: auto` makes, then a row for the sites that each share keeps, for the keys alone,
the values alone and all of them: how often the erased object still appears, and how the others fare.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks import world
from benchmarks.objects import HEAD, Lab, edited, open_lab
from editc.backends import denoiser, painter
from editc.core.delta import Array
from editc.core.places import Source
from editc.core.plan import Plan
from editc.demo import GUIDANCE, MODEL
from editc.manifests.decode import decode
from editc.opening.target import families
from editc.passes.images.locate.locate import Locate
from editc.passes.images.locate.ranked_sites import Evidence, drop_spare_sites, gather_evidence, grow_set

SHARES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


def short(name: str) -> str:
    """`up_blocks.0.attentions.1 v` of a parameter's whole name."""
    return f"{name.partition('.transformer_blocks')[0]} {name.removesuffix('.weight')[-1]}"


def plan_of(lab: Lab, text: str, seed: int = 0) -> Plan:
    """Every site of the model, for the edits of `text`."""
    manifest, _ = decode(Source("manifest", f"{text}seed: {seed}\n"))
    assert manifest is not None
    return Locate(families())(manifest, lab.ctx)


def evidence(lab: Lab, plan: Plan) -> Evidence:
    """What `sites: auto` measures, of all sites."""
    return gather_evidence(plan, replace(lab.ctx, prober=denoiser.load(MODEL)))


def choices(plan: Plan, found: Evidence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each row's name and its sites."""
    for share in SHARES:
        yield (
            f"auto: {share}",
            tuple(sorted(drop_spare_sites(grow_set(found.alone, share, found.reach), share, found.reach))),
        )
    for role, name in (("k", "keys only"), ("v", "values only")):
        yield name, tuple(site.name for site in plan.sites if site.role == role)
    yield "all", tuple(site.name for site in plan.sites)


def judged(lab: Lab, concept: str, changed: Mapping[str, Array] | None, count: int, each: int) -> tuple[float, float]:
    """The share of plain prompts whose pictures show the concept, and of the others that show what they say."""
    plain, rest = world.naming(concept, [concept], count, 1000), world.others(each, 900, (concept,))
    found = world.seen(lab.detector, lab.paint(plain, 1000, changed))["object"]
    kept = world.judge(lab.detector, rest, lab.paint(rest, 90_000, changed)).rates["object"]
    return float(np.mean([one == concept for one in found])), kept


def table(lab: Lab, concept: str, to: str, count: int, each: int) -> Iterator[str]:
    """The ranking and the rows of one edit, as Markdown."""
    text = HEAD.format(model="editc:demo", concept=concept) + f"    to: {to}\n"
    plan = plan_of(lab, text)
    found = evidence(lab, plan)
    yield f"{concept} to {to}, alone: " + ", ".join(
        f"{short(name)} {figures[0]:.1%}" for name, figures in sorted(found.alone.items(), key=lambda one: -one[1][0])
    )
    yield "\n| sites | how many | reach | erased shown | others right |\n|---|---|---|---|---|"
    yield "| no edit | 0 | | " + " | ".join(f"{one:.2f}" for one in judged(lab, concept, None, count, each)) + " |"
    before: dict[tuple[str, ...], str] = {}
    for name, sites in choices(plan, found):
        if sites not in before:
            lines = "".join(f"    - {site}\n" for site in sites)
            changed = edited(lab.solve(f"{text}sites:\n  include:\n{lines}"))
            before[sites] = " | ".join(f"{one:.3f}" for one in judged(lab, concept, changed, count, each))
        yield f"| {name} | {len(sites)} | {found.reach(sites)[0]:.3f} | {before[sites]} |"


def steadiness(lab: Lab, concept: str, to: str, seeds: Sequence[int]) -> Iterator[str]:
    """The choice at each share with other noise."""
    text = HEAD.format(model="editc:demo", concept=concept) + f"    to: {to}\n"
    for seed in seeds:
        plan = plan_of(lab, text, seed)
        found = evidence(lab, plan)
        kept = {
            share: drop_spare_sites(grow_set(found.alone, share, found.reach), share, found.reach) for share in SHARES
        }
        yield f"{concept} to {to}, seed {seed}: " + "; ".join(
            f"{share}: {', '.join(short(name) for name in sorted(names))}" for share, names in kept.items()
        )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Rank the demo model's matrices by evidence and edit only the first.")
    parser.add_argument("--edits", default="circle:square,fish:cat,circle:heart,fish:arrow")
    parser.add_argument("--count", type=int, default=50, help="prompts by the object's name")
    parser.add_argument("--each", type=int, default=1, help="prompts for each other object")
    parser.add_argument("--steps", type=int, default=15, help="denoising steps of a picture")
    parser.add_argument("--seeds", default="", help="instead of painting, choose with these seeds: 1,2,3")
    given = parser.parse_args()
    lab = open_lab("editc:demo")
    lab.canvas = painter.PipelinePainter(lab.canvas.pipeline, "unet", given.steps, GUIDANCE)
    for concept, _, to in (edit.partition(":") for edit in given.edits.split(",")):
        seeds = [int(seed) for seed in given.seeds.split(",") if seed]
        for line in steadiness(lab, concept, to, seeds) if seeds else table(lab, concept, to, given.count, given.each):
            print(line, flush=True)


if __name__ == "__main__":
    main()
