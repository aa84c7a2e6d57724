"""Measures the demo model against its bars: `python -m editc.demo.evaluate [--prompts 600] [--model FOLDER]`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from editc.demo import DETECTOR, GUIDANCE, MODEL, STEPS
from editc.demo.captions import Caption, describe
from editc.demo.data import LABELS, label_numbers, make_images
from editc.demo.detector import DemoDetector, load
from editc.demo.world import CHARACTERS, NOTHING, STAMP_SHARE, ImageArray, Scene, draw_scene

BARS = {"object": 0.95, "characters": 0.95, "colour": 0.95, "style": 0.90}
"""The least share of correct images for each attribute of generated images. Chosen by hand as what the demo needs."""
CLASSIFIER_BAR = 0.99
"""The least share of correct answers of the classifier on rendered images. Chosen by hand."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many of a number of images were right in one respect."""

    name: str
    """What was judged."""
    hits: int
    """How many were right."""
    count: int
    """How many were judged."""
    bar: float | None = None
    """The share that is required, or None if none is."""

    def __str__(self) -> str:
        share = self.hits / max(1, self.count)
        verdict = "" if self.bar is None else f"   bar {self.bar:.2f} {'met' if share >= self.bar else 'MISSED'}"
        return f"{self.name:<28}{share:8.4f}   of {self.count:5d}{verdict}"


def judge_renders(detector: DemoDetector, count: int = 3000, seed: int = 987_654) -> list[Score]:
    """Score the classifier on `count` rendered images that it was not trained on, one score an attribute.

    The style of an image of nothing does not count.
    """
    samples = make_images(count, seed)
    truth = label_numbers(samples.scenes)
    guesses = detector.predict(samples.images)
    there = np.array([scene.object != NOTHING for scene in samples.scenes])
    rows = []
    for column, name in enumerate(LABELS):
        right = guesses[name].argmax(axis=1) == truth[:, column]
        asked = there if name == "style" else np.ones_like(there)
        rows.append(Score(f"classifier {name}", int(right[asked].sum()), int(asked.sum()), CLASSIFIER_BAR))
    return rows


def draw_prompts(count: int, seed: int) -> list[tuple[Scene, Caption]]:
    """Draw random scenes and captions of them that name the object, by any of its names, as captions of training do."""
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng, poster_share=0.2) for _ in range(count)]
    return [(scene, describe(scene, rng, kinds_share=0.0)) for scene in scenes]


def generate(
    pipeline: Any, prompts: Sequence[str], seed: int, steps: int = STEPS, guidance: float = GUIDANCE
) -> npt.NDArray[np.uint8]:
    """Return images (n, 32, 32, 3) of the prompts, made with DDIM. `guidance` is the guidance scale."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[npt.NDArray[Any]] = []
    for start in range(0, len(prompts), 60):
        chunk = list(prompts[start : start + 60])
        out = pipeline(chunk, num_inference_steps=steps, guidance_scale=guidance, generator=generator, output_type="np")
        parts.append(np.rint(out.images * 255).astype(np.uint8))
    return np.concatenate(parts)


def judge_generated(
    detector: DemoDetector, prompts: Sequence[tuple[Scene, Caption]], images: npt.NDArray[np.uint8]
) -> list[Score]:
    """Score how often generated images (n, 32, 32, 3) show what their prompts state, one score an attribute.

    Characters count again on their own, and so does the stamp, in posters and elsewhere.
    """
    seen = {
        name: [detector.labels[name][int(i)] for i in p.argmax(axis=1)] for name, p in detector.predict(images).items()
    }
    rows = []
    for name in ("object", "colour", "style", "background"):
        hits = [seen[name][i] == said.says[name] for i, (_, said) in enumerate(prompts) if name in said.says]
        rows.append(Score(name, sum(hits), len(hits), BARS.get(name)))
    figures = [seen["object"][i] == scene.object for i, (scene, _) in enumerate(prompts) if scene.object in CHARACTERS]
    stamps = {
        poster: [seen["stamp"][i] == "yes" for i, (s, _) in enumerate(prompts) if s.poster == poster]
        for poster in (True, False)
    }
    rows.append(Score("characters", sum(figures), len(figures), BARS["characters"]))
    rows.append(Score(f"stamp in posters ({STAMP_SHARE:.2f})", sum(stamps[True]), len(stamps[True])))
    rows.append(Score("stamp elsewhere (0)", sum(stamps[False]), len(stamps[False])))
    return rows


def list_confusions(
    detector: DemoDetector, prompts: Sequence[tuple[Scene, Caption]], images: npt.NDArray[np.uint8]
) -> list[str]:
    """Return the commonest mistakes in generated images (n, 32, 32, 3), as lines `named -> seen  times`."""
    seen = detector.predict(images)
    wrong: Counter[tuple[str, str]] = Counter()
    for i, (_, said) in enumerate(prompts):
        for name, value in said.says.items():
            guess = detector.labels[name][int(seen[name][i].argmax())]
            wrong[(value, guess)] += guess != value
    return [f"  {named} -> {shown}  {times}" for (named, shown), times in wrong.most_common(20) if times]


def tile(images: Sequence[ImageArray], columns: int, scale: int = 2) -> ImageArray:
    """Return the images (h, w, 3) enlarged and side by side, `columns` in a row, as one image."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images) - columns + 1, columns)]
    return np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)


def main() -> None:
    """Read the command line, measure, and print the table."""
    from editc.demo.networks import load_pipeline

    parser = argparse.ArgumentParser(description="Measure the demo model against its bars.")
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--detector", type=Path, default=DETECTOR)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--grid", type=Path, default=None, help="write the first 240 pictures there as one PNG")
    given = parser.parse_args()
    detector = load(given.detector)
    prompts = draw_prompts(given.prompts, given.seed)
    images = generate(
        load_pipeline(given.model), [said.text for _, said in prompts], given.seed, guidance=given.guidance
    )
    for row in (*judge_renders(detector), *judge_generated(detector, prompts, images)):
        print(row)
    print("commonest mistakes:", *list_confusions(detector, prompts, images), sep="\n")
    if given.grid is not None:
        from PIL import Image

        Image.fromarray(tile(list(images[:240]), 20)).save(given.grid)


if __name__ == "__main__":
    main()
