"""Base of key rules for whole sentences: each context with the name, paired with the same context with the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.core.ports import EncodedPrompt
from editc.passes.images.keys.rules.pairs import KeyPairs, pair_rows, target_names, target_shares
from editc.passes.images.keys.rules.rule import PreservedLists, PreservedSum
from editc.passes.images.rows.phrases import Phrase, PromptLookup, RowNumbers, fill_context
from editc.passes.images.rows.preserved_rows import CondensedRows

NAMED_SHARE = 0.3
"""Weight of everything that a manifest names under `preserve`, relative to the default list. At this weight the named
concepts hardly move; at 1 the edit moves concepts that nobody named more (docs/measurements/bystanders.md)."""


class InContexts(ABC):
    """A key rule for sentences. A new one defines `counterparts` and the methods that say how much rows count."""

    options: ClassVar[tuple[str, ...]] = ()
    """See `KeyRule.options`."""
    counts_empty: ClassVar[bool] = False
    """True where the rows of the empty prompt are preserved like those of a list."""

    @abstractmethod
    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """Return which rows of a prompt are edited, (m,), and the row of the target's prompt that each is sent to,
        (m,).

        `encoded` has the concept at `at`; `other` is the same prompt with the target at `target`.
        """

    def weights(self, encoded: EncodedPrompt, at: Phrase, request: Request) -> Array:
        """Return how much each row (t,) of a prompt counts: here 1 each. A row with weight 0 is not edited."""
        return np.ones(len(encoded.rows))

    @abstractmethod
    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """See `KeyRule.edit_divisor`."""

    @abstractmethod
    def ridge(self, square: float) -> float:
        """See `KeyRule.ridge`."""

    @abstractmethod
    def preserve_weight(self, edited: int, preserved: int) -> float:
        """See `KeyRule.preserve_weight`."""

    @abstractmethod
    def preserved_divisor(self, preserved: CondensedRows) -> float:
        """Return what the sum over a preserved list is divided by: its rows or its prompts for a mean, 1 for a sum."""

    def named_divisor(self, named: CondensedRows, base: CondensedRows) -> float:
        """Return the same for the list of what the manifest names, which is added to the list `base`."""
        return self.preserved_divisor(named)

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Return every name and every target in every context."""
        names = [*request.names, *target_names(request, neutral)]
        return [[fill_context(context, name) for context in contexts] for name in names]

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: PromptLookup
    ) -> Iterator[KeyPairs]:
        """Yield every name in every context, paired with the same context with each target."""
        for name in request.names:
            for context in contexts:
                encoded, at = lookup.find(context, name)
                others = [lookup.find(context, other) for other in target_names(request, neutral)]
                rows = [self.counterparts(encoded, at, *other) for other in others]
                maps = [dict(zip(here.tolist(), there.tolist(), strict=True)) for here, there in rows]
                weights = self.weights(encoded, at, request)
                yield pair_rows(encoded, at, [other for other, _ in others], maps, weights, target_shares(request))

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """Yield the sum over the base list, then, at NAMED_SHARE of its weight, the sum over what is named beside
        it."""
        base, empty = lists.base, lists.empty
        total = base.outer_sum + empty.outer_sum if self.counts_empty else base.outer_sum
        over = self.preserved_divisor(base) + (self.preserved_divisor(empty) if self.counts_empty else 0)
        prompts = lists.base_prompts
        if self.counts_empty or not prompts:
            prompts = (*prompts, lists.empty_prompt)
        yield PreservedSum(prompts, "all", weight * (total / over), weight / over)
        if lists.named is not None:
            share = NAMED_SHARE * weight / self.named_divisor(lists.named, base)
            yield PreservedSum(lists.named_prompts, "all", share * lists.named.outer_sum, share)
