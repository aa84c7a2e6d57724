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
    """UCE's problem with more terms: what lies near a concept goes to its target too, what lies further off stays.

    min  sum a |W' c - W t|^2  +  near_scale sum a/n sum_i |W' (c + e_i) - W t|^2
         +  beyond_scale sum a/n sum_j |(W' - W)(c + f_j)|^2  +  UCE's terms for what is kept and for the ridge

    with |e_i| <= radius |t - c| < |f_j| <= reach radius |t - c|, n of each a key: directions even on the sphere,
    lengths even between the bounds. It is solved as UCE is: the e_i are more keys, the f_j more that is kept.

    From the paper (no code was published): neighbours are mined by random perturbation of the concept's embedding,
    bounded in distance (and in cosine); they share its target; beyond-concept regularisation holds what is outside;
    both enter a closed-form edit of K and V. Left out is its second stage, a LoRA trained on predicted noise.
    Our reading: the unit of distance is that to the target, so that a radius of 0.5 reaches half of the way. On the
    demo model the other names of an object lie at 0.1 to 0.4 of it (in the padding rows, which all prompts share), and
    other objects at 0.5 and more. The cosine follows from the length in many dimensions and has no bound of its own.
    Each row of each context is perturbed by itself. Ours as well: nearest vocabulary. Derive looks among the words of
    the corpus for names that the encoder reads as the concept (`mined_names`) and treats them as if given in `also`.

    In expectation the e_i add near_scale E|e|^2 / d |W'|^2 and the f_j beyond_scale E|f|^2 / d |W' - W|^2: without the
    second the first draws every weight to zero. The f_j hold c itself too, so a far reach at a small beyond_scale does
    the same at less cost to the erasure.

    neighbours: other names to mine for each concept, at most; 0 mines none.
    alike: least score of a mined name, a cosine between signals (see `passes.images.keys.mined_names`).
    samples: n, perturbed copies of a key inside the radius, and as many outside.
    radius: of the neighbourhood, as a share of the distance from the key to its target.
    reach: outer bound of what is beyond, in radii, above 1.
    near_scale: weight of the perturbed copies against the key's own.
    beyond_scale: weight of what lies outside.
    lamb: ridge towards the old weights; left out, what suits the key rule, as in UCE.
    erase_scale: weight of the edited keys and all that is drawn from them.
    preserve_scale: weight of the kept rows.
    seed: of the perturbations; left out, the manifest's.
    """

    neighbours: int = 5
    alike: float = 0.9
    samples: int = 4
    radius: float = 0.5
    reach: float = 4.0
    near_scale: float = 1.0
    beyond_scale: float = 0.1
    lamb: float | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 1.0
    seed: int = 0

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
        moment = self.preserve_scale * system.kept.moment
        for block in system.blocks if self.samples and self.beyond_scale else ():
            outside = self.copies_outside(block)
            moment = moment + (outside.keys * (self.erase_scale * outside.weights)) @ outside.keys.T
        lamb = system.ridge if self.lamb is None else self.lamb
        solved = chain.solve(chain_links(drawn, self.erase_scale), moment, lamb, cache=system.cache)
        stats = Stats(solved.factor.condition, solved.residual, len(solved.right))
        return Edit("shared", (solved.left,), (solved.right,), stats)

    def copies_inside(self, block: Block) -> Block:
        """The copies of a block's keys within the radius, (d, n m), that go to its targets; weighted by near_scale."""
        return self._draw_copies(block, "inside", 0.0, self.radius, self.near_scale)

    def copies_outside(self, block: Block) -> Block:
        """Its copies outside the radius, which should stay where they are; weighted by beyond_scale."""
        return self._draw_copies(block, "outside", self.radius, self.reach * self.radius, self.beyond_scale)

    def _draw_copies(self, block: Block, label: str, least: float, most: float, scale: float) -> Block:
        """n copies of each key, at `least` to `most` of its distance to the target from it.

        The generator is seeded by the seed, the concept and the target, so that other edits do not change the draw.
        """
        said = (str(self.seed), label, block.request.kind, block.request.concept, str(block.request.to))
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(sha256("\0".join(said).encode()).digest())))
        keys, targets = np.tile(block.keys, self.samples), np.tile(block.targets, self.samples)
        lengths = np.linalg.norm(targets - keys, axis=0) * rng.uniform(least, most, size=keys.shape[1])
        noise = rng.normal(size=keys.shape)
        moved = keys + noise * (lengths / np.linalg.norm(noise, axis=0))
        weights = np.tile(block.weights, self.samples) * (scale / self.samples)
        return replace(block, keys=moved, targets=targets, weights=weights, origin=(), places=())
