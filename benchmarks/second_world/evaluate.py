"""How well the second model paints, and its classifier sees: `python -m benchmarks.second_world.evaluate`.

The classifier on renders that it was not trained on; then pictures of every object by its name and by its other name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import world
from benchmarks.second_world import DETECTOR, MODEL
from benchmarks.second_world.names import OBJECTS, PICTOGRAMS
from benchmarks.second_world.prompts import PROMPTS
from benchmarks.second_world.world import WORLD
from editc.demo import GUIDANCE
from editc.demo.captions import Caption
from editc.demo.data import label_numbers, make_images
from editc.demo.detector import DemoDetector, load
from editc.demo.evaluate import generate, tile
from editc.demo.networks import load_pipeline
from editc.demo.world import ImageArray

STEPS = 10
"""DDIM steps of a picture, here and in `measure`. Chosen by hand for the time that pictures take."""


def judge_renders(detector: DemoDetector, count: int = 3000, seed: int = 987_654) -> dict[str, float]:
    """Attribute -> the share of right answers on `count` unseen renders. The style of nothing counts too."""
    samples = make_images(count, seed, world=WORLD)
    truth, guesses = label_numbers(samples.scenes, WORLD), detector.predict(samples.images)
    return {
        name: float(np.mean(guesses[name].argmax(axis=1) == truth[:, column]))
        for column, name in enumerate(WORLD.labels)
    }


def draw_prompts(each: int, seed: int, other: bool) -> list[Caption]:
    """Return `each` captions of every object by its name, or by its other name."""
    return [
        caption
        for number, (what, others) in enumerate(OBJECTS.items())
        for caption in world.naming(what, others if other else [what], each, seed + number, PROMPTS)
    ]


def show(name: str, agreement: world.Agreement) -> str:
    """One line of the table: shares over all objects, and the objects that are painted worst."""
    worst = sorted(agreement.objects, key=lambda what: agreement.objects[what])[:6]
    shares = [f"{agreement.rates[attribute]:.3f}" for attribute in world.ATTRIBUTES]
    return "| " + " | ".join([name, *shares, ", ".join(f"{w} {agreement.objects[w]:.2f}" for w in worst)]) + " |"


def main() -> None:
    """Read the command line, paint, judge, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="How well the model of the second world paints.")
    parser.add_argument("--each", type=int, default=5, help="pictures of each object, for each kind of name")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--detector", type=Path, default=DETECTOR)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=4_000)
    parser.add_argument("--grid", type=Path, default=None, help="write one picture of each object there as a PNG")
    given = parser.parse_args()
    detector, pipeline = load(given.detector), load_pipeline(given.model)
    print("classifier on renders:", {k: round(v, 4) for k, v in judge_renders(detector).items()})
    print(f"| prompts | {' | '.join(world.ATTRIBUTES)} | worst objects |\n|---|---|---|---|---|---|", flush=True)
    for name, other in (("by name", False), ("by other name", True)):
        prompts = draw_prompts(given.each, given.seed + 100_000 * other, other)
        pictures = generate(pipeline, [one.text for one in prompts], given.seed, given.steps, GUIDANCE)
        print(show(name, world.judge(detector, prompts, pictures)), flush=True)
        _show_kinds(world.judge(detector, prompts, pictures))
        if given.grid is not None and not other:
            Image.fromarray(make_grid(list(pictures[:: given.each]))).save(given.grid)


def _show_kinds(agreement: world.Agreement) -> None:
    """Print the share of right objects for each kind of object."""
    kinds = {kind: np.mean([agreement.objects[what] for what in members]) for kind, members in PICTOGRAMS.items()}
    print("  objects by kind:", ", ".join(f"{kind} {share:.3f}" for kind, share in kinds.items()), flush=True)


def make_grid(pictures: Sequence[ImageArray]) -> ImageArray:
    """Return the pictures side by side, 26 in a row, twice as large."""
    return tile(pictures, 26)


if __name__ == "__main__":
    main()
