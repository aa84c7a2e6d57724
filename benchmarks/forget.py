"""Does a trained edit hold? `python -m benchmarks.forget [--concepts fish] [--methods forget,default]`.

For each concept and method a row: how often the concept still appears (plain prompts, other names), what each attack
brings back (over several attack seeds), what the other concepts keep, how much of the concept is its own, and what it
cost. `a+b` stands for concepts that one training erases: a row for each. Prompts, pictures and seeds are those of no
training. Deltas stay in `--folder`: a run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from benchmarks import second_world, world
from benchmarks.objects import TARGETS, Lab, Row, measure, open_lab
from benchmarks.second_world import judge
from benchmarks.second_world.measure import EDITS
from benchmarks.second_world.prompts import PROMPTS
from editc import api
from editc.core.places import Source
from editc.core.solution import Solution
from editc.demo.world import CHARACTERS
from editc.manifests.decode import decode


@dataclass(frozen=True)
class World:
    """A picture world in which trained edits are measured."""

    model: str
    """Its model, as a manifest names it."""
    detector: str
    """Its detector, as a manifest names it."""
    classifier: Path | None
    """The folder of its classifier. None: the demo's."""
    prompts: world.Prompts
    """Its prompts."""
    targets: Mapping[str, str]
    """Concept -> target."""


DEMO = World("editc:demo", "editc:demo", None, world.DEMO, {**TARGETS, CHARACTERS[0]: "person", "pencil": "flat"})
"""The six objects of docs/measurements/erasure.md, a character and a style."""
JUDGE = f"python:{Path(judge.__file__)}:Judge"
"""The detector of the second world."""
SECOND = World(
    str(second_world.MODEL),
    JUDGE,
    second_world.DETECTOR,
    PROMPTS,
    {name: EDITS[name] for name in ("pistol", "shark", "church")},
)
"""Three of the ten edits of `benchmarks.second_world.measure`, of three kinds, named before anything was measured."""
EXAMPLES: Mapping[str, str] = {CHARACTERS[0]: "erase-character.yaml", "pencil": "erase-style.yaml"}
"""Concept -> the example whose contexts it is erased in."""
WORLDS: Mapping[str, World] = {"demo": DEMO, "second": SECOND}
"""Name on the command line -> world."""
METHODS: Mapping[str, str] = {
    "forget": "method: forget",
    "default": "",
    "rece, published": "method: rece, keys: span, anchor: current",
    "esd": "method: esd, layers: all",
    "receler": "method: receler",
    "stereo": "method: stereo",
    "trce-2": "method: trce-2",
    "spm": "method: spm",
    "advunlearn": "method: advunlearn",
    "safegen": "method: safegen",
}
"""Name of a row -> what stands beside the edit."""
ATTACKS = (
    "{names: {pictures: 50}, certificate: {pictures: 50}, rece: {pictures: 50}, rows: {pictures: 50}, inversion: "
    "{words: 1, pictures: 50}, prefix: {pictures: 50}, p4d: {pictures: 50}, ring: {pictures: 50}}"
)
"""The attacks with a bar, of the first seed; `--attacks thorough` runs all."""
AGAIN = "{rows: {pictures: 50}, inversion: {words: 4, pictures: 50}}"
"""The attacks of further seeds: the two that find most."""

TITLE = (
    "| concept | method | own | plain % | other names % | attacks % | others %, before -> after | worst "
    "| colour | background | style | kB | s |"
)


@dataclass(frozen=True)
class Built:
    """A delta with its solution and its cost."""

    solution: Solution
    delta: Path
    seconds: float
    own: Mapping[str, float]
    """Concept -> how much of it is its own. Empty where the method does not measure it."""


def contexts_of(concept: str) -> str:
    """The contexts of a character or a style, which stand in other sentences than objects, as text of a manifest."""
    if concept not in EXAMPLES:
        return ""
    file = Path("manifests/examples") / EXAMPLES[concept]
    manifest, _ = decode(Source(file.name, file.read_text(encoding="utf-8")))
    assert manifest is not None
    return f", contexts: {json.dumps(manifest.image_edits[0].contexts or manifest.contexts)}"


