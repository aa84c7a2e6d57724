"""The certificate: the worst case of recovering an erased concept, over all rows that the text encoder can give.

For a sentence that names the concept, with rows c_i, their counterparts c*_i and weights a_i,

    recoverable = 1 - sqrt( sum_i a_i min_x f_i(x) / sum_i a_i sum_l |W_l c_i - W_l c*_i|^2 ),  at least 0

where f_i(x) = sum_l |W'_l x - W_l c_i|^2 compares the edited outputs of x with the original ones of c_i, over all
layers l, and x is any row that the encoder can give (`numerics.trust`). 1: the outputs of the concept can be had again
entirely; 0: they come no nearer than those of the target are. A concept's figure is that of its worst sentence.
docs/explanation/certificate.md has more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.core.measurements import Attack, Certificate, Claim, Report
from editc.core.problem import System, Witness
from editc.core.solution import Edit, Solution
from editc.numerics import adversary, trust
from editc.numerics.ball import join_balls, unmoved
from editc.numerics.running import RunningSum
from editc.numerics.squares import mirror

REGULARISATION = 0.1
"""The regularisation of RECE's derived embedding, as published."""


class SummedLayer(Protocol):
    """A layer before and after an edit (`row_sums.Layer`, `wide_rows.RoundedLayer`)."""

    @property
    def left(self) -> Array:
        """The left factor of a shared edit."""

    @property
    def right(self) -> Array:
        """Its right factor."""

    @property
    def cross(self) -> NDArray[np.floating]:
        """W^T rest (d_in, d_in)."""

    @property
    def noise(self) -> NDArray[np.floating]:
        """rest^T rest (d_in, d_in); only the lower half is filled."""


@dataclass
class LayerSums:
    """Adds up sum_l W'^T W' and sum_l W'^T W of each certified group of sites, layer by layer.

    With W' = W + W M + R, where M = left right is the shared edit and R the rounding of the stored weight (for other
    forms M = 0 and R is the whole change), both follow exactly from G = sum W^T W, P = sum W^T R and Q = sum R^T R:

        sum W'^T W = (I + M)^T G + P^T        sum W'^T W' = (sum W'^T W)(I + M) + (I + M)^T P + Q

    A layer takes one product, and half the work of another.
    """

    solution: Solution
    """The solved edits."""
    factors: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    """Group -> left and right."""
    cross: dict[str, RunningSum] = field(default_factory=dict)
    """Group -> P of the layers added so far."""
    noise: dict[str, RunningSum] = field(default_factory=dict)
    """Group -> Q of the layers added so far, its lower half."""

    def add(self, group: str, layer: SummedLayer) -> None:
        """Add one layer of a group. All layers of a group have the same left and right."""
        if self.solution.problem.systems[group].certificate_input is None:
            return
        if group not in self.factors:
            self.factors[group] = layer.left, layer.right
            width = len(layer.left)
            self.cross[group], self.noise[group] = RunningSum.of(width), RunningSum.of(width, half=True)
        self.cross[group].add(layer.cross)
        self.noise[group].add(layer.noise)

    def grams(self, group: str) -> tuple[Array, Array]:
        """Return sum_l W'^T W' and sum_l W'^T W of a group, (d, d) each."""
        total = self.solution.problem.systems[group].total_gram()
        return _sum_products(total, *self.factors[group], self.cross[group].value(), self.noise[group].value())

    def certificates(self) -> tuple[Certificate, ...]:
        """Return one certificate for each erased concept and group, and free the sums of the groups."""
        return tuple(one for group in [*self.factors] for one in self._certify_group(group))

    def _certify_group(self, group: str) -> tuple[Certificate, ...]:
        """Return the certificates of one group, in the order of the requests, and free its sums."""
        system = self.solution.problem.systems[group]
        system = replace(system, gram=system.total_gram())
        rounding = self.cross.pop(group).value(), self.noise.pop(group).value()
        sums = _sum_products(system.total_gram(), *self.factors.pop(group), *rounding)
        del rounding
        return certify(system, *sums)


def shared_sums(system: System, edit: Edit) -> tuple[Array, Array]:
    """Return the sums of `LayerSums` for a shared edit before rounding: (I + M)^T G (I + M) and (I + M)^T G."""
    return _sum_products(system.total_gram(), edit.left[0], edit.right[0])


def _sum_products(
    gram: Array, left: Array, right: Array, cross: Array | None = None, noise: Array | None = None
) -> tuple[Array, Array]:
    """Return sum W'^T W' and sum W'^T W, by the formulas of `LayerSums`, from G, M = left right, P and Q.

    P and Q may be None (no rounding). Q has its lower half only.
    """
    mixed = gram + right.T @ (left.T @ gram)
    if cross is None or noise is None:
        return mixed + (mixed @ left) @ right, mixed
    mixed += cross.T
    after = mirror(noise)
    for part in (mixed, (mixed @ left) @ right, cross, right.T @ (left.T @ cross)):
        after += part
    return after, mixed


