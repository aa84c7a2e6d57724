"""Find the form of an edit of which only the result is known: shared, low rank, dense, or bit by bit.

A form is taken when it explains every pair of weights (`numerics.recover`) and its factors have under half the bytes of
the tensors. The shared form is tried first: it is the smallest, and it fits fine-tunes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Factors
from editc.formats.diff.changed import ChangedTensor
from editc.numerics.recover import (
    SINGLE_PRECISION_TOLERANCE,
    TOLERANCE,
    RowSpace,
    WeightPair,
    fit_multiplier,
    least_rank,
    row_space,
)

_Edit: TypeAlias = Callable[[int, Array, int], Array]
"""What an edit of some rank adds to the k-th weight W (d_out, d_in): (k, W, rank) -> (d_out, d_in)."""
_MAX_RECORDED, _MAX_TRIED = 1 << 18, 1 << 27
"""Entries of a matrix at most, for its rank to be measured only for the record, and for a form to be looked for. Chosen
by hand: the first keeps the time small, and the factorisation of more than the second takes gigabytes."""
_MAX_COLUMNS = 4096
"""Columns at most for matrices to be tried together, which takes some d_in^2 numbers of memory. Chosen by hand."""


@dataclass(frozen=True)
class FoundForm:
    """A form that holds the edit of some tensors."""

    factors: Factors
    """The factors. Their site numbers are places in the list of all tensors that changed."""
    ranks: tuple[int, ...]
    """The rank of each tensor's edit; for `xor`, the rank of what changed. 0: not measured."""
    left_over: float = 0.0
    """How many roundings the edit leaves at most, before its factors become float32."""
    decided: bool = False
    """True where the weights have more rows than columns, so that not every edit would have the shared form. False also
    for the other forms."""


class _Pairs(Sequence[WeightPair]):
    """The pairs (before, after) of some tensors. Each is read from the files when it is asked for, and none is kept."""

    def __init__(self, changed: Sequence[ChangedTensor]) -> None:
        self.changed = changed

    def __len__(self) -> int:
        return len(self.changed)

    @overload
    def __getitem__(self, index: int) -> WeightPair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[WeightPair]: ...
    def __getitem__(self, index: int | slice) -> WeightPair | Sequence[WeightPair]:
        if isinstance(index, slice):
            return _Pairs(self.changed[index])
        one = self.changed[index]
        return WeightPair(*one.values(), one.dtype)


def find_forms(changed: Sequence[ChangedTensor], wanted: str, tolerance: float | None) -> Iterator[FoundForm]:
    """The forms that hold all changed tensors, each tensor in exactly one of them.

    A tensor without the form that was asked for (`wanted`) becomes `xor`, as with `auto`. Where BASE has another dtype
    it becomes `dense`, because bits fit one dtype. `tolerance`: roundings that an edit may leave. None: `TOLERANCE`;
    where that finds nothing, `SINGLE_PRECISION_TOLERANCE` for weights stored in F32 or F64.
    """
    left = set(range(len(changed)))
    tried = {"auto": (_find_shared, _find_low_rank), "shared": (_find_shared,), "low-rank": (_find_low_rank,)}.get(
        wanted, ()
    )
    for limit in (TOLERANCE, SINGLE_PRECISION_TOLERANCE) if tolerance is None else (tolerance,):
        candidates = {i for i in left if _is_tried(changed[i], limit, tolerance)}
        for find in tried:
            for group in _group_by(left & candidates, lambda i: (changed[i].component, changed[i].shape[1])):
                for found in find(changed, group, limit):
                    left -= set(found.factors.sites)
                    yield found
    dense = tuple(i for i in sorted(left) if wanted == "dense" or changed[i].cast)
    if dense:
        parts = tuple(_to_float32(pair.change) for pair in _Pairs([changed[i] for i in dense]))
        yield FoundForm(Factors("dense", dense, parts, ()), (0,) * len(dense))
    if rest := tuple(sorted(left - set(dense))):
        yield FoundForm(
            Factors("xor", rest, (), ()), tuple(_measure_rank(changed[i], tolerance or TOLERANCE) for i in rest)
        )


def _is_tried(one: ChangedTensor, limit: float, tolerance: float | None) -> bool:
    """Whether a form of the matrix is looked for at this limit. One of over 134 million entries never is, for want of
    memory."""
    small = min(one.shape) > 1 and one.shape[0] * one.shape[1] <= _MAX_TRIED
    return small and (limit == TOLERANCE or tolerance is not None or one.dtype in ("F32", "F64"))


def _find_shared(changed: Sequence[ChangedTensor], group: Sequence[int], tolerance: float) -> Iterator[FoundForm]:
    """One multiplier for the whole group, else one for the layers of each name."""
    found = _fit_multiplier(changed, group, tolerance) if len(group) > 1 else None
    if found:
        yield found
        return
    layers = _group_by(group, lambda i: _layer_name(changed[i]))
    for part in layers if len(layers) > 1 else ():
        yield from _find_shared(changed, part, tolerance)


def _layer_name(one: ChangedTensor) -> str:
    """A layer's own name, which layers that do the same have in common: `attn2.to_k` from `x.attn2.to_k.weight`."""
    return ".".join(one.name.split(".")[-3:-1])


