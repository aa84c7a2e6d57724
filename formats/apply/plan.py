"""Decide what an apply would do, by reading and hashing alone.

The first that fits decides for each target tensor: it is `already` edited; it is the `exact` base; it is the base in
another dtype (`cast`); it is a fine-tune of the base (`relative`: only if that is allowed, and the sketch says that the
weights are near enough); it is quantised (`requantised`: only if that is asked for); or it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import EditcError
from editc.formats.apply import finetune, journal, quantised
from editc.formats.apply.carried import carried_deltas
from editc.formats.apply.journal_record import JournalEntry
from editc.formats.apply.match import match, match_cast, match_hash
from editc.formats.apply.refusals import check_disjoint, check_targets, find_misfits, relative_notes
from editc.formats.apply.sites import find_sites
from editc.formats.apply.target import ApplyPlan, TargetTensor, targets_distance
from editc.formats.containers.ranges import hash_ranges, read_pieces, read_range
from editc.formats.models.model import Checkpoint, Model, Tensor
from editc.numerics.bits import dtypes


def plan_apply(
    deltas: Sequence[Delta],
    model: Model,
    allow_finetune: bool = False,
    encoder: Callable[[], str] | str | None = None,
    requantize: bool = False,
) -> ApplyPlan:
    """Read every target tensor once and plan the apply. `encoder`: the model's encoder fingerprint, or a function that
    computes it. If None, it is computed from the model's folder, and only if a target is relative or requantised.

    Raises all faults of the targets at once: E615, E616, E620 to E626, E690, E691, E693, E695, for ONNX E663 to E665.
    """
    check_disjoint(deltas)
    journal_place = journal.locate_journal(model)
    records = [record for delta in deltas for record in delta.sites]
    parts = sorted({record.site.component for record in records})
    opened = {part: _open_component(model, part, records, journal_place) for part in parts}
    faults = [
        replace(fault, place=model.place) for delta in deltas for fault in find_misfits(delta, opened, requantize)
    ]
    if faults:
        raise EditcError(*faults)
    targets = [t for delta in deltas for t in _find_targets(delta, opened, journal_place, allow_finetune)]
    carried = partial(carried_deltas, journal_place=journal_place)
    check_targets(targets, model.place, allow_finetune, carried, finetune.remedy(deltas))
    losses = {target.record.site.name: target.loss for target in targets if target.loss is not None}
    quantised.check_survival(losses, model.place)
    notes = [note for checkpoint in opened.values() for note in checkpoint.notes]
    relative = {target.delta_id for target in targets if target.state in ("relative", "requantised")}
    for delta in deltas:
        if delta.delta_id in relative:
            from editc.formats.apply import encoder_marks

            mine = encoder_marks.FileEncoders(model, encoder)
            compared = list(encoder_marks.compare_encoder(delta, mine, opened.values()))
            own = [target for target in targets if target.delta_id == delta.delta_id]
            notes += relative_notes(delta, compared, targets_distance(own))
    notes += quantised.loss_notes(losses)
    return ApplyPlan(
        model, tuple(deltas), tuple(targets), tuple(notes), journal.interrupted_entry(journal_place) is not None
    )


def _open_component(
    model: Model, part: str, records: Sequence[SiteRecord], journal_place: journal.JournalPlace
) -> Checkpoint:
    """Open the component `part` with its tensors under the names of the sites."""
    checkpoint, stored = model.component(part), journal.interrupted_entry(journal_place)
    mine = [record for record in records if record.site.component == part]
    return find_sites(
        checkpoint, mine, lambda name: read_range(*_locate_bytes(checkpoint.where(name), stored, journal_place))
    )


def _find_targets(
    delta: Delta, opened: Mapping[str, Checkpoint], journal_place: journal.JournalPlace, allow_finetune: bool
) -> Iterator[TargetTensor]:
    """Yield the target of each site of a delta, group by group."""
    stored = journal.interrupted_entry(journal_place)
    known = _known_results(journal_place, delta)
    listed = [
        (factors, k, delta.sites[index]) for factors in delta.factors.values() for k, index in enumerate(factors.sites)
    ]
    tensors = [opened[record.site.component].where(record.site.name) for _, _, record in listed]
    places = [_locate_bytes(tensor, stored, journal_place) for tensor in tensors]
    for (factors, k, record), tensor, place, now in zip(listed, tensors, places, hash_ranges(places), strict=True):
        recorded = known.get((record.site.component, record.site.name), frozenset())
        unjudged = TargetTensor(record, factors, k, delta.delta_id, tensor, "refused", now)
        yield judge_target(unjudged, partial(read_pieces, *place), allow_finetune, recorded)


def judge_target(
    target: TargetTensor,
    read: Callable[[], Iterable[bytes]],
    allow_finetune: bool,
    recorded: frozenset[str] = frozenset(),
) -> TargetTensor:
    """Decide what the bytes of a target are for its delta, by `target.base`, their sha256, and where that does not tell
    by the bytes. `read` yields them in order. `recorded`: hashes that the journal records as results of this delta."""
    record, tensor, factors = target.record, target.tensor, target.factors
    if tensor.flipped or quantised.is_requantisable(tensor.dtype):
        state, result = match(record, tensor, b"".join(read()), recorded)
    else:
        found = match_hash(record, tensor.dtype, target.base, recorded)
        state, result = found or (match_cast(record, tensor.dtype, read()), "")
    if factors.form == "xor" and state == "cast":
        state = "refused"  # bits fit the very bytes that they were taken from and no others
    loss = None
    if state == "requantised":
        made, loss = quantised.requantise(b"".join(read()), tensor, record.site, factors, target.k)
        result = dtypes.sha256(made)
    known = state not in ("refused", "requantised") or factors.form == "xor"
    far = 0.0 if known else _distance(record, tensor, b"".join(read()))
    if state == "requantised" and far > finetune.FARTHEST:
        state, loss = "refused", None
    if state == "refused" and allow_finetune and factors.form != "xor" and far <= finetune.FARTHEST:
        state = "relative"
    return replace(target, state=state, result=result, distance=far, loss=loss)


def _distance(record: SiteRecord, tensor: Tensor, raw: bytes) -> float:
    """Estimate the distance of a tensor from the delta's base. `raw`: its bytes as they are stored."""
    if quantised.is_requantisable(tensor.dtype):
        return finetune.array_distance(record, quantised.decode(raw, tensor))
    return finetune.distance(record, tensor.from_file(raw), tensor.dtype)


def _locate_bytes(
    tensor: Tensor, stored: JournalEntry | None, journal_place: journal.JournalPlace
) -> tuple[Path, int, int]:
    """Locate the bytes (file, offset, size) to plan with: the tensor's own, or its old bytes in the journal after an
    interrupted apply, because that will be rolled back."""
    for part in stored.ranges if stored else ():
        if (journal_place.root / part.file, part.offset) == (tensor.file, tensor.offset) and stored:
            return (*journal.check_undo_bytes(stored, part), tensor.nbytes)
    return tensor.file, tensor.offset, tensor.nbytes


def _known_results(journal_place: journal.JournalPlace, delta: Delta) -> Mapping[tuple[str, str], frozenset[str]]:
    """(component, tensor) -> the hashes that the journal records as results of this delta."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for entry in journal.entries(journal_place):
        for part in entry.ranges if entry.done else ():
            if part.delta == delta.delta_id:
                key = (part.component, part.name)
                found[key] = found.get(key, frozenset()) | {part.result}
    return found
