"""Take an attribute out of one thing of the demo model and count: `python -m benchmarks.attribute [--attribute red]`.

For each edit, and for the unedited model with the same prompts and seeds: the share of pictures that show the
attribute, and the share that show their object. The prompts are of the thing with the attribute, of other things with
it, of the thing alone, of other things without it, and of the thing with another attribute, in sentences that are not
those of the edit.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import world
from benchmarks.objects import Lab, edited, open_lab
from editc import api
from editc.core.solution import Solution
from editc.demo.world import BACKGROUNDS, CHARACTERS, COLOURS, OBJECTS

SENTENCES: Mapping[str, Sequence[str]] = {
    "colour": ("this is a {}", "a {} in front of grass", "a photo of a {}, sand background", "a {}, pencil style"),
    "background": ("this is a {}", "an image of a {}", "a green {}", "a photo of a yellow {}"),
}
"""Kind of attribute -> sentences that do not state one."""
PHRASES: Mapping[str, str] = {"colour": "{attribute} {thing}", "background": "{thing} on {attribute}"}
"""Kind of attribute -> how it is said of a thing."""
OTHERS = ("square", "star", "heart", "moon", "house", "fish")
"""What the manifests preserve by name, where they do; the others are not named."""
HEAD = "editc: 1\nmodel: editc:demo\nedits:\n  - {{erase: {attribute}, from: {thing}{more}}}\n"
EDITS: Mapping[str, tuple[str, str]] = {
    "default": ("", ""),
    "others preserved": ("", f"preserve: {{concepts: [{', '.join(OTHERS)}]}}\n"),
    "others preserved by ten times the weight": ("", f"preserve: {{weight: 30, concepts: [{', '.join(OTHERS)}]}}\n"),
    "unbind": (", method: unbind", ""),
}
"""Name of a row -> what stands beside `from`, and under the edits."""


@dataclass(frozen=True)
class Asked:
    """A name in a prompt, and what its picture is asked for."""

    name: str
    thing: str
    """The object that is right."""
    value: str
    """The attribute that is counted."""


def groups(kind: str, attribute: str, thing: str) -> Mapping[str, Sequence[Asked]]:
    """Group -> the names in its prompts. The erased attribute is counted; in the last group the one that is said."""
    others = [one for one in OBJECTS if one not in (thing, *CHARACTERS)]
    say = PHRASES[kind].format
    values = [one for one in (COLOURS if kind == "colour" else BACKGROUNDS) if one != attribute]
    turns = [(one, values[i % len(values)]) for i, one in enumerate(others)]
    return {
        "the thing with it": [Asked(say(attribute=attribute, thing=thing), thing, attribute)],
        "others with it": [Asked(say(attribute=attribute, thing=one), one, attribute) for one in others],
        "the thing alone": [Asked(thing, thing, attribute)],
        "others without it": [Asked(say(attribute=value, thing=one), one, attribute) for one, value in turns],
        "the thing with another": [Asked(say(attribute=value, thing=thing), thing, value) for value in values],
    }


def tasks(kind: str, names: Sequence[Asked], count: int) -> Iterator[tuple[str, Asked]]:
    """Yield `count` prompts, each with what is asked."""
    sentences = SENTENCES[kind]
    for i in range(count):
        one = names[i % len(names)]
        yield sentences[(i + i // len(names)) % len(sentences)].format(one.name), one


def solve(text: str) -> Solution:
    """The solution of a manifest, trained where its method is."""
    with tempfile.TemporaryDirectory() as place:
        manifest = Path(place) / "manifest.yaml"
        manifest.write_text(text, encoding="utf-8")
        built = api.build(manifest, Path(place) / "out")
    assert built is not None
    return built.verified.solution


def measure(lab: Lab, kind: str, attribute: str, thing: str, count: int, solution: Solution | None = None) -> list[str]:
    """A cell for each group: the share that shows the attribute, and the share that shows the object."""
    changed = None if solution is None else edited(solution)
    cells = []
    for names in groups(kind, attribute, thing).values():
        asked = list(tasks(kind, names, count))
        painted = lab.canvas.paint([prompt for prompt, _ in asked], range(lab.seed, lab.seed + count), changed)
        found = world.seen(lab.detector, painted)
        shows = np.mean([one == wanted.value for one, (_, wanted) in zip(found[kind], asked, strict=True)])
        right = np.mean([one == wanted.thing for one, (_, wanted) in zip(found["object"], asked, strict=True)])
        cells.append(f"{shows:.2f} / {right:.2f}")
    return cells


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Take an attribute out of one thing and count.")
    parser.add_argument("--attribute", default="red")
    parser.add_argument("--from", dest="thing", default="circle")
    parser.add_argument("--edits", default=",".join(EDITS), help="rows of the table")
    parser.add_argument("--count", type=int, default=24, help="pictures of each group")
    parser.add_argument("--steps", type=int, default=10, help="denoising steps of a picture")
    parser.add_argument("--seed", type=int, default=20_261_130)
    given = parser.parse_args()
    kind = "colour" if given.attribute in COLOURS else "background"
    more = "" if kind == "colour" else f', phrases: ["{{}} on {given.attribute}"]'
    lab = open_lab("editc:demo", seed=given.seed, steps=given.steps)
    print(f"| edit | {' | '.join(groups(kind, given.attribute, given.thing))} |\n{'|---' * 6}|", flush=True)
    asked = kind, given.attribute, given.thing, given.count
    print(f"| none | {' | '.join(measure(lab, *asked))} |", flush=True)
    for name in given.edits.split(","):
        beside, below = EDITS[name]
        text = HEAD.format(attribute=given.attribute, thing=given.thing, more=more + beside) + below
        print(f"| {name} | {' | '.join(measure(lab, *asked, solve(text)))} |", flush=True)


if __name__ == "__main__":
    main()
