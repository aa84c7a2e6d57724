"""Key rules that take a concept in whole sentences: every context with the name, against the same with the target."""

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
from editc.passes.images.rows.phrases import EncodedPrompts, Phrase, RowNumbers, fill_context
from editc.passes.images.rows.preserved_rows import CondensedRows

NAMED_SHARE = 0.3
"""How much all that a manifest names counts, against all of the default list. What is named hardly moves then; at 1 the
edit goes the more into what nobody named (docs/measurements/bystanders.md)."""


class InContexts(ABC):
    """A rule for sentences: `counterparts` and the weights are all that a new one has to say."""

    options: ClassVar[tuple[str, ...]] = ()
    counts_empty: ClassVar[bool] = False
    """True where the rows of the empty prompt count among those that are preserved."""

    @abstractmethod
    def counterparts(
        self, encoded: EncodedPrompt, at: Phrase, other: EncodedPrompt, target: Phrase
    ) -> tuple[RowNumbers, RowNumbers]:
        """Rows (m,) of a prompt with the concept at `at`, and the row (m,) that each is sent to of `other`, the same
        prompt with the target at `aim`."""

    def weights(self, encoded: EncodedPrompt, at: Phrase, request: Request) -> Array:
        """What each row (t,) of a prompt counts: all alike. A row of weight 0 is not edited."""
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
        """What the sum over a list that is preserved is divided by: its rows or prompts for a mean, 1 for a sum."""

    def named_divisor(self, named: CondensedRows, base: CondensedRows) -> float:
        """The same for what the manifest names, which is added to the list `base`."""
        return self.preserved_divisor(named)

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Every name and every aim in every context."""
        names = [*request.names, *target_names(request, neutral)]
        return [[fill_context(context, name) for context in contexts] for name in names]

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: EncodedPrompts
    ) -> Iterator[KeyPairs]:
        """Every name in every context against the same context with each aim."""
        for name in request.names:
            for context in contexts:
                encoded, at = lookup.find(context, name)
                others = [lookup.find(context, other) for other in target_names(request, neutral)]
                rows = [self.counterparts(encoded, at, *other) for other in others]
                maps = [dict(zip(here.tolist(), there.tolist(), strict=True)) for here, there in rows]
                weights = self.weights(encoded, at, request)
                yield pair_rows(encoded, at, [other for other, _ in others], maps, weights, target_shares(request))

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """The base list's sum, then that of what is named beside it, which takes NAMED_SHARE of its weight."""
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
