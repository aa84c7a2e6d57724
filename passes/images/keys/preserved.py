"""What a system preserves: the rows, their weight by the key rule, and their second moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Cache, Progress
from editc.core.problem import NamedRows, PreservedRows
from editc.passes.images.keys.rules.rule import KeyRule, PreservedLists, PreservedSum
from editc.passes.images.rows import encoding, piecewise, preserved_rows
from editc.passes.images.rows.inputs import TextStream


@dataclass(frozen=True)
class PreservedBuilder:
    """Builds the `PreservedRows` of a group of sites from the default list and from what the manifest names.

    What is named is added to the default list, whose rows count as much as without it.
    """

    plan: Plan
    """The plan, with the manifest's edits and the family."""
    rule: KeyRule
    """The key rule of the edits. It says how much preserved rows count."""
    streams: Sequence[TextStream]
    """The streams that the group reads. They make the rows."""
    prompts: preserved_rows.PreservedPrompts
    """Both lists."""
    cache: Cache | None = None
    """Keeps condensed rows between builds. None: nothing is cached."""
    progress: Progress | None = None
    """Shows the prompts that are encoded. None: nothing is shown."""

    def build(self, list_keys: bool) -> tuple[PreservedRows, float]:
        """Return what is preserved, and the mean square of the entries of the rows that are preserved first.

        `list_keys` also fills `keys` and `weights`: every row that the moment sums, as a column of its own.
        """
        neutral = self.plan.family.neutral
        empty = [encoding.encode_prompt(stream, neutral, self.cache) for stream in self.streams]
        empty_rows = preserved_rows.condense_encoded(empty)
        default, named = (self._condense(listed, "all") if listed else None for listed in self._lists)
        base, extra = (default, named) if self._preserves_default else (named, None)
        parts = tuple(self._sums(base or empty_rows, extra, empty_rows))
        measured = default or named or empty_rows
        preserved = PreservedRows(
            reduce(add, (part.moment for part in parts)),
            measured.rows,
            np.vstack([one.rows for one in empty]).T,
            (*(self.prompts.default if self._preserves_default else ()), *self.prompts.named),
            measured.row_count,
            named=None if named is None or default is None else NamedRows(named.rows, self.prompts.named),
            default=self._preserves_default or default is None,
        )
        return (self._with_keys(preserved, parts) if list_keys else preserved), (base or empty_rows).mean_square

    @property
    def _lists(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The default list, and the list of what is named."""
        return self.prompts.default, self.prompts.named

    @property
    def _preserves_default(self) -> bool:
        """True where the default list is preserved and not only measured."""
        return preserves_default_list(self.plan.manifest, self.prompts)

    def _sums(
        self,
        base: preserved_rows.CondensedRows,
        extra: preserved_rows.CondensedRows | None,
        empty_rows: preserved_rows.CondensedRows,
    ) -> Iterator[PreservedSum]:
        """Return the weighted sums that the key rule makes of the rows, `base` first.

        `base` is the list that is preserved first, `extra` what is named beside the default list, `empty_rows` the
        rows of the neutral prompt.
        """
        manifest = self.plan.manifest
        lists = PreservedLists(
            base,
            self.prompts.default if self._preserves_default else self.prompts.named,
            extra,
            self.prompts.named,
            empty_rows,
            self.plan.family.neutral,
            (*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.preserve_lines),
            self._condense,
        )
        weight = manifest.preserve.weight or default_weight(self.plan, self.rule, base.prompt_count)
        return self.rule.preserved_sums(lists, weight)

    def _condense(self, listed: Sequence[str], which: preserved_rows.WhichRows) -> preserved_rows.CondensedRows:
        """Condense the rows of a list over all streams. A prompt counts once, however many streams there are."""
        parts = [
            piecewise.condense_prompts(listed, one.encoder, self.cache, which, one.mark, self.progress)
            for one in self.streams
        ]
        return replace(reduce(add, parts), prompt_count=parts[0].prompt_count)

    def _with_keys(self, preserved: PreservedRows, parts: Sequence[PreservedSum]) -> PreservedRows:
        """Fill `keys` and `weights` with the rows that the moment sums, a column each; none where no prompt is
        summed."""
        keys, weights = [np.zeros((len(preserved.moment), 0))], [np.zeros(0)]
        for part in parts if any(part.prompts for part in parts) else ():
            found = [preserved_rows.list_rows(part.prompts, one.encoder, part.which) for one in self.streams]
            keys += found
            weights += [np.full(one.shape[1], part.weight) for one in found]
        return replace(preserved, keys=np.hstack(keys), weights=np.concatenate(weights))


def preserves_default_list(manifest: Manifest, prompts: preserved_rows.PreservedPrompts) -> bool:
    """Return whether the default list is preserved.

    If not (`corpus: none`, or the list is empty), it is only measured.
    """
    return manifest.preserve.corpus == "default" and bool(prompts.default)


def count_base_prompts(plan: Plan, default: Sequence[str]) -> int:
    """Return the number of prompts in the list that is preserved first, at least 1.

    That is the default list; where it is not preserved, the list of what is named.
    """
    prompts = preserved_rows.preserved_prompts(plan.manifest, plan.contexts(), default)
    return max(1, len(prompts.default if preserves_default_list(plan.manifest, prompts) else prompts.named))


def default_weight(plan: Plan, rule: KeyRule, prompts: int) -> float:
    """Return the weight of what is preserved where the manifest gives none. `prompts`: see `count_base_prompts`."""
    return rule.preserve_weight(_count_edited_prompts(plan), prompts)


def _count_edited_prompts(plan: Plan) -> int:
    """Return the number of prompts over all edits: names times contexts."""
    return sum(len(request.names) * len(plan.contexts(request)) for request in plan.manifest.image_edits)
