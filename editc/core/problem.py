"""What is to be solved: the keys of the edits with their targets, and the rows whose outputs must stay.

Columns are vectors throughout: a key has shape (d_in,), a weight W (d_out, d_in), and a layer computes `W key`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.measurements import Claim
from editc.core.plan import Plan
from editc.numerics.ball import Ball
from editc.numerics.chain import ArrayCache
from editc.numerics.squares import half_gram, mirror


@dataclass(frozen=True)
class AdapterModule:
    """What an adapter adds to one matrix: W becomes W + scale * up @ down."""

    up: Array
    """(d_out, r)."""
    down: Array
    """(r, d_in)."""
    scale: float
    """alpha / r."""


@dataclass(frozen=True)
class Adapter:
    """A trained adapter, read from its file."""

    modules: Mapping[str, AdapterModule]
    """Parameter name -> what the adapter adds to it."""
    fingerprint: str
    """sha256 of the file."""
    left_out: tuple[str, ...] = ()
    """Modules of the file that belong to a text encoder. They are no part of the edit."""


@dataclass(frozen=True)
class Block:
    """The keys of one edit, with the targets that they are mapped to. One column stands for one row of a prompt."""

    request: Request
    """The edit in the manifest."""
    keys: Array
    """(d_in, m): the inputs whose outputs change."""
    targets: Array
    """(d_in, m): the inputs whose outputs they take instead. Strength is not applied here: `numerics.ridge` moves the
    target of a key c to c + strength * (target - c)."""
    weights: Array
    """(m,): how much each column counts."""
    labels: tuple[str, ...]
    """For each column: the prompt and token that it comes from."""
    strength: float = 1.0
    """How much of the edit is made: 0 changes nothing, 1 is the whole edit."""
    row_kinds: tuple[str, ...] = ()
    """(m,): what kind of row each column is, in the words of the key rule. Empty where the key rule has no kinds."""
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(k, d_in, m): for `moderate`, the direction towards each of the k concepts, so that targets = keys + sum_k
    share_k * pulls[k]. (0, 0, 0) for other edits."""


@dataclass(frozen=True)
class NamedRows:
    """The rows of what a manifest names under `preserve`, where there is a default list too."""

    rows: Array
    """(d_in, k): its rows, condensed as `PreservedRows.rows` are. Drift is measured over them separately."""
    prompts: tuple[str, ...]
    """The prompts that the rows come from."""


@dataclass(frozen=True)
class PreservedRows:
    """Rows whose outputs must stay: the default list, and what the manifest names under `preserve`."""

    moment: Array
    """(d_in, d_in): the weighted second moment of the rows, as the solver reads it."""
    rows: Array
    """(d_in, k): the rows of the default list, over which drift is measured; where there is no default list, those of
    what the manifest names. Where `count` > k they are condensed: |X rows| stays the same for every X."""
    empty: Array
    """(d_in, t): the rows of the empty prompt."""
    prompts: tuple[str, ...]
    """The prompts that are preserved: those of the default list, then those that the manifest names."""
    count: int = 0
    """How many rows `rows` stands for."""
    keys: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(d_in, n): the single rows that `moment` sums: moment = keys @ diag(weights) @ keys.T. Only filled for methods
    that ask for them (`passes.methods.Retaining`); else (0, 0)."""
    weights: Array = field(default_factory=lambda: np.zeros(0))
    """(n,): the weight of each column of `keys`; else (0,)."""
    named: NamedRows | None = None
    """The rows of what the manifest names, where there is a default list too. None where it names nothing."""
    default: bool = True
    """True where the rows of the default list are in `moment`. False where they are only measured, not preserved."""

    @property
    def all_rows(self) -> Array:
        """The rows (d_in, k) of every prompt that is preserved."""
        return np.hstack([*([self.rows] if self.default else []), *([self.named.rows] if self.named else [])])

    @property
    def lists(self) -> tuple[Array, ...]:
        """The rows (d_in, k) of each list over which drift is measured: the default list, then what the manifest
        names."""
        return (self.rows, *([self.named.rows] if self.named else []))

    @cached_property
    def moments(self) -> tuple[Array, ...]:
        """P P^T (d_in, d_in) of the rows P of each list, and of the empty prompt last."""
        return tuple(np.asarray(rows @ rows.T) for rows in (*self.lists, self.empty))


@dataclass(frozen=True)
class Witness:
    """One sentence that names an erased concept. The certificate is computed for each."""

    concept: str
    """The erased concept."""
    prompt: str
    """The sentence."""
    rows: tuple[int, ...]
    """(m,): numbers of the rows of the sentence that the target changes."""
    keys: Array
    """(d, m): these rows as the encoder gives them."""
    targets: Array
    """(d, m): the same rows with the target in place of the concept."""
    weights: Array
    """(m,): how much each row counts."""


@dataclass(frozen=True)
class CertificateInput:
    """What the certificate is computed from. It does not depend on which keys a method edits."""

    witnesses: tuple[Witness, ...]
    """The sentences that name each erased concept."""
    balls: tuple[Ball, ...]
    """The balls in which every row of the text encoder lies, one for each run of coordinates."""


@dataclass(frozen=True)
class System:
    """One joint least-squares problem over a group of sites that see the same input."""

    blocks: tuple[Block, ...]
    """One block per edit, in the order of the manifest."""
    preserved: PreservedRows
    """The rows whose outputs must stay."""
    weights: Sequence[Array]
    """Each W (d_out, d_in) in float64, in the order of the sites. The sequence may read from disk, so go through it
    once."""
    ridge: float = 0.5
    """The ridge lambda that suits the scale of `blocks` and `preserved`. The option `lamb` in a manifest replaces
    it."""
    gram: Array | None = None
    """(d_in, d_in): sum_l W_l^T W_l over the sites. None where it is not computed yet."""
    squares: Mapping[str, Array] = field(default_factory=dict, compare=False, repr=False)
    """Hash of a moment P P^T -> |W_l P|^2 of each site (sites,), as far as they are computed
    (`passes.images.measure.base_figures`)."""
    certificate_input: CertificateInput | None = None
    """What the certificate is computed from. None where nothing is erased."""
    cache: ArrayCache | None = field(default=None, compare=False, repr=False)
    """Where `numerics.chain` caches sums and factors between builds. No result depends on it. None: nothing is
    cached."""

    def total_gram(self) -> Array:
        """Returns sum_l W_l^T W_l, (d_in, d_in): `gram` if it is there, else the sum over the weights, one at a time in
        order."""
        if self.gram is not None:
            return self.gram
        total = np.zeros_like(self.preserved.moment)
        for W in self.weights:
            total += half_gram(W)
        return mirror(total)


@dataclass(frozen=True)
class Problem:
    """A plan with what is to be solved. `derive` makes it."""

    plan: Plan
    """The plan."""
    systems: Mapping[str, System]
    """Name of a group -> its system. Empty for language models."""
    encoder: str
    """Fingerprint of the text encoder, or of the language model."""
    corpus: str
    """What must stay, for the delta: how many prompts, or a hash of the text."""
    leaks: tuple[Claim, ...] = ()
    """Claims about concepts that reach the model through groups that are not edited."""

    def __repr__(self) -> str:
        """A short text, because a problem holds the weights."""
        return f"<{type(self).__name__} of {self.plan!r}>"
