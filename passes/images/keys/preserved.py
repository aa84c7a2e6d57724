"""What a system keeps: the weight of what is kept by key rule, its second moment, and its rows for those who ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from editc.core.ir import Array, Kept, Named, Plan
from editc.core.manifest import KeyRule, Manifest, Request
from editc.core.ports import Cache
from editc.passes.images.rows import preserved_rows
from editc.passes.images.rows.inputs import Reader

ALIGNED_WEIGHT = 3.0
"""Of what is kept against what is edited, both being means over rows. At 1 an object erased from the demo model takes
some of its neighbours with it, at 3 it does not and is gone all the same (docs/measurements/erasure.md)."""
PUBLISHED_WEIGHT: Mapping[KeyRule, float] = {"last": 1.0, "span": 1.0, "eot": 0.01}
"""Of what is kept, in the sums that the rules take (for `eot` means over prompts)."""
MATCHED_SHARE = 2.0
"""How often the prompts kept count against the prompts edited, for sums as MACE takes them: its weight of 1e-4 makes
some 600,000 captions of COCO count as 62, against 30 prompts of a concept."""


NAMED_SHARE = 0.3
"""How much all that a manifest names counts, against all of the default list. What is named hardly moves then; at 1 the
edit goes the more into what nobody named (docs/measurements/bystanders.md)."""


@dataclass(frozen=True)
class Part:
    """One list of prompts in the sum that is kept."""

    listed: tuple[str, ...]
    """Its prompts, the empty one last where it is counted too."""
    which: preserved_rows.Which
    """Which rows of each prompt are kept."""
    moment: Array
    """The sum c c^T over these rows, weighted, (d, d)."""
    share: float
    """The weight of one row in it."""


@dataclass(frozen=True)
class Keeping:
    """What is kept of two lists of prompts, as a group's `readers` read them: the default list, and what is named.

    What is named is added to the default list, which counts as much as it does alone: naming takes nothing away.
    """

    plan: Plan
    readers: Sequence[Reader]
    prompts: preserved_rows.Prompts
    cache: Cache | None = None

    def kept(self, singly: bool) -> tuple[Kept, float]:
        """What is kept, and the mean square of its rows' entries; `singly`: with every row that the moment sums."""
        empty = [reader.encoder.encode([self.plan.family.neutral])[0] for reader in self.readers]
        nothing = preserved_rows.tally_of(empty)
        default, named = (self._tally(listed, "all") if listed else None for listed in self._lists)
        base, extra = (default, named) if self._adds else (named, None)
        parts = tuple(self._parts(base or nothing, extra, nothing))
        measured = default or named or nothing
        kept = Kept(
            reduce(add, (part.moment for part in parts)),
            measured.rows,
            np.vstack([one.rows for one in empty]).T,
            (*(self.prompts.default if self._adds else ()), *self.prompts.named),
            measured.count,
            named=None if named is None or default is None else Named(named.rows, self.prompts.named),
            default=self._adds or default is None,
        )
        return (self._with_rows(kept, parts) if singly else kept), (base or nothing).square

    @property
    def _lists(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.prompts.default, self.prompts.named

    @property
    def _adds(self) -> bool:
        return adds(self.plan.manifest, self.prompts)

    def _parts(
        self, base: preserved_rows.Tally, extra: preserved_rows.Tally | None, nothing: preserved_rows.Tally
    ) -> Iterator[Part]:
        """The sums, `base` first. Aligned keys take a mean over rows, MACE sums over all rows of the corpus, TRCE takes
        its mean over prompts; UCE keeps what is named, bare: all its rows and the empty prompt's (span), or its last
        subject tokens' (last)."""
        rule, weight, neutral = self.plan.manifest.keys, self._weight(base), self.plan.family.neutral
        if rule in ("last", "span"):
            yield self._bare(weight, nothing)
            return
        total = base.total + nothing.total if rule == "aligned" else base.total
        over = {"aligned": base.count + nothing.count, "eot": base.prompts}.get(rule, 1)
        listed = self.prompts.default if self._adds else self.prompts.named
        listed = (*listed, neutral) if rule == "aligned" or not listed else listed
        yield Part(listed, "all", weight * (total / over), weight / over)
        if extra is not None:
            share = (
                NAMED_SHARE
                * weight
                / {"aligned": extra.count, "eot": extra.prompts}.get(rule, extra.prompts / base.prompts)
            )
            yield Part(self.prompts.named, "all", share * extra.total, share)

    def _bare(self, weight: float, nothing: preserved_rows.Tally) -> Part:
        bare, which = _bare(self.plan.manifest)
        span = self.plan.manifest.keys == "span"
        base = nothing.total if span else np.zeros_like(nothing.total)
        moment = weight * (base + self._tally(bare, which).total if bare else base)
        return Part((*bare, *([self.plan.family.neutral] if span else ())), which, moment, weight)

    def _weight(self, base: preserved_rows.Tally) -> float:
        return self.plan.manifest.preserve.weight or usual_weight(self.plan, base.prompts)

    def _tally(self, listed: Sequence[str], which: preserved_rows.Which) -> preserved_rows.Tally:
        """Over all readers; a prompt counts once, however many read it."""
        parts = [preserved_rows.tally(listed, one.encoder, self.cache, which, one.mark) for one in self.readers]
        return replace(reduce(add, parts), prompts=parts[0].prompts)

    def _with_rows(self, kept: Kept, parts: Sequence[Part]) -> Kept:
        """`kept` with the rows that its moment sums, one by one; none for `last` where nothing is named."""
        keys, weights = [np.zeros((len(kept.moment), 0))], [np.zeros(0)]
        for part in parts if any(part.listed for part in parts) else ():
            found = [preserved_rows.single_rows(part.listed, one.encoder, part.which) for one in self.readers]
            keys += found
            weights += [np.full(one.shape[1], part.share) for one in found]
        return replace(kept, keys=np.hstack(keys), weights=np.concatenate(weights))


def adds(manifest: Manifest, prompts: preserved_rows.Prompts) -> bool:
    """True where the default list is kept, and not only measured: what is named adds to it."""
    return manifest.preserve.corpus == "default" and bool(prompts.default)


def base_prompts(plan: Plan, default: Sequence[str]) -> int:
    """How many prompts the list has that is kept first: the default one, or where that is not kept what is named."""
    prompts = preserved_rows.prompts(plan.manifest, plan.manifest.contexts or plan.family.contexts, default)
    return max(1, len(prompts.default if adds(plan.manifest, prompts) else prompts.named))


def usual_weight(plan: Plan, prompts: int) -> float:
    """What is kept counts this much where the manifest gives no weight; `prompts` is the length of the list kept."""
    rule = plan.manifest.keys
    if rule == "matched":
        return MATCHED_SHARE * _edited_prompts(plan) / prompts
    return ALIGNED_WEIGHT if rule == "aligned" else PUBLISHED_WEIGHT[rule]


def contexts_of(plan: Plan, request: Request) -> tuple[str, ...]:
    """The sentences that a request's names are put into: its own, the manifest's, else the family's."""
    return request.contexts or plan.manifest.contexts or plan.family.contexts


def _edited_prompts(plan: Plan) -> int:
    return sum(len(request.names) * len(contexts_of(plan, request)) for request in plan.manifest.edits)


def _bare(manifest: Manifest) -> tuple[list[str], preserved_rows.Which]:
    """What the published rules keep: names and prompts as they stand, and which of their rows."""
    bare = [*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.kept]
    return bare, "last" if manifest.keys == "last" else "all"
