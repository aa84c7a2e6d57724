"""Find the tensors in which two models differ: headers first, then bytes, one pair of tensors in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from editc.core.diagnostics import EditcError, fail
from editc.core.text import SHOWN_ROWS, count
from editc.formats.diff.changed import ChangedTensor
from editc.formats.diff.components import pair_components
from editc.formats.diff.pairing import TensorPairs, mismatch_error, pair_tensors
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes

Progress: TypeAlias = Callable[[str, Iterable[Any]], Iterable[Any]]
"""Shows progress: (what is done, items) -> the same items, counted as they are taken."""
UNRELATED = 1.2
"""|W' - W| / |W| from which a file of some tensors is taken for one of another model. Measured: independent weights are
1.2 or more apart (docs/explanation/fingerprints.md). An edit that leaves nothing of a matrix is 1."""


@dataclass(frozen=True)
class Comparison:
    """In what two models differ."""

    changed: tuple[ChangedTensor, ...]
    """The tensors that differ, in the order of their components and names."""
    equal: int
    """How many tensors are equal."""
    unread: tuple[str, ...]
    """Components that could not be compared, because their weights are pickles."""
    notes: tuple[str, ...]
    """What else was not compared, or has another name, a sentence each."""


def compare(base: Model, edited: Model, progress: Progress | None = None) -> Comparison:
    """Compare every tensor of both models. `progress` shows how far the comparison is.

    Raises E645 (not the same tensors), E646 (nothing differs), E648 (a tensor differs that no delta can change) and
    E611 (a component that only one of them holds as safetensors).
    """
    sides = pair_components(base, edited)
    found = {name: pair_tensors(name, *two, sides.partial, edited.place) for name, two in sides.pairs.items()}
    faults = [fault for one in found.values() for fault in one.faults]
    if faults:
        raise EditcError(*faults)
    every = [one for part in found.values() for one in part.tensors]
    shown = progress("comparing", every) if progress else every
    changed = tuple(one for one in shown if one.differs())
    notes = (*sides.notes, *(note for part in found.values() for note in part.notes), *_notes(found, every))
    if not changed:
        message = "the two models are equal, byte for byte" if every else "the two models have no tensor in common"
        help_text = "is this the edited one, and was the edit saved? Programs that patch while they run leave the files"
        raise fail("E646", message, place=edited.place, help=help_text, notes=notes)
    _check_editable(changed, edited)
    if any(part.missing for part in found.values()):
        _refuse_unrelated(changed, edited)
    return Comparison(changed, len(every) - len(changed), sides.unread, notes)


def _notes(found: Mapping[str, TensorPairs], every: Sequence[ChangedTensor]) -> list[str]:
    """Notes on tensors that EDITED lacks, and on other dtypes."""
    lacking = sum(part.missing for part in found.values())
    notes = [f"EDITED lacks {count(lacking, 'tensor')} of BASE, taken as unchanged"] if lacking else []
    kinds = sorted({(one.before.dtype, one.after.dtype) for one in every if one.cast})
    return notes + [
        f"BASE is stored as {mine}, EDITED as {theirs}: BASE was rounded to {theirs} to compare; the delta fits both"
        for mine, theirs in kinds
    ]


def _check_editable(changed: Sequence[ChangedTensor], edited: Model) -> None:
    """Raises E648 where a tensor differs that no delta can change."""
    rows = [f"{one.name}: {_reason(one)}" for one in changed if not one.is_editable()]
    if rows:
        known = ", ".join(dtypes.EDITABLE)
        message = (
            f"a delta cannot hold the change of {count(len(rows), 'tensor')}, the first is '{rows[0].split(':')[0]}'"
        )
        help_text = f"a delta can only change finite weights in {known}; check how EDITED was made"
        raise fail("E648", message, place=edited.place, help=help_text, notes=rows[:SHOWN_ROWS])


def _reason(one: ChangedTensor) -> str:
    """Why no delta can change the tensor."""
    return "NaN or infinity" if one.dtype in dtypes.EDITABLE else one.dtype


def _refuse_unrelated(changed: Sequence[ChangedTensor], edited: Model) -> None:
    """Raises E645 where the values of a file of some tensors have nothing to do with those of BASE."""
    matrices = [one for one in changed if min(one.shape) > 1]
    sizes = np.zeros(2)
    for one in matrices:
        before, after = one.values()
        sizes += [np.sum(np.square(before)), np.sum(np.square(after - before))]
    if sizes[0] and (far := float(np.sqrt(sizes[1] / sizes[0]))) >= UNRELATED:
        rows = [f"{one.name}: other weights" for one in matrices]
        help_text = "is this a file of another model? Edited tensors of BASE would be nearer to it"
        apart = f"names and shapes but not values: their weights are {far:.0%} apart"
        what = (f"shares {apart}", f"share {apart}")
        raise EditcError(mismatch_error(edited.place, rows, what, help_text))
