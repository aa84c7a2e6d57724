"""Key rules that take a concept's name alone, as UCE published them: bare name against bare target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Request
from editc.passes.images.keys.rules.pairs import KeyPairs, moderate_targets, target_names
from editc.passes.images.keys.rules.rule import PreservedLists, PreservedSum
from editc.passes.images.rows.phrases import EncodedPrompts, fill_context, last_text_row
from editc.passes.images.rows.preserved_rows import WhichRows

RIDGE = 0.5
"""lambda of UCE's own keys, which count one each (as published)."""
WEIGHT = 1.0
"""Of what is preserved, as UCE has it: a sum over rows."""
TEMPLATES: Mapping[str | None, tuple[str, ...]] = {
    None: (),
    "object": tuple(f"{kind} of {{}}" for kind in ("image", "photo", "portrait", "picture", "painting")),
    "art": (*(f"{kind} by {{}}" for kind in ("painting", "art", "artwork", "picture")), "style of {}"),
}
"""What `expand` puts a bare name into besides: the phrases of UCE's 2025 script (`--expand_prompts`)."""


class Bare(ABC):
    """A rule for bare names: `rows` is all that tells one from another."""

    options: ClassVar[tuple[str, ...]] = ("expand",)
    nothing: ClassVar[str]
    """The prompt that stands for a target of no words."""
    preserves: ClassVar[WhichRows]
    """Which rows of a preserved prompt count."""
    counts_empty: ClassVar[bool] = False
    """True where the rows of the empty prompt count among those that are preserved."""

    @abstractmethod
    def rows(self, old: int, old_last: int, new: int, new_last: int) -> tuple[slice, slice]:
        """The rows of a prompt of `old` tokens, its text's last token at row `old_last`, and of its target's."""

    def edit_divisor(self, weights: Array, prompts: int) -> float:
        """One: every key counts by itself."""
        return 1

    def ridge(self, square: float) -> float:
        """See `RIDGE`."""
        return RIDGE

    def preserve_weight(self, edited: int, preserved: int) -> float:
        """See `WEIGHT`."""
        return WEIGHT

    def prompts(self, request: Request, contexts: Sequence[str], neutral: str) -> list[list[str]]:
        """Every name and every aim in every phrase of `expand`, and what stands for a target of no words."""
        names = [*request.names, *target_names(request, neutral)]
        return [*([fill_context(phrase, name) for phrase in _phrases(request)] for name in names), [" "]]

    def pairs(
        self, request: Request, contexts: Sequence[str], neutral: str, lookup: EncodedPrompts
    ) -> Iterator[KeyPairs]:
        """Name against target, alone and in each phrase of `expand`, every key with weight 1."""
        for name in request.names:
            for phrase in _phrases(request):
                if request.kind == "moderate":
                    yield self._moderate(request, phrase, name, lookup)
                else:
                    yield self._erase(phrase, name, target_names(request, neutral)[0], lookup)

    def preserved_sums(self, lists: PreservedLists, weight: float) -> Iterator[PreservedSum]:
        """One sum: the rows of what the manifest names, bare, and of the empty prompt where it counts."""
        base = lists.empty.outer_sum if self.counts_empty else np.zeros_like(lists.empty.outer_sum)
        named = lists.condense(lists.bare, self.preserves).outer_sum if lists.bare else None
        prompts = (*lists.bare, *([lists.empty_prompt] if self.counts_empty else ()))
        yield PreservedSum(prompts, self.preserves, weight * (base if named is None else base + named), weight)

    def _moderate(self, request: Request, phrase: str, name: str, lookup: EncodedPrompts) -> KeyPairs:
        """UCE's debiasing: share_k a_k is added to the last key, as published."""
        old, _ = lookup.find(phrase, name)
        row = last_text_row(old)
        others = [lookup.find(phrase, other)[0] for other, _ in request.toward]
        pulls = np.array([other.rows[[last_text_row(other)]].T for other in others])
        key = old.rows[[row]].T
        targets = moderate_targets(key, pulls, [share for _, share in request.toward])
        return KeyPairs(key, targets, np.ones(1), (f"{old.prompt} [{row}]",), pulls=pulls)

    def _erase(self, phrase: str, name: str, target: str, lookup: EncodedPrompts) -> KeyPairs:
        old, _ = lookup.find(phrase, name)
        new = lookup.entries[fill_context(phrase, target) or self.nothing]
        here, there = self.rows(len(old.rows), last_text_row(old), len(new.rows), last_text_row(new))
        labels = tuple(f"{old.prompt} [{row}]" for row in range(len(old.rows))[here])
        return KeyPairs(old.rows[here].T, new.rows[there].T, np.ones(len(labels)), labels)


def _phrases(request: Request) -> tuple[str, ...]:
    """What a bare name is put into: nothing, then the phrases of `expand`."""
    return ("{}", *TEMPLATES[request.expand])
