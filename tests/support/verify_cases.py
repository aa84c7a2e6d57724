"""A small solved edit whose every figure can be computed by hand, and a painter and detector with known rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Form, Site
from editc.core.family import Family
from editc.core.image_check import ImageCheck
from editc.core.manifest import Constraints, Manifest, Preserve, Request
from editc.core.places import Source, Span
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Block, PreservedRows, Problem, System
from editc.core.solution import Edit, Solution, Stats
from editc.numerics.bits.dtypes import round_to

TEXT = """editc: 1
model: tiny
edits:
  - erase: circle
    to: shape
constraints:
  erase_residual: 0.2
  preserve_drift: 0.1
  unconditional_drift: 0.02
  rank: 4
verify:
  images: {detector: tiny, erased_at_most: 0.1, kept_loss_at_most: 0.25}
"""
SOURCE = Source("manifest.yaml", TEXT)
FAMILY = Family("tiny", "Tiny", "unet", {}, None, 8, "", "uce", ("a {}", "the {} at night", "{}"))


def place(word: str) -> Span:
    """Where the value of key `word` starts in TEXT."""
    for number, line in enumerate(TEXT.splitlines(), 1):
        if f"{word}:" in line:
            start = line.index(f"{word}:") + len(word) + 2
            return Span(number, start + 1, len(line[start:].split(",")[0].rstrip("}")))
    raise KeyError(word)


def constraints(**bounds: Any) -> Constraints:
    return Constraints(**bounds, spans={name: place(name) for name in bounds})


def images(**fields: Any) -> ImageCheck:
    spans = {name: place(name) for name in fields if name in TEXT}
    return ImageCheck(detector="tiny", **fields, spans=spans)


def erase(concept: str = "circle", **fields: Any) -> Request:
    spans = {"concept": place("erase"), "": Span(4, 5, 13), "strength": Span(4, 5, 13)}
    return Request(kind="erase", concept=concept, to="shape", **fields, spans=spans)


def manifest(*edits: Request, **fields: Any) -> Manifest:
    return Manifest(source=SOURCE, digest="0" * 64, model="tiny", edits=edits or (erase(),), **fields)


@dataclass(frozen=True)
class World:
    """Weights (n, d_out, d_in), and for each request keys and targets (d_in, m), from one seed."""

    seed: int = 0
    sites: int = 3
    d_out: int = 6
    d_in: int = 8
    keys: int = 4
    dtype: str = "F32"
    size: float = 1.0

    def draw(self, *shape: int) -> Array:
        rng = np.random.default_rng([self.seed, *shape])
        return np.asarray(rng.standard_normal(shape).astype(np.float16).astype(np.float64))

    @property
    def weights(self) -> list[Array]:
        return list(round_to(self.size * self.draw(self.sites, self.d_out, self.d_in), self.dtype))

    @property
    def names(self) -> list[str]:
        return [f"block.{i}.to_{'kv'[i % 2]}.weight" for i in range(self.sites)]

    def problem(self, asked: Manifest, rows: int = 20) -> Problem:
        shape = (self.d_out, self.d_in)
        sites = tuple(Site("unet", n, shape, self.dtype, "kv"[i % 2]) for i, n in enumerate(self.names))
        blocks = tuple(self.block(request, i) for i, request in enumerate(asked.image_edits))
        kept = PreservedRows(np.eye(self.d_in), self.draw(self.d_in, rows), self.draw(self.d_in, 3), ("kept",) * rows)
        plan = Plan(asked, FAMILY, "tiny", sites, {})
        return Problem(plan, {"text": System(blocks, kept, self.weights)}, "e" * 64, "20 prompts")

    def block(self, request: Request, number: int = 0) -> Block:
        keys, targets = self.draw(2, self.d_in, self.keys + number)
        weights = np.abs(self.draw(self.keys + number)) + 0.5
        return Block(request, keys, targets, weights, ("row",) * len(weights))


def solved(problem: Problem, left: Array, right: Array, form: Form = "shared", **stats: Any) -> Solution:
    """The solution with one shared (or, for lists, per-site) pair of factors."""
    lefts = tuple(left) if left.ndim == 3 else (left,)
    edit = Edit(form, lefts, (right,), replace(Stats(10.0, 1e-12, len(right)), **stats))
    count = len(problem.plan.manifest.edits)
    return Solution(problem, {"text": edit}, ({"method": "uce", "options": {}},) * count, (1.0,) * count)


def inverse(keys: Array) -> Array:
    """The pseudo-inverse, in float64."""
    return np.linalg.pinv(keys).astype(np.float64)


def exact(problem: Problem, strength: float = 1.0) -> Solution:
    """With no ridge and fewer keys than dimensions each key goes where `strength` says: V = C^+, U = s (T - C)."""
    blocks = problem.systems["text"].blocks
    keys = np.hstack([b.keys for b in blocks])
    targets = np.hstack([b.targets for b in blocks])
    return solved(problem, strength * (targets - keys), inverse(keys))


class NoWeights:
    """`Context.weights` for passes that read through the system."""

    def names(self) -> Sequence[str]:
        return ()

    def shape(self, name: str) -> tuple[int, ...]:
        raise KeyError(name)

    def dtype(self, name: str) -> str:
        raise KeyError(name)

    def read(self, name: str) -> Array:
        raise KeyError(name)


@dataclass
class Brush:
    """A painter whose pictures spell out prompt number, and whether they are edited: red 200 before, 50 after.

    `calls` records what it was asked for. Green is 255 where one of `shows` stands in the prompt.
    """

    calls: list[tuple[tuple[str, ...], tuple[int, ...], dict[str, Array] | None]] = field(default_factory=list)
    reads_rows = False

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        self.calls.append((tuple(prompts), tuple(seeds), None if changed is None else dict(changed)))
        pictures = np.zeros((len(prompts), 4, 4, 3), np.uint8)
        pictures[..., 0] = 200 if changed is None else 50
        for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            pictures[index, ..., 1] = sum(prompt.encode()) % 256
            pictures[index, ..., 2] = seed % 256
        return pictures

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.uint8]:
        raise NotImplementedError("it paints prompts only")


@dataclass(frozen=True)
class Eye:
    """A detector that sees each concept in a known share of the pictures, chosen by the last byte of their seeds."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    others: tuple[str, ...] = ()
    """What it lists beside `circle`, which the manifests here erase: the candidates for bystanders."""

    def knows(self, concept: str) -> bool:
        return concept in self.before

    def concepts(self) -> tuple[str, ...]:
        return ("circle", *self.others)

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        share = np.where(pictures[:, 0, 0, 0] > 100, self.before[concept], self.after[concept])
        return np.asarray(pictures[:, 0, 0, 2] < 256 * share)


def context(brush: Brush | None = None, eye: Eye | None = None) -> Context:
    return Context(NoWeights(), painter=brush, detector=eye)


def kept(*concepts: str) -> Preserve:
    return Preserve(concepts=concepts)
