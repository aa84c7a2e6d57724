"""Base of key rules for bare names, as UCE published them: the name alone, paired with the target alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.passes.images.keys.rules.pairs import KeyPairs, moderate_targets, target_names
from editc.passes.images.keys.rules.rule import PreservedLists, PreservedSum
from editc.passes.images.rows.phrases import PromptLookup, fill_context, last_text_row
from editc.passes.images.rows.preserved_rows import WhichRows

RIDGE = 0.5
"""lambda as published by UCE, whose keys count 1 each."""
WEIGHT = 1.0
"""Weight of what is preserved as published by UCE: a sum over rows."""
TEMPLATES: Mapping[str | None, tuple[str, ...]] = {
    None: (),
    "object": tuple(f"{kind} of {{}}" for kind in ("image", "photo", "portrait", "picture", "painting")),
    "art": (*(f"{kind} by {{}}" for kind in ("painting", "art", "artwork", "picture")), "style of {}"),
}
"""Value of `expand` -> the phrases that a name is put into as well: those of UCE's 2025 script (`--expand_prompts`)."""


class Bare(ABC):
    """A key rule for bare names. A new one defines `rows`, `empty_target` and `preserves`."""

    options: ClassVar[tuple[str, ...]] = ("expand",)
    """See `KeyRule.options`."""
    empty_target: ClassVar[str]
    """The prompt in place of an empty target."""
    preserves: ClassVar[WhichRows]
    """Which rows of a preserved prompt are summed."""
    counts_empty: ClassVar[bool] = False
    """True where the rows of the empty prompt are preserved as well."""

    @abstractmethod
    def rows(self, old: int, old_last: int, new: int, new_last: int) -> tuple[slice, slice]:
        """Return the rows of the name's prompt that are edited, and the rows of the target's prompt that they are sent
        to.

        `old` and `new` are the numbers of rows of the two prompts, `old_last` and `new_last` the rows of the last text
        tokens (0 where there is no text).
        """

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """Return 1: a request is a sum over keys."""
        return 1

    def ridge(self, square: float) -> float:
        """Return `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """Return `WEIGHT`."""
        return WEIGHT

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Return every name and every target in every phrase of `expand`, and the prompt in place of an empty
        target."""
        names = [*request.names, *target_names(request, neutral)]
        return [*([fill_context(phrase, name) for phrase in _phrases(request)] for name in names), [" "]]

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: PromptLookup
    ) -> Iterator[KeyPairs]:
        """Yield each name paired with its target, alone and in each phrase of `expand`. Every key has weight 1."""
        for name in request.names:
            for phrase in _phrases(request):
                if request.kind == "moderate":
                    yield self._moderate(request, phrase, name, lookup)
                else:
                    yield self._erase(phrase, name, target_names(request, neutral)[0], lookup)

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """Yield one sum: the rows of what the manifest names, without contexts, and, if it counts, of the empty
        prompt."""
        base = lists.empty.outer_sum if self.counts_empty else np.zeros_like(lists.empty.outer_sum)
        named = lists.condense(lists.bare, self.preserves).outer_sum if lists.bare else None
        prompts = (*lists.bare, *([lists.empty_prompt] if self.counts_empty else ()))
        yield PreservedSum(prompts, self.preserves, weight * (base if named is None else base + named), weight)

    def _moderate(self, request: Request, phrase: str, name: str, lookup: PromptLookup) -> KeyPairs:
        """Pair the last row of a name with itself plus sum_k share_k a_k, as in UCE's debiasing; a_k: row of the k-th
        target."""
        old, _ = lookup.find(phrase, name)
        row = last_text_row(old)
        others = [lookup.find(phrase, other)[0] for other, _ in request.toward]
        pulls = np.array([other.rows[[last_text_row(other)]].T for other in others])
        key = old.rows[[row]].T
        targets = moderate_targets(key, pulls, [share for _, share in request.toward])
        return KeyPairs(key, targets, np.ones(1), (f"{old.prompt} [{row}]",), pulls=pulls)

    def _erase(self, phrase: str, name: str, target: str, lookup: PromptLookup) -> KeyPairs:
        """Pair the rows of a name in a phrase with those of its target in the same phrase."""
        old, _ = lookup.find(phrase, name)
        new = lookup.entries[fill_context(phrase, target) or self.empty_target]
        here, there = self.rows(len(old.rows), last_text_row(old), len(new.rows), last_text_row(new))
        labels = tuple(f"{old.prompt} [{row}]" for row in range(len(old.rows))[here])
        return KeyPairs(old.rows[here].T, new.rows[there].T, np.ones(len(labels)), labels)


def _phrases(request: Request) -> tuple[str, ...]:
    """Return what names are put into: `{}` for the bare name, then the phrases of `expand`."""
    return ("{}", *TEMPLATES[request.expand])