def build(where: World, concept: str, method: str, folder: Path) -> Built:
    """Build the delta of a row, or of the rows of concepts that one training erases. The time is of this run, so of a
    build from nothing only where the folder was empty."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = f", {METHODS[method]}" if METHODS[method] else ""
    names = concept.split("+")
    every = [f"{{erase: {one}, to: {where.targets[one]}{contexts_of(one)}{beside}}}" for one in names]
    edits = "".join(f"  - {one}\n" for one in every)
    text = f"editc: 1\nmodel: {where.model}\nedits:\n{edits}"
    manifest = folder / "manifest.yaml"
    manifest.write_text(text, encoding="utf-8")
    begin = time.perf_counter()
    built = api.build(manifest, folder / "out")
    seconds = time.perf_counter() - begin
    assert built is not None
    solution = built.verified.solution
    found = solution.training.own if solution.training else ()
    own = dict(zip(concept.split("+"), found, strict=True)) if found else {}
    return Built(solution, Path(built.files[0]), seconds, own)


def attack(where: World, built: Built, attacks: Mapping[int, str], folder: Path) -> Mapping[str, Mapping[str, float]]:
    """Concept -> attack -> the share of all pictures, over the seeds, that show the concept; kept in a file of the
    folder. `attacks` maps a seed to the attacks that have it."""
    shown: dict[str, dict[str, list[float]]] = {}
    for seed, asked in attacks.items():
        file = folder / f"attacks-{seed}.json"
        if not file.exists():
            found = api.attack(built.delta, where.model, asked, where.detector, seed=seed)
            rows = [[one.concept, one.attack, one.shown, one.of, one.tells] for one in found.results]
            file.write_text(json.dumps(rows))
        for concept, name, count, of, tells in json.loads(file.read_text()):
            if not of:  # no word of the vocabulary is near the concept
                continue
            shown.setdefault(concept, {}).setdefault(name if tells else f"({name})", []).append(count / of)
    return {concept: {name: fmean(shares) for name, shares in of.items()} for concept, of in shown.items()}


def line(concept: str, method: str, row: Row, attacks: Mapping[str, float], built: Built) -> str:
    """One line of the table."""
    kept = f"{100 * row.before:.1f} -> {100 * row.kept:.1f} | {row.worst}"
    told = ((one, row.attributes_before[name]) for name, one in row.attributes.items())
    rest = f"{kept} | " + " | ".join(f"{100 * before:.1f} -> {100 * after:.1f}" for after, before in told)
    own = f"{built.own[concept]:.2f}" if concept in built.own else ""
    cost = f"{built.delta.stat().st_size / 1000:.0f} | {built.seconds:.0f}"
    brought = ", ".join(f"{name} {100 * share:.0f}" for name, share in attacks.items())
    figures = f"{100 * row.plain:.1f} | {100 * row.synonym:.1f}"
    return f"| {concept} | {method} | {own} | {figures} | {brought} | {rest} | {cost} |"


def run(lab: Lab, where: World, concept: str, method: str, given: argparse.Namespace) -> Iterator[str]:
    """Build, count and attack one row, or those of the concepts that one training erases."""
    folder = Path(given.folder) / given.world / concept / method.replace(", ", "-")
    built = build(where, concept, method, folder)
    attacks = {given.seed: given.attacks} | {given.seed + 1 + number: given.again for number in range(given.seeds - 1)}
    shown = attack(where, built, attacks, folder)
    for one in concept.split("+"):
        row = measure(lab, one, built.solution, given.count, given.each, without=concept.split("+"))
        yield line(one, method, row, shown[one], built)


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="What trained edits hold against.")
    parser.add_argument("--world", choices=tuple(WORLDS), default="demo")
    parser.add_argument("--model", default="", help="a model of the same world in place of the world's own")
    parser.add_argument("--concepts", default="", help="left out: every concept of the world; `a+b`: in one training")
    parser.add_argument("--methods", default=",".join(METHODS), help="names of rows, split at commas without a space")
    parser.add_argument("--attacks", default=ATTACKS, help="as in a manifest")
    parser.add_argument("--again", default=AGAIN, help="the attacks that are run with further seeds")
    parser.add_argument("--seeds", type=int, default=3, help="attack seeds")
    parser.add_argument("--seed", type=int, default=90_000, help="the first attack seed")
    parser.add_argument("--lab", type=int, default=70_000, help="the seed of the prompts and pictures that are counted")
    parser.add_argument("--count", type=int, default=200, help="plain prompts; half as many by other names")
    parser.add_argument("--each", type=int, default=10, help="prompts for each other object")
    parser.add_argument("--folder", default="~/.cache/editc-benchmarks/forget")
    given = parser.parse_args()
    given.folder, where = str(Path(given.folder).expanduser()), WORLDS[given.world]
    where = replace(where, model=given.model or where.model)
    lab = open_lab(where.model, where.classifier, seed=given.lab, prompts=where.prompts)
    print(f"{TITLE}\n{'|---' * 13}|", flush=True)
    methods = [name for name in METHODS if name.split(",")[0] in given.methods.split(",")]
    for concept in given.concepts.split(",") if given.concepts else where.targets:
        for method in methods:
            for shown in run(lab, where, concept, method, given):
                print(shown, flush=True)


if __name__ == "__main__":
    main()
