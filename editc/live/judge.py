"""Decide what matrices in memory are for some deltas, and compute their edits, wherever a program keeps the matrices.

The rules and the arithmetic are those of `apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError
from editc.formats.apply import finetune
from editc.formats.apply.carried import PresentBytes
from editc.formats.apply.edited_bytes import rewrite
from editc.formats.apply.plan import judge_target
from editc.formats.apply.refusals import check_targets, find_misfits, relative_notes
from editc.formats.apply.target import TargetTensor, targets_distance
from editc.formats.models.model import Checkpoint
from editc.numerics.bits import dtypes

ENCODER_NOT_COMPARED = "the text encoder in memory was not compared with the one that the delta's keys come from"
"""A note about a delta in a fine-tune, where the caller has no text encoder to compare."""
ReadMatrix: TypeAlias = Callable[[str, str], bytes]
"""Gives the bytes of a matrix, row-major, by the component and the name of its site."""
CompareEncoder: TypeAlias = Callable[[Delta], Iterable[str]]
"""Compares a model's text encoder with a delta's: gives notes on what could not be compared, and raises E623."""
FindDeltas: TypeAlias = Callable[[Iterable[PresentBytes]], Iterable[Mapping[str, Any]]]
"""Finds the deltas whose results are in some matrices."""


@dataclass(frozen=True)
class EditedMatrix:
    """One matrix before and after its edit."""

    target: TargetTensor
    """The matrix, and what it was for the delta."""
    old: bytes
    """Its bytes before the edit, row-major."""
    new: bytes
    """Its bytes after the edit."""
    result: str
    """The sha256 of `new`."""


def judge_targets(
    deltas: Sequence[Delta],
    opened: Mapping[str, Checkpoint],
    read: ReadMatrix,
    place: str,
    allow_finetune: bool,
    carried: FindDeltas,
    faults: Iterable[Diagnostic] = (),
    compare: CompareEncoder | None = None,
) -> tuple[list[TargetTensor], list[str]]:
    """The targets of all deltas, delta by delta and group by group, and sentences for the user.

    `opened`: component -> its matrices under the names of the sites. `place`: what messages call the model. `faults`:
    what the caller found wrong before; it is raised together with what is found here. `compare`: compares the text
    encoder of a fine-tune; None: a note says that nobody did. Raises as `plan_apply` does.
    """
    found = [*faults, *(fault for one in deltas for fault in find_misfits(one, opened, False))]
    if found:
        raise EditcError(*(replace(fault, place=place) for fault in found))
    targets = [target for delta in deltas for target in _judge(delta, opened, read, allow_finetune)]
    check_targets(targets, place, allow_finetune, carried, finetune.remedy(deltas))
    return targets, [note for delta in deltas for note in _notes(delta, targets, compare)]


def edit_targets(pending: Sequence[TargetTensor], read: ReadMatrix) -> Iterator[EditedMatrix]:
    """Yield each of these targets with its bytes before and after the edit. Raises E626 to E628 in place of one."""

    def read_rows(target: TargetTensor, step: int) -> Iterator[bytes]:
        raw = read(target.record.site.component, target.record.site.name)
        yield from (raw[start : start + step] for start in range(0, len(raw), step))

    old, new = list[bytes](), list[bytes]()
    for piece in rewrite(pending, read_rows):
        old.append(piece.old)
        new.append(piece.new)
        if piece.result:
            yield EditedMatrix(pending[piece.index], b"".join(old), b"".join(new), piece.result)
            old.clear()
            new.clear()


def _judge(
    delta: Delta, opened: Mapping[str, Checkpoint], read: ReadMatrix, allow_finetune: bool
) -> Iterator[TargetTensor]:
    """Yield the target of each site of a delta, group by group."""
    for factors in delta.factors.values():
        for k, index in enumerate(factors.sites):
            record = delta.sites[index]
            site = record.site
            raw = read(site.component, site.name)
            tensor = opened[site.component].where(site.name)
            target = TargetTensor(record, factors, k, delta.delta_id, tensor, "refused", dtypes.sha256(raw))
            yield judge_target(target, lambda raw=raw: [raw], allow_finetune)  # type: ignore[misc]


def _notes(delta: Delta, targets: Sequence[TargetTensor], compare: CompareEncoder | None) -> Iterator[str]:
    """Yield notes about a delta that is loaded into a fine-tune. Raises E623 where `compare` does."""
    own = [target for target in targets if target.delta_id == delta.delta_id]
    if any(target.state == "relative" for target in own):
        compared = list(compare(delta)) if compare else [ENCODER_NOT_COMPARED] * bool(delta.encoder)
        yield from relative_notes(delta, compared, targets_distance(own))
