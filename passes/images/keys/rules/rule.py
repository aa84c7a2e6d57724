"""What a key rule is: which rows of a prompt are edited, where each is sent, and what edited and preserved rows count.

A method is its algebra and its key rule. A rule is a value of a class in a file of its own; one from another package is
named by an entry point of the group `editc.key_rules`. Most rules are one of two kinds: `InContexts`, which takes a
concept in whole sentences, and `Bare`, which takes its name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.passes.images.keys.rules.pairs import KeyPairs
from editc.passes.images.rows.phrases import EncodedPrompts
from editc.passes.images.rows.preserved_rows import CondensedRows, WhichRows


@dataclass(frozen=True)
class PreservedLists:
    """What is preserved, for a rule to weigh: two lists of prompts, each with the tally of all its rows."""

    base: CondensedRows
    """The default list; where that is not preserved, what the manifest names; where there is neither, `empty`."""
    base_prompts: tuple[str, ...]
    """Its prompts; () where `base` is `empty`."""
    named: CondensedRows | None
    """What the manifest names beside the default list; None where there are not both."""
    named_prompts: tuple[str, ...]
    """Its prompts."""
    empty: CondensedRows
    """The prompt with the family's neutral concept."""
    empty_prompt: str
    """That prompt."""
    bare: tuple[str, ...]
    """The concepts and prompts that the manifest names, as they stand."""
    condense: Callable[[Sequence[str], WhichRows], CondensedRows]
    """The tally of other prompts."""


@dataclass(frozen=True)
class PreservedSum:
    """One list's share in the second moment of what is preserved."""

    prompts: tuple[str, ...]
    """The prompts whose rows it sums."""
    which: WhichRows
    """Which rows of each."""
    moment: Array
    """(d, d): the sum c c^T over these rows, weighted."""
    weight: float
    """What one row counts in it."""


class KeyRule(Protocol):
    """A key rule. The first line of its class's docstring says in a sentence which rows it edits."""

    @property
    def options(self) -> tuple[str, ...]:
        """The fields of an edit in a manifest that belong to this rule: `token_weights`, `expand`."""

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Every prompt that `pairs` looks up, those of each name together."""

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: EncodedPrompts
    ) -> Iterable[KeyPairs]:
        """The edited rows of a request, prompt by prompt. Raises UnspokenError where a name leaves no token."""

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """What a request's weights (m,), from so many prompts, are divided by: 1 where each row counts by itself."""

    def ridge(self, square: float) -> float:
        """lambda where the method gives none; `square` is the mean square of a preserved row's entries."""

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """What is preserved counts this much where the manifest says nothing; both are numbers of prompts."""

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """The sums whose total is the second moment of what is preserved, at that weight."""
