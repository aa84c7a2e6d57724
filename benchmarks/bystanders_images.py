"""All objects of the demo world after each edit: `python -m benchmarks.bystanders images [--only WORD] [--round N]`.

Each manifest goes through the passes of a build. Where every bound holds, which is exit 0, all 21 objects are painted
with seeds of their own (another `--round` draws others), and an object that the manifest does not name may fall by one
picture in six; else the row says which bound failed the build. Exit 1 where a build succeeds and loses an object.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends import painter
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.ports import Context, Painter
from editc.core.solution import Verified
from editc.core.text import mentions
from editc.demo import GUIDANCE
from editc.demo.world import OBJECTS
from editc.manifests.decode import decode, load
from editc.opening import detector as detecting
from editc.opening import target
from editc.opening.default_list import default_prompts
from editc.passes.images.locate.locate import Locate
from editc.passes.images.verify.bystanders import AGAIN, LARGEST_LOSS, manifest_names, pick_evenly
from editc.passes.images.verify.verify import failures
from editc.passes.stored import StoredWeights
from editc.verbs import open
from editc.verbs.open import kind_of

EXAMPLES = Path(__file__).parents[1] / "manifests" / "examples"
HEAD = "editc: 1\nmodel: editc:demo\nedits:\n"
TAIL = "verify:\n  images: {detector: editc:demo, guidance: 3, prompts_per_concept: 12, erased_at_most: 0.2}\n"
OWN: Mapping[str, str] = {
    "bomb to diamond, kept star and tree": "  - {erase: bomb, to: diamond}\npreserve: {concepts: [star, tree]}\n",
    "circle to square, kept triangle": "  - {erase: circle, to: square}\npreserve: {concepts: [triangle]}\n",
    "fish to boat, kept arrow": "  - {erase: fish, to: boat}\npreserve: {concepts: [arrow]}\n",
    "fish to cat, kept star and arrow": "  - {erase: fish, to: cat}\npreserve: {concepts: [star, arrow]}\n",
    "sword to person, kept milo": "  - {erase: sword, to: person}\npreserve: {concepts: [milo]}\n",
    "tree to triangle, kept house": "  - {erase: tree, to: triangle}\npreserve: {concepts: [house]}\n",
    "heart to flower, kept circle and ring": "  - {erase: heart, to: flower}\npreserve: {concepts: [circle, ring]}\n",
    "house to boat, corpus none, kept tree": "  - {erase: house, to: boat}\n"
    "preserve: {corpus: none, concepts: [tree]}\n",
    "cat to fish at 0.9, kept zuna": "  - {replace: {from: cat, to: fish}, strength: 0.9}\n"
    "preserve: {concepts: [zuna]}\n",
    "moon to star by rece, kept square": "  - {erase: moon, to: star, method: rece}\npreserve: {concepts: [square]}\n",
    "boat to the empty prompt, kept fish": "  - erase: boat\npreserve: {concepts: [fish]}\n",
    "star to arrow, span, kept moon": "  - {erase: star, to: arrow, keys: span}\npreserve: {concepts: [moon]}\n",
}


@dataclass
class Canvas:
    """A painter that paints with the base's weights each prompt and seed once."""

    inner: Painter
    known: dict[tuple[str, int], NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def reads_rows(self) -> bool:
        """False: the attack of the certificate is not what is measured here."""
        return False

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, Array] | None = None
    ) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3)."""
        if changed is not None:
            return self.inner.paint(prompts, seeds, changed)
        pairs = list(zip(prompts, seeds, strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.known]
        if new:
            self.known |= dict(zip(new, self.inner.paint(*zip(*new, strict=True)), strict=True))
        return np.stack([self.known[pair] for pair in pairs])

    def paint_rows(self, rows: Array, seeds: Sequence[int], changed: Mapping[str, Array] | None = None) -> Any:
        """Never asked."""
        raise NotImplementedError


@dataclass(frozen=True)
class Counted:
    """In how many of `of` pictures an object was seen before and after."""

    before: int
    after: int
    of: int

    @property
    def loss(self) -> float:
        """The share of the pictures that was lost."""
        return (self.before - self.after) / self.of

    def __str__(self) -> str:
        return f"{self.before} to {self.after} of {self.of}"


@dataclass(frozen=True)
class Lab:
    """The demo model opened once; `round` and `each`: which pictures of the objects are painted, and how many."""

    ctx: Context
    corpus: tuple[str, ...]
    each: int
    round: int

    def build(self, manifest: Manifest) -> Verified:
        """What a build verifies; raises EditcError."""
        kind = kind_of(manifest)
        value: Any = Locate(target.families())(manifest, self.ctx)
        for step in kind.passes(self.corpus):
            value = step(value, self.ctx)
        return value

    def shown(self, name: str, contexts: Sequence[str], changed: Mapping[str, Array] | None, look: int) -> int:
        """In how many of its pictures an object is seen: `each` at the first look, AGAIN times that at the second."""
        detector, canvas = self.ctx.detector, self.ctx.painter
        assert detector is not None and canvas is not None
        count = self.each * (1 if look == 1 else AGAIN)
        prompts = [one.replace("{}", name) for one in pick_evenly(contexts, count, 2 * look)]
        told = f"benchmark of bystanders\n{self.round} {look}\n{name}"
        seeds = [_seed(f"{told}\n{index}") for index in range(len(prompts))]
        return int(detector.shows(name, canvas.paint(prompts, seeds, changed)).sum())

    def counted(self, contexts: Sequence[str], changed: Mapping[str, Array]) -> Mapping[str, Counted]:
        """Every object before and after; one that lost a picture is looked at again, as verify does, and all count."""
        found = {}
        for name in OBJECTS:
            of = self.each
            before, after = (self.shown(name, contexts, weights, 1) for weights in (None, changed))
            if after < before:
                of += AGAIN * self.each
                before += self.shown(name, contexts, None, 2)
                after += self.shown(name, contexts, changed, 2)
            found[name] = Counted(before, after, of)
        return found


def main(arguments: Sequence[str]) -> int:
    """Read the options, measure, print the table as Markdown; 1 where a build that succeeds loses an object."""
    parser = argparse.ArgumentParser(prog="benchmarks.bystanders images")
    parser.add_argument("--only", default="", help="manifests whose name has this in it")
    parser.add_argument("--each", type=int, default=12, help="pictures of each object, before and after")
    parser.add_argument("--steps", type=int, default=8, help="denoising steps of every picture")
    parser.add_argument("--round", type=int, default=1, help="which seeds")
    given = parser.parse_args(arguments)
    lab = open_lab(given.steps, given.each, given.round)
    print("| manifest | build | erased still shown | objects it does not name | worst of them |\n|---|---|---|---|---|")
    bad = 0
    for name, manifest in manifests(given.steps):
        if given.only in name:
            line, lost = row(lab, name, manifest)
            print(line, flush=True)
            bad += lost
    print(f"\n{bad} builds succeed and lose an object that they do not name")
    return int(bad > 0)


def open_lab(steps: int, each: int, round_: int) -> Lab:
    """Everything that a build of any of these manifests needs."""
    manifest, _ = decode(Source("manifest", HEAD + "  - erase: circle\n"))
    assert manifest is not None
    opened = open.open_decoded(manifest)
    model, ctx = opened.model, opened.kind.open_ports(opened, None)
    canvas = Canvas(painter.load(model.path, "unet", steps, GUIDANCE))
    images, _ = decode(Source("manifest", HEAD + "  - erase: circle\n" + TAIL))
    assert images is not None and images.pictures is not None
    ctx = replace(ctx, painter=canvas, detector=detecting.open_detector(images, images.pictures)[0])
    return Lab(ctx, default_prompts(model, manifest, ctx), each, round_)


def manifests(steps: int) -> Iterator[tuple[str, Manifest]]:
    """Every image example as it is shipped, but for its steps, and twelve with short lists of what is kept."""
    for path in sorted(EXAMPLES.glob("*.yaml")):
        yield path.name, load(path, [f"verify.images.steps={steps}"])
    for name, text in OWN.items():
        manifest, found = decode(Source(name, HEAD + text + TAIL))
        if manifest is None:
            raise EditcError(*found)
        yield name, manifest


def row(lab: Lab, name: str, manifest: Manifest) -> tuple[str, bool]:
    """The line of one manifest, and whether it builds and loses an object."""
    try:
        verified = lab.build(manifest)
    except EditcError as error:
        return f"| {name} | fails: {error.diagnostics[0].code} {error.diagnostics[0].message} | | | |", False
    erased = max((claim.value for claim in verified.report.claims if claim.name == "erased"), default=None)
    still = "" if erased is None else f"{erased:.0%}"
    broken = failures(verified)
    if broken:
        return f"| {name} | fails: {'; '.join(one.message for one in broken)} | {still} | | |", False
    contexts = verified.solution.problem.plan.family.contexts
    found = lab.counted(contexts, _stored(verified))
    named = [*manifest_names(manifest)]
    rest = [one for one in OBJECTS if not any(mentions(one, other) or mentions(other, one) for other in named)]
    rest = [one for one in rest if not any(other in OBJECTS[one] for other in named)]
    worst = sorted((one for one in rest if found[one].loss > 0), key=lambda one: -found[one].loss)[:3]
    told = ", ".join(f"{one} {found[one]}" for one in worst) or "none lost a picture"
    kept = f"{sum(found[one].after for one in rest)} of {sum(found[one].before for one in rest)}"
    return f"| {name} | exit 0 | {still} | {kept} | {told} |", max(found[one].loss for one in rest) > LARGEST_LOSS


def _stored(verified: Verified) -> StoredWeights:
    solution = verified.solution
    return StoredWeights(solution, frozenset(site.name for site in solution.problem.plan.sites))


def _seed(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") >> 1
