"""What a system keeps: the weight of what is kept by key rule, its second moment, and its rows for those who ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from editc.ir import Array, Kept, Plan
from editc.passes import corpus
from editc.passes.streams import Reader
from editc.ports import Cache
from editc.request import KeyRule, Manifest, Request

ALIGNED_WEIGHT = 3.0
"""Of what is kept against what is edited, both being means over rows. At 1 an object erased from the demo model takes
some of its neighbours with it, at 3 it does not and is gone all the same (docs/erasure.md)."""
PUBLISHED_WEIGHT: Mapping[KeyRule, float] = {"last": 1.0, "span": 1.0, "eot": 0.01}
"""Of what is kept, in the sums that the rules take (for `eot` means over prompts)."""
MATCHED_SHARE = 2.0
"""How often the prompts kept count against the prompts edited, for sums as MACE takes them: its weight of 1e-4 makes
some 600,000 captions of COCO count as 62, against 30 prompts of a concept."""


@dataclass(frozen=True)
class Keeping:
    """What is kept of `listed` prompts, as a group's `readers` read them; `neutral` is the empty prompt."""

    plan: Plan
    readers: Sequence[Reader]
    listed: tuple[str, ...]
    cache: Cache | None = None

    def kept(self, singly: bool) -> tuple[Kept, float]:
        """What is kept, and the mean square of its rows' entries; `singly`: with every row that the moment sums."""
        empty = [reader.encoder.encode([self.plan.family.neutral])[0] for reader in self.readers]
        nothing = corpus.tally_of(empty)
        found = self._tally(self.listed, "all") if self.listed else nothing
        weight, moment = self._moment(found, nothing)
        rows = np.vstack([one.rows for one in empty]).T
        kept = Kept(weight * moment, found.rows, rows, self.listed, found.count)
        return (self._with_rows(kept, found) if singly else kept), found.square

    def _moment(self, found: corpus.Tally, nothing: corpus.Tally) -> tuple[float, Array]:
        """The weight, and the moment (d, d) that it is of. Aligned keys take a mean over rows, MACE sums over all rows
        of the corpus, TRCE takes its mean over prompts; UCE keeps what is named, bare: all its rows and the empty
        prompt's (span), or its last subject tokens' (last)."""
        rule, weight = self.plan.manifest.keys, self._weight(found)
        if rule == "aligned":
            return weight, (found.total + nothing.total) / (found.count + nothing.count)
        if rule in ("matched", "eot"):
            return weight, found.total / (found.prompts if rule == "eot" else 1)
        bare, which = _bare(self.plan.manifest)
        base = nothing.total if rule == "span" else np.zeros_like(nothing.total)
        return weight, base + self._tally(bare, which).total if bare else base

    def _weight(self, found: corpus.Tally) -> float:
        manifest = self.plan.manifest
        if manifest.preserve.weight:
            return manifest.preserve.weight
        if manifest.keys == "matched":
            return MATCHED_SHARE * _edited_prompts(self.plan) / found.prompts
        return ALIGNED_WEIGHT if manifest.keys == "aligned" else PUBLISHED_WEIGHT[manifest.keys]

    def _tally(self, listed: Sequence[str], which: corpus.Which) -> corpus.Tally:
        """Over all readers; a prompt counts once, however many read it."""
        parts = [corpus.tally(listed, one.encoder, self.cache, which, one.mark) for one in self.readers]
        return replace(reduce(add, parts), prompts=parts[0].prompts)

    def _with_rows(self, kept: Kept, found: corpus.Tally) -> Kept:
        """`kept` with the rows that its moment sums, one by one; none for `last` where nothing is named."""
        rule = self.plan.manifest.keys
        listed, which = _bare(self.plan.manifest) if rule in ("last", "span") else ([*self.listed], "all")
        if rule in ("aligned", "span") or (rule != "last" and not listed):
            listed.append(self.plan.family.neutral)
        if not listed:
            return replace(kept, keys=np.zeros((len(kept.moment), 0)), weights=np.zeros(0))
        keys = np.hstack([corpus.single_rows(listed, one.encoder, which) for one in self.readers])
        over = {"aligned": keys.shape[1], "eot": len(listed)}.get(rule, 1)
        return replace(kept, keys=keys, weights=np.full(keys.shape[1], self._weight(found) / over))


def contexts_of(plan: Plan, request: Request) -> tuple[str, ...]:
    """The sentences that a request's names are put into: its own, the manifest's, else the family's."""
    return request.contexts or plan.manifest.contexts or plan.family.contexts


def _edited_prompts(plan: Plan) -> int:
    return sum(len(request.names) * len(contexts_of(plan, request)) for request in plan.manifest.edits)


def _bare(manifest: Manifest) -> tuple[list[str], corpus.Which]:
    """What the published rules keep: names and prompts as they stand, and which of their rows."""
    bare = [*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.kept]
    return bare, "last" if manifest.keys == "last" else "all"
