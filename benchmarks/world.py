"""Prompts of the demo world for measuring edits, and the classifier's verdict on pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editc.core.text import mentions
from editc.demo.captions import Caption, describe
from editc.demo.detector import DemoDetector
from editc.demo.world import BACKGROUNDS, CHARACTERS, COLOURS, OBJECTS, OWN, STYLES, Scene

ATTRIBUTES = ("object", "colour", "background", "style")


@dataclass(frozen=True)
class Agreement:
    """For each attribute, how often the pictures show what their captions say; `objects` the same object by object."""

    rates: Mapping[str, float]
    objects: Mapping[str, float]


def scene(what: str, rng: np.random.Generator) -> Scene:
    """A scene of that object, the rest drawn evenly; no posters, whose stamp nobody asks about here."""
    colour = OWN if what in CHARACTERS else str(rng.choice(list(COLOURS)))
    return Scene(what, colour, str(rng.choice(list(BACKGROUNDS))), str(rng.choice(list(STYLES))))


@dataclass(frozen=True)
class Prompts:
    """What the measurements need of a picture world: its objects, and captions of them."""

    objects: Mapping[str, tuple[str, ...]]
    """Object -> its other names."""
    describe: Callable[[str, np.random.Generator], Caption]
    """Returns a caption of a random scene of an object, which names the object by any of its names."""
    styles: Mapping[str, tuple[str, ...]]
    """Style -> its other names."""

    def attribute_of(self, concept: str) -> str:
        """`style` for a style, `object` for everything else."""
        return "style" if concept in self.styles else "object"

    def other_names(self, concept: str) -> tuple[str, ...]:
        """The other names of an object or a style."""
        return {**self.objects, **self.styles}[concept]


DEMO = Prompts(OBJECTS, lambda what, rng: describe(scene(what, rng), rng, kinds_share=0.0), STYLES)
"""The demo world."""


def naming(what: str, names: Sequence[str], count: int, seed: int, prompts: Prompts = DEMO) -> list[Caption]:
    """`count` captions of an object, or of any object in a style, under one of `names`, as the captions of training
    go."""
    rng = np.random.default_rng(seed)
    found: list[Caption] = []
    while len(found) < count:
        shown = what if what in prompts.objects else str(rng.choice(list(prompts.objects)))
        one = prompts.describe(shown, rng)
        if any(mentions(one.text, name) for name in names):
            found.append(one)
    return found


def others(each: int, seed: int, leave_out: Sequence[str] = (), prompts: Prompts = DEMO) -> list[Caption]:
    """`each` captions of every object but those left out, under any of their names."""
    rng = np.random.default_rng(seed)
    every = [prompts.describe(what, rng) for what in prompts.objects for _ in range(each)]
    return [one for one in every if one.says["object"] not in leave_out]


def seen(detector: DemoDetector, pictures: NDArray[np.uint8]) -> Mapping[str, list[str]]:
    """Attribute -> the likeliest label of each picture."""
    likeliest = {name: p.argmax(axis=1) for name, p in detector.predict(pictures).items()}
    return {name: [detector.labels[name][int(i)] for i in found] for name, found in likeliest.items()}


def judge(detector: DemoDetector, captions: Sequence[Caption], pictures: NDArray[np.uint8]) -> Agreement:
    """How often the pictures show what their captions say."""
    found = seen(detector, pictures)
    rates = {}
    for name in ATTRIBUTES:
        hits = [found[name][i] == one.says[name] for i, one in enumerate(captions) if name in one.says]
        rates[name] = float(np.mean(hits)) if hits else float("nan")
    objects = {
        what: float(
            np.mean([found["object"][i] == what for i, one in enumerate(captions) if one.says["object"] == what])
        )
        for what in dict.fromkeys(one.says["object"] for one in captions)
    }
    return Agreement(rates, objects)
