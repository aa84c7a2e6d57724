"""Take an attribute out of one thing of the demo model and count: `python -m benchmarks.attribute [--attribute red]`.

For each edit, and for the unedited model with the same prompts and seeds: the share of pictures that show the
attribute, and the share that show their object. The prompts are of the thing with the attribute, of other things with
it, of the thing alone, and of other things without it, in sentences that are not those of the edit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks import world
from benchmarks.objects import Lab, edited, open_lab
from editc.core.delta import Array
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
}
"""Name of a row -> what stands beside `from`, and under the edits."""


def groups(kind: str, attribute: str, thing: str) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Group -> the names in its prompts, each with its object."""
    others = [one for one in OBJECTS if one not in (thing, *CHARACTERS)]
    say = PHRASES[kind].format
    values = [one for one in (COLOURS if kind == "colour" else BACKGROUNDS) if one != attribute]
    return {
        "the thing with it": [(say(attribute=attribute, thing=thing), thing)],
        "others with it": [(say(attribute=attribute, thing=one), one) for one in others],
        "the thing alone": [(thing, thing)],
        "others without it": [(say(attribute=values[i % len(values)], thing=one), one) for i, one in enumerate(others)],
    }


def tasks(kind: str, names: Sequence[tuple[str, str]], count: int) -> Iterator[tuple[str, str]]:
    """Yield `count` prompts, each with its object."""
    sentences = SENTENCES[kind]
    for i in range(count):
        name, thing = names[i % len(names)]
        yield sentences[(i + i // len(names)) % len(sentences)].format(name), thing


def measure(
    lab: Lab, kind: str, attribute: str, thing: str, count: int, changed: Mapping[str, Array] | None
) -> list[str]:
    """A cell for each group: the share that shows the attribute, and the share that shows the object."""
    cells = []
    for names in groups(kind, attribute, thing).values():
        asked = list(tasks(kind, names, count))
        painted = lab.canvas.paint([prompt for prompt, _ in asked], range(lab.seed, lab.seed + count), changed)
        found = world.seen(lab.detector, painted)
        shows = np.mean([one == attribute for one in found[kind]])
        right = np.mean([one == wanted for one, (_, wanted) in zip(found["object"], asked, strict=True)])
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
    print(f"| edit | {' | '.join(groups(kind, given.attribute, given.thing))} |\n|---|---|---|---|---|", flush=True)
    asked = kind, given.attribute, given.thing, given.count
    print(f"| none | {' | '.join(measure(lab, *asked, None))} |", flush=True)
    for name in given.edits.split(","):
        beside, below = EDITS[name]
        text = HEAD.format(attribute=given.attribute, thing=given.thing, more=more + beside) + below
        print(f"| {name} | {' | '.join(measure(lab, *asked, edited(lab.solve(text))))} |", flush=True)


if __name__ == "__main__":
    main()