def _fit_multiplier(changed: Sequence[ChangedTensor], group: Sequence[int], tolerance: float) -> FoundForm | None:
    """W' = W + (W left) right with one left (d_in, r) and one right (r, d_in) for the group; None where there is
    none."""
    members = [changed[i] for i in group]
    pairs, height, width = _Pairs(members), _count_rows(members), members[0].shape[1]
    most = min(_count_affordable(members) // (2 * width), width, height)
    space = _find_row_space(pairs, most, tolerance)
    if space is None:
        return None
    left = fit_multiplier(pairs, space.rows)
    fit = _fit_rank(pairs, space, most, tolerance, lambda k, W, r: (W @ left[:, :r]) @ space.rows[:r])
    if fit is None:
        return None
    rank, left_over = fit
    factors = Factors("shared", tuple(group), (_to_float32(left[:, :rank]),), (_to_float32(space.rows[:rank]),))
    return FoundForm(factors, (rank,) * len(members), left_over, height > width)


def _find_low_rank(changed: Sequence[ChangedTensor], group: Sequence[int], tolerance: float) -> Iterator[FoundForm]:
    """Low-rank edits with one right factor for all, or with one for each, whichever is smaller. A tensor that has no
    low rank is left out."""
    own = {
        i: found
        for i in group
        if (found := _fit_projection([changed[i]], (i,), tolerance, _count_affordable([changed[i]])))
    }
    size = sum(_count_numbers(found) for found in own.values())
    members = [changed[i] for i in own]
    together = _fit_projection(members, tuple(own), tolerance, size - 1) if len(own) > 1 else None
    if together:
        yield together
    elif own:
        every = list(own.values())
        left, right = (tuple(getattr(found.factors, side)[0] for found in every) for side in ("left", "right"))
        ranks = tuple(found.ranks[0] for found in every)
        yield FoundForm(Factors("low-rank", tuple(own), left, right), ranks, max(found.left_over for found in every))


def _fit_projection(
    members: Sequence[ChangedTensor], sites: tuple[int, ...], tolerance: float, room: int
) -> FoundForm | None:
    """W' = W + left right, with one right (r, d_in) for all members and a left (d_out, r) for each; None where there is
    none.

    The differences W' - W are projected on the rows that they are made of. `room`: how many numbers the factors may
    have.
    """
    pairs, height, width = _Pairs(members), _count_rows(members), members[0].shape[1]
    most = min(room // (height + width), height, width)
    space = _find_row_space(pairs, most, tolerance)
    if space is None:
        return None
    lefts = [pair.change @ space.rows.T for pair in pairs]
    fit = _fit_rank(pairs, space, most, tolerance, lambda k, W, r: lefts[k][:, :r] @ space.rows[:r])
    if fit is None:
        return None
    rank, left_over = fit
    left = tuple(_to_float32(part[:, :rank]) for part in lefts)
    factors = Factors("low-rank", sites, left, (_to_float32(space.rows[:rank]),))
    return FoundForm(factors, (rank,) * len(members), left_over)


def _find_row_space(pairs: _Pairs, most: int, tolerance: float) -> RowSpace | None:
    """The rows that the differences W' - W are made of; None where there are none, or more than `most`."""
    if most < 1 or (len(pairs) > 1 and pairs.changed[0].shape[1] > _MAX_COLUMNS):
        return None
    space = row_space(pairs, most, tolerance)
    return space if space.complete and 0 < space.rank <= most else None


def _fit_rank(pairs: _Pairs, space: RowSpace, most: int, tolerance: float, edit: _Edit) -> tuple[int, float] | None:
    """The least rank at which `edit` explains every pair, and the roundings that it leaves; None where no rank does."""

    def left_over(rank: int) -> float:
        """The most roundings that the edit of this rank leaves in any pair; cut short once they are too many."""
        worst = 0.0
        for k, pair in enumerate(pairs):
            worst = max(worst, pair.error_in_roundings(edit(k, pair.before, rank)))
            if worst > tolerance:
                break
        return worst

    rank = least_rank(lambda r: left_over(r) <= tolerance, space.rank, min(most, len(space.rows)))
    return None if rank is None else (rank, left_over(rank))


def _measure_rank(one: ChangedTensor, tolerance: float) -> int:
    """The rank of the change of a matrix that has no small edit, for the record; 0 for a vector, and for a matrix that
    is too large."""
    if min(one.shape) < 2 or one.shape[0] * one.shape[1] > _MAX_RECORDED:
        return 0
    return row_space(_Pairs([one]), min(one.shape), tolerance).rank


def _group_by(places: Iterable[int], key: Callable[[int], object]) -> list[tuple[int, ...]]:
    """The places that have the same key, group by group, each sorted."""
    found: dict[object, tuple[int, ...]] = {}
    for place in sorted(places):
        found[key(place)] = (*found.get(key(place), ()), place)
    return list(found.values())


def _count_rows(members: Sequence[ChangedTensor]) -> int:
    """Rows of all matrices together."""
    return sum(one.shape[0] for one in members)


def _count_affordable(members: Sequence[ChangedTensor]) -> int:
    """How many float32 numbers fill just under half of the tensors' bytes."""
    return (sum(one.nbytes for one in members) // 2 - 1) // 4


def _count_numbers(found: FoundForm) -> int:
    """How many numbers the factors have."""
    return sum(part.size for part in (*found.factors.left, *found.factors.right))


def _to_float32(part: Array) -> NDArray[np.float32]:
    """The array in float32, of the same shape."""
    return np.ascontiguousarray(part, np.float32)
