"""RealEra (Liu et al., 2024, arXiv 2410.09140), its closed-form part: erase a concept together with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from editc.core.problem import Block, System
from editc.core.solution import Edit, Stats
from editc.numerics import chain, ridge
from editc.passes.methods import require_at_least_zero
from editc.passes.methods.images.joint_ridge import chain_links


@dataclass(frozen=True)
class RealEra:
    """UCE's problem with more terms: rows near a concept also go to its target, and rows further off stay.

    min  sum a |W' c - W t|^2  +  near_scale sum a/n sum_i |W' (c + e_i) - W t|^2
         +  beyond_scale sum a/n sum_j |(W' - W)(c + f_j)|^2  +  UCE's terms for the preserved rows and for the ridge

    with |e_i| <= radius |t - c| < |f_j| <= reach radius |t - c|. Each key has n random e_i and n random f_j: directions
    uniform on the sphere, lengths uniform between the bounds. It is solved like UCE: the c + e_i are further keys, the
    c + f_j further preserved rows.

    From the paper, which published no code: neighbours come from random perturbation of the concept's embedding,
    bounded in distance (and in cosine), and share its target; beyond-concept regularisation preserves what is outside;
    both enter a closed-form edit of K and V. Its second stage, a LoRA trained on predicted noise, is left out.
    The defaults are chosen by hand.

    Our reading: the unit of distance is the distance to the target, so that a radius of 0.5 reaches half of the way. On
    the demo model other names of an object lie at 0.1 to 0.4 of it (in the padding rows, which all prompts share),
    other objects at 0.5 and more. The cosine has no bound of its own, because in many dimensions it follows from the
    length. Each row of each context is perturbed by itself.

    Our addition: mined names. Derive searches the words of the corpus for names that the encoder reads as the concept
    (`passes.images.keys.mined_names`) and treats them like names under `also`.

    In expectation the e_i add near_scale E|e|^2 / d |W'|^2 and the f_j beyond_scale E|f|^2 / d |W' - W|^2. Without the
    second term the first would draw every weight to zero. The f_j also preserve c itself, so that a far reach with a
    small beyond_scale does the same at less cost to the erasure.
    """

    neighbours: int = 5
    """The most other names that are mined for each concept; 0 mines none."""
    alike: float = 0.9
    """The least score of a mined name: a cosine (see `passes.images.keys.mined_names`)."""
    samples: int = 4
    """n, how many copies of each key are perturbed inside the radius, and as many outside."""
    radius: float = 0.5
    """The radius of the neighbourhood, as a share of the distance from the key to its target. See above for the
    distances on the demo model."""
    reach: float = 4.0
    """The outer bound of the preserved surroundings, in radii; above 1."""
    near_scale: float = 1.0
    """Weight of the copies inside the radius, relative to the key's own."""
    beyond_scale: float = 0.1
    """Weight of the copies outside the radius."""
    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge, as in `uce`."""
    erase_scale: float = 1.0
    """Weight of the edited keys and of all their copies."""
    preserve_scale: float = 1.0
    """Weight of the preserved rows."""
    seed: int = 0
    """Seed of the perturbations. Left out: the manifest's seed."""

    def __post_init__(self) -> None:
        require_at_least_zero(neighbours=self.neighbours, samples=self.samples, radius=self.radius, seed=self.seed)
        require_at_least_zero(near_scale=self.near_scale, beyond_scale=self.beyond_scale, lamb=self.lamb)
        require_at_least_zero(erase_scale=self.erase_scale, preserve_scale=self.preserve_scale)
        if not self.reach > 1:
            raise ValueError(f"`reach` is {self.reach:g}: it must be above 1, in radii")

    def __call__(self, system: System) -> Edit:
        """The joint edit of all blocks; raises SingularError or NonFiniteError."""
        ridge.require_finite("the keys or targets", *(part for b in system.blocks for part in (b.keys, b.targets)))
        copies = self.samples if self.near_scale else 0
        drawn = [part for b in system.blocks for part in ((b, self.copies_inside(b)) if copies else (b,))]
        moment = self.preserve_scale * system.preserved.moment
        for block in system.blocks if self.samples and self.beyond_scale else ():
            outside = self.copies_outside(block)
            moment = moment + (outside.keys * (self.erase_scale * outside.weights)) @ outside.keys.T
        lamb = system.ridge if self.lamb is None else self.lamb
        solved = chain.solve(chain_links(drawn, self.erase_scale), moment, lamb, cache=system.cache)
        stats = Stats(solved.factor.condition, solved.residual, len(solved.right))
        return Edit("shared", (solved.left,), (solved.right,), stats)

    def copies_inside(self, block: Block) -> Block:
        """Perturbed copies of a block's keys inside the radius, (d, n m), with its targets; weighted by near_scale."""
        return self._draw_copies(block, "inside", 0.0, self.radius, self.near_scale)

    def copies_outside(self, block: Block) -> Block:
        """Perturbed copies of a block's keys outside the radius, (d, n m), whose outputs should stay; weighted by
        beyond_scale."""
        return self._draw_copies(block, "outside", self.radius, self.reach * self.radius, self.beyond_scale)

    def _draw_copies(self, block: Block, label: str, least: float, most: float, scale: float) -> Block:
        """A block with n copies of each key, moved by `least` to `most` of the key's distance to its target.

        The random numbers depend on the seed, the concept and the target only, so that other edits do not change them.
        """
        parts = (str(self.seed), label, block.request.kind, block.request.concept, str(block.request.to))
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(sha256("\0".join(parts).encode()).digest())))
        keys, targets = np.tile(block.keys, self.samples), np.tile(block.targets, self.samples)
        lengths = np.linalg.norm(targets - keys, axis=0) * rng.uniform(least, most, size=keys.shape[1])
        noise = rng.normal(size=keys.shape)
        moved = keys + noise * (lengths / np.linalg.norm(noise, axis=0))
        weights = np.tile(block.weights, self.samples) * (scale / self.samples)
        return replace(block, keys=moved, targets=targets, weights=weights, labels=(), row_kinds=())
