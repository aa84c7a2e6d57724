"""What is to be solved: the keys of the edits with their targets, and the rows whose outputs must stay.

Columns are vectors throughout: a key has shape (d_in,), a weight W (d_out, d_in), and a layer computes `W key`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.measurements import Claim
from editc.core.plan import Plan
from editc.numerics.chain import ArrayCache
from editc.numerics.squares import half_gram, mirror
from editc.numerics.trust import Ball


@dataclass(frozen=True)
class Block:
    """The keys of one request, with the targets that they are to be mapped to."""

    request: Request
    """The edit of the manifest."""
    keys: Array
    """(d_in, m): the inputs to edit."""
    targets: Array
    """(d_in, m): the inputs whose outputs they take. Strength is not applied: `numerics.ridge` moves them to `c +
    strength (c* - c)`."""
    weights: Array
    """(m,): how much each column counts."""
    origin: tuple[str, ...]
    """By column: the prompt and token that it comes from."""
    strength: float = 1.0
    """0 changes nothing, 1 is the whole edit."""
    places: tuple[str, ...] = ()
    """(m,): the kind of row of each column, as the key rule names it. Empty where the rule names none."""
    pulls: Array = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(k, d_in, m), filled for `moderate`: targets = keys + sum_k share_k pulls_k. Else (0, 0, 0)."""


@dataclass(frozen=True)
class NamedRows:
    """What a manifest names under `preserve`, beside the default list."""

    rows: Array
    """(d_in, k), condensed as those of `PreservedRows` are; drift is measured over them apart."""
    prompts: tuple[str, ...]
    """Their prompts."""


@dataclass(frozen=True)
class PreservedRows:
    """Rows whose outputs must not move."""

    moment: Array
    """(d_in, d_in): their weighted second moment, as the solver reads it."""
    rows: Array
    """(d_in, k): rows of the default list, over which drift is measured. Those of what is named where there is no
    default list. Condensed where `count` > k: |X rows| is then the same for every X."""
    empty: Array
    """(d_in, t): the rows of the empty prompt."""
    prompts: tuple[str, ...]
    """The prompts that the rows come from."""
    count: int = 0
    """How many rows `rows` stands for."""
    keys: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(d_in, n): the columns that `moment` sums, moment = keys diag(weights) keys^T. Filled for methods that ask for
    them (`passes.methods.Retaining`); else (0, 0)."""
    weights: Array = field(default_factory=lambda: np.zeros(0))
    """(n,): the weight of each column of `keys`; else (0,)."""
    named: NamedRows | None = None
    """What the manifest names beside the default list; None where it names nothing."""
    default: bool = True
    """True where the rows of the default list are in `moment`; False: they are measured and not kept."""

    @property
    def all_rows(self) -> Array:
        """The rows (d_in, k) of every prompt that is kept."""
        return np.hstack([*([self.rows] if self.default else []), *([self.named.rows] if self.named else [])])

    @property
    def lists(self) -> tuple[Array, ...]:
        """The rows (d_in, k) of each list that drift is measured over: the default one, then what is named."""
        return (self.rows, *([self.named.rows] if self.named else []))


@dataclass(frozen=True)
class Witness:
    """One sentence that names an erased concept: of its `rows` (m,) that the target would change, the encoder's own
    `keys` (d, m), the same rows with the target in its place (d, m), and their `weights` (m,)."""

    concept: str
    prompt: str
    rows: tuple[int, ...]
    keys: Array
    targets: Array
    weights: Array


@dataclass(frozen=True)
class CertificateInput:
    """What the certificate is computed over, whichever keys a method edits."""

    witnesses: tuple[Witness, ...]
    """The sentences of every erased concept."""
    balls: tuple[Ball, ...]
    """The balls in which every row of the encoder lies."""


@dataclass(frozen=True)
class System:
    """One joint least-squares problem over a group of sites that see the same input."""

    blocks: tuple[Block, ...]
    """One block a request."""
    preserved: PreservedRows
    """What must stay."""
    weights: Sequence[Array]
    """Each W (d_out, d_in) in float64, in the order of the sites of the group. It may read from disk, so a method goes
    through it once."""
    ridge: float = 0.5
    """The lambda that suits the scale of `blocks` and `kept`. A `lamb` in the manifest goes before it."""
    gram: Array | None = None
    """(d_in, d_in): sum_l W_l^T W_l. None where it was not computed yet."""
    certificate_input: CertificateInput | None = None
    """What the certificate is computed over. None where nothing is erased."""
    cache: ArrayCache | None = field(default=None, compare=False, repr=False)
    """The cache in which `numerics.chain` keeps sums and factors between builds. No result depends on it. None: nothing
    is kept."""

    def total_gram(self) -> Array:
        """sum_l W_l^T W_l, (d_in, d_in): `gram` when it is known, else from the weights, one at a time in order."""
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
    """Group -> its system. Empty for language models."""
    encoder: str
    """Fingerprint of the text encoder, or of the language model that was run."""
    corpus: str
    """Hash of the prompts or text that must stay."""
    leaks: tuple[Claim, ...] = ()
    """Claims about what reaches the model through groups that are not edited."""

    def __repr__(self) -> str:
        """Short: a problem holds the weights."""
        return f"<{type(self).__name__} of {self.plan!r}>"