def certify(system: System, gram: Array, cross: Array) -> tuple[Certificate, ...]:
    """Return a certificate for every concept with witnesses in `system`; () where it has none.

    `gram` is sum_l W'^T W' and `cross` sum_l W'^T W, (d, d) each. Takes one eigendecomposition for all concepts.
    """
    if system.certificate_input is None:
        return ()
    near = trust.nearest_problem(join_balls(system.certificate_input.balls), gram, cross, system.total_gram())
    concepts = dict.fromkeys(witness.concept for witness in system.certificate_input.witnesses)
    return tuple(
        _certificate(near, [one for one in system.certificate_input.witnesses if one.concept == concept])
        for concept in concepts
    )


def claims(manifest: Manifest, certificates: Sequence[Certificate]) -> Iterator[Claim]:
    """Yield `recoverable` of each erased concept: the greatest of its groups."""
    asked = manifest.constraints
    for concept in dict.fromkeys(one.concept for one in certificates):
        value = max(one.recoverable for one in certificates if one.concept == concept)
        yield Claim("recoverable", value, asked.recoverable, concept, asked.at("recoverable"))


def warnings(manifest: Manifest, report: Report) -> Iterator[Diagnostic]:
    """Yield E510 where a bound is compared with a figure that is not proven, E511 where there is no certificate."""
    asked = manifest.constraints
    if asked.recoverable is None:
        return
    if not report.certificates:
        message = "recoverable was not measured: no edit erases, or nothing bounds the rows of this encoder"
        help_ = "remove the bound, or erase a concept"
        yield Diagnostic("E511", message, asked.at("recoverable"), manifest.source, help=help_, severity="warning")
    elif not all(one.proven for one in report.certificates):
        message = "recoverable is not a proof for this encoder: the length of its rows is only known from a corpus"
        help_ = "a prompt with longer rows may bring more back; preserve more prompts, to measure over more of them"
        yield Diagnostic("E510", message, asked.at("recoverable"), manifest.source, help=help_, severity="warning")


def _certificate(near: trust.NearestProblem, witnesses: Sequence[Witness]) -> Certificate:
    """Compute the certificate of one concept from its witnesses, with the embeddings of known attacks to compare."""
    keys = np.hstack([one.keys for one in witnesses])
    targets = np.hstack([one.targets for one in witnesses])
    terms = near.terms(keys)
    found = near.minimise(keys, terms)
    free = adversary.derive_least(terms.across, near.gram, REGULARISATION)
    possible, whole = near.ellipsoid.move_inside(free), near.distance(keys, targets)
    tries = {"best": found.lower, "attained": found.values, "own": near.objective(keys, keys, terms)}
    tries |= {"free": near.objective(free, keys, terms), "derived": near.objective(possible, keys, terms)}
    shares = {name: _shares(witnesses, values, whole) for name, values in tries.items()}
    worst = int(np.argmax(shares["best"]))
    return Certificate(
        concept=witnesses[0].concept,
        recoverable=float(shares["best"][worst]),
        sentence=witnesses[worst].prompt,
        median=float(np.median(shares["best"])),
        own=float(shares["own"].max()),
        derived=float(shares["derived"].max()),
        derived_free=float(shares["free"].max()),
        derived_inside=float(unmoved(free, possible).mean()),
        proven=near.ellipsoid.proven,
        exact=near.ellipsoid.exact,
        gap=float((shares["best"] - shares["attained"]).max()),
        residual=float(found.residual.max()),
        attacks=tuple(_attacks(witnesses, found.points)),
    )


def _shares(witnesses: Sequence[Witness], values: Array, whole: Array) -> Array:
    """Return 1 - sqrt(sum a f / sum a |W (c - c*)|^2) of each sentence, at least 0.

    `values` (m,) is f and `whole` (m,) |W (c - c*)|^2, for the rows of all witnesses one after the other.
    """
    cuts = _split_points(witnesses)
    parts = zip(witnesses, np.split(values, cuts), np.split(whole, cuts), strict=True)
    left = [float(one.weights @ mine) / float(one.weights @ all_) for one, mine, all_ in parts]
    return np.maximum(0.0, 1.0 - np.sqrt(left))


def _attacks(witnesses: Sequence[Witness], points: Array) -> Iterator[Attack]:
    """Yield the attack on each sentence. `points` (d, m) has the nearest rows of all witnesses one after the other."""
    for one, mine in zip(witnesses, np.split(points, _split_points(witnesses), axis=1), strict=True):
        yield Attack(one.prompt, one.rows, mine)


def _split_points(witnesses: Sequence[Witness]) -> Array:
    """Return where the columns of one witness end and those of the next begin."""
    return np.asarray(np.cumsum([len(one.rows) for one in witnesses])[:-1])
