"""The protocol of key rules: which rows of a prompt are edited, to which targets, and how much each row counts.

A published method is an algebra (`passes.methods`) with a key rule. Each rule is one value in a file of its own. A rule
from another package is named by an entry point of the group `editc.key_rules`. Most rules derive from `InContexts`,
which takes a concept in whole sentences, or from `Bare`, which takes the name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.passes.images.keys.rules.pairs import KeyPairs
from editc.passes.images.rows.phrases import PromptLookup
from editc.passes.images.rows.preserved_rows import CondensedRows, WhichRows


@dataclass(frozen=True)
class PreservedLists:
    """What a key rule is given to preserve: two lists of prompts, each with its condensed rows."""

    base: CondensedRows
    """The rows of the list that is preserved first: the default list; where that is not preserved, what the manifest
    names; without either, `empty`."""
    base_prompts: tuple[str, ...]
    """The prompts of `base`; () where `base` is `empty`."""
    named: CondensedRows | None
    """The rows of what the manifest names beside the default list. None unless both lists are preserved."""
    named_prompts: tuple[str, ...]
    """The prompts that the manifest names; also filled where `named` is None."""
    empty: CondensedRows
    """The rows of the family's neutral prompt."""
    empty_prompt: str
    """The neutral prompt."""
    bare: tuple[str, ...]
    """The concepts and prompts that the manifest names, as they stand there, without contexts."""
    condense: Callable[[Sequence[str], WhichRows], CondensedRows]
    """Condenses the rows of any other prompts."""


@dataclass(frozen=True)
class PreservedSum:
    """One term of the second moment of what is preserved."""

    prompts: tuple[str, ...]
    """The prompts whose rows are summed."""
    which: WhichRows
    """Which rows of each prompt are summed."""
    moment: Array
    """(d, d): the weighted sum of c c^T over these rows."""
    weight: float
    """The weight of one row in the sum."""


class KeyRule(Protocol):
    """A key rule. The first line of its class's docstring says which rows it edits; `editc explain` prints it."""

    @property
    def options(self) -> tuple[str, ...]:
        """The fields of a manifest's edits that only this rule reads, such as `token_weights`."""

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Return every prompt that `pairs` looks up, in one list for each name.

        `neutral` is the family's neutral concept.
        """

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: PromptLookup
    ) -> Iterable[KeyPairs]:
        """Yield keys and targets of a request, prompt by prompt.

        Raises MissingTokensError where tokens of a name are missing.
        """

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """Return what the weights (m,) of a request are divided by: 1 for a sum over rows, their sum for a mean.

        `prompts` is the number of prompts that the rows come from.
        """

    def ridge(self, square: float) -> float:
        """Return lambda for methods that set none. `square` is the mean square of the entries of preserved rows."""

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """Return the weight of what is preserved where the manifest gives none.

        `edited` and `preserved` are numbers of prompts.
        """

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """Yield the terms whose sum is the second moment of what is preserved, at weight `weight`."""
