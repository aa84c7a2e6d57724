"""How far do deltas move what they do not name? `python -m benchmarks.moved A/delta.safetensors B/delta.safetensors`.

Captions without the concept are painted with the same seeds by the unedited model and under each delta: what the
pictures show, and how far each moves (the root mean square of the changes of its pixels, which go to 255). All deltas
see the same captions, so few pictures tell two deltas apart that the shares of `benchmarks.forget` do not.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import world
from benchmarks.forget import WORLDS, World
from benchmarks.objects import seeds_of
from editc import api
from editc.backends import painter
from editc.core.delta import Array
from editc.demo import GUIDANCE, MODEL, STEPS
from editc.demo.captions import Caption
from editc.demo.detector import DemoDetector
from editc.demo.detector import load as load_detector

FAR = 40
"""A picture that moves this far counts as another one. Chosen by hand, before anything was measured."""
DRAWS = 4000
"""Draws of the bootstrap."""


def paint(model: Path, captions: list[Caption], steps: int) -> NDArray[np.uint8]:
    """A picture of each caption."""
    canvas = painter.load(model, "unet", steps, GUIDANCE)
    return canvas.paint([one.text for one in captions], seeds_of(captions), None)


def edited(model: Path, delta: Path, captions: list[Caption], steps: int) -> NDArray[np.uint8]:
    """The same under a delta."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "edited"
        api.apply(delta, str(model), out=out)
        return paint(out, captions, steps)


def show(name: str, detector: DemoDetector, captions: list[Caption], pictures: NDArray[np.uint8]) -> str:
    """The line of a model: how many pictures show what their captions say."""
    found = world.seen(detector, pictures)
    cells = []
    for what in world.ATTRIBUTES:
        said = [i for i, one in enumerate(captions) if what in one.says]
        cells.append(f"{sum(found[what][i] == captions[i].says[what] for i in said)} of {len(said)}")
    return f"| {name} | " + " | ".join(cells)


def moves(pictures: NDArray[np.uint8], before: NDArray[np.uint8]) -> Array:
    """How far each picture moved, (n,)."""
    return np.sqrt(((pictures.astype(float) - before.astype(float)) ** 2).mean(axis=(1, 2, 3)))


def difference(first: Array, second: Array) -> str:
    """The mean difference of two deltas over the same captions, with an interval by bootstrap."""
    rng, apart = np.random.default_rng(0), second - first
    means = [apart[rng.integers(len(apart), size=len(apart))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{apart.mean():+.2f} (95 %: {low:+.2f} to {high:+.2f})"


def measure(where: World, model: Path, given: argparse.Namespace) -> None:
    """Print a line for the unedited model and for each delta."""
    detector = load_detector(where.classifier)
    every = world.others(given.each, given.seed, given.without.split(","), where.prompts)
    before, first = paint(model, every, given.steps), None
    print(show("unedited", detector, every, before) + " | | | |", flush=True)
    for delta in given.deltas:
        after = edited(model, Path(delta), every, given.steps)
        far = moves(after, before)
        apart = "" if first is None else difference(first, far)
        line = show(delta, detector, every, after)
        print(f"{line} | {far.mean():.1f} | {100 * (far > FAR).mean():.1f} | {apart} |", flush=True)
        first = far if first is None else first


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="How far deltas move what they do not name.")
    parser.add_argument("deltas", nargs="+")
    parser.add_argument("--without", required=True, help="objects that are not painted: those that the deltas edit")
    parser.add_argument("--world", choices=tuple(WORLDS), default="demo")
    parser.add_argument("--model", default="", help="a model of the same world in place of the world's own")
    parser.add_argument("--each", type=int, default=16, help="captions for each object")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps of a picture")
    parser.add_argument("--seed", type=int, default=0, help="where captions start")
    given = parser.parse_args()
    where = WORLDS[given.world]
    model = given.model or (MODEL if where.model == "editc:demo" else where.model)
    print("| delta | object | colour | background | style | moved | far % | than the first |\n" + "|---" * 8 + "|")
    measure(where, Path(model), given)


if __name__ == "__main__":
    main()
