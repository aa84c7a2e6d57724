"""Applying deltas to weight files, some rows in memory at a time, and undoing it.

Only the byte ranges of edited tensors differ from the base: headers and index files stay as they are. Nothing is ever
half-written: a copy appears under its name when it is complete; in place, the old bytes are on the disk first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from editc.core import disk
from editc.core.diagnostics import EditcError, fail
from editc.formats.apply import copy as copies
from editc.formats.apply import destination, journal
from editc.formats.apply.edited_bytes import ResultCache, rewrite
from editc.formats.apply.journal_record import EditedRange, JournalEntry
from editc.formats.apply.plan import plan_apply
from editc.formats.apply.target import ApplyPlan, TargetTensor
from editc.formats.containers.ranges import hash_range
from editc.formats.models.model import Model

__all__ = ["ApplyPlan", "ApplyResult", "RevertResult", "TargetTensor", "apply", "plan_apply", "revert"]


@dataclass(frozen=True)
class ApplyResult:
    """What an apply did."""

    status: Literal["done", "already"]
    """`already` when every delta was in the model before: in place nothing is written then, and a copy is one of the
    model as it is."""
    path: Path
    """The edited model: the model itself, or its copy."""
    results: Mapping[tuple[str, str], str]
    """(component, tensor) -> the sha256 of what was written."""
    bytes_written: int
    """Bytes of tensors that were changed."""
    linked: tuple[Path, ...] = ()
    """The files inside `path` that are the model's own under a second name."""


@dataclass(frozen=True)
class RevertResult:
    """What a revert undid."""

    path: Path
    """The model."""
    deltas: tuple[Mapping[str, Any], ...]
    """The deltas of the last in-place apply, as its journal records them. Empty: only the traces of a killed run went
    away."""
    tensors: int
    """How many tensors have their old bytes again."""


def apply(plan: ApplyPlan, out: Path | None = None, in_place: bool = False, link: bool = False) -> ApplyResult:
    """Writes the edited model to `out` (a folder for a folder, a file for a file) or over itself.

    `link`: large files of the copy that the edit leaves as they are become hard links instead of copies.
    Raises E626 (a result is not finite), E627 (not the recorded result), E628 (the model changed since the plan),
    E629 (neither or both destinations, links without a copy), E630 to E633, E635, E637, E638 (no links there). After an
    error the model is as it was.
    """
    if in_place == (out is not None):
        raise fail("E629", "say where the result goes: either an output path or in place, and not both")
    if in_place and link:
        raise fail("E629", "links are for a copy; in place nothing is copied", help="leave out --link")
    if plan.status == "already" and not plan.interrupted and out is None:
        return ApplyResult("already", plan.model.path, {}, 0)
    return _apply_in_place(plan) if out is None else _apply_to(plan, out.absolute(), link)


def revert(model: Model) -> RevertResult:
    """Puts back the bytes that the last in-place apply replaced, and removes what editc created.

    Also ends a run that was killed at any moment. Raises E632, E634 (nothing to undo), E635, E636, E637.
    """
    journal_place = journal.locate_journal(model)
    with disk.lock_model(journal_place.anchor), disk.guard_writes(model.path):
        swept = journal.remove_leftovers(journal_place)
        stack = journal.entries(journal_place)
        if not stack or stack[-1].mode == "out":
            if swept:
                return RevertResult(model.path, (), 0)
            raise _nothing_to_revert_error(model, copy=bool(stack))
        top = stack[-1]
        journal.check_files(top, journal_place)
        if top.done:
            _check_no_later_change(top, journal_place)
        journal.restore(top, journal_place)
        journal.remove_entry(top, journal_place)
        return RevertResult(model.path, top.deltas, len(top.ranges))


def _apply_to(plan: ApplyPlan, out: Path, link: bool) -> ApplyResult:
    destination.make_place(plan, out)
    single = plan.model.layout == "file"
    copy = disk.temporary_path(out)
    state = copy.with_name(copy.name + journal.FOLDER) if single else copy / journal.FOLDER
    beside = destination.external_files(plan.model, out)
    with disk.guard_writes(out), destination.remove_on_failure(copy, state, *(part.temporary for part in beside)):
        more = [(part.source, part.temporary) for part in beside]
        with copies.copy_in_background(plan.model.path, copy, _edited_bytes_by_file(plan), link, more) as linked:
            ranges = _write_copy(plan, copy, out.name if single else "", beside)
        journal.record_copy(state, journal.locate_journal(plan.model), _summarise_deltas(plan), ranges)
        disk.sync_folder(copy.parent if single else copy)
        with destination.remove_on_failure(*(part.final for part in beside)):
            for part in beside:
                disk.rename(part.temporary, part.final)
            disk.rename(copy, out)
        if single:
            disk.rename(state, destination.journal_folder(out))
    status: Literal["done", "already"] = "done" if plan.status == "ready" else "already"
    return ApplyResult(
        status, out, _result_hashes(ranges), plan.bytes_to_write, tuple(path.relative_to(copy) for path in linked)
    )


def _edited_bytes_by_file(plan: ApplyPlan) -> Mapping[Path, Sequence[tuple[int, int]]]:
    """What of each file need not be copied, for it is written anew: (offset, size)."""
    found: dict[Path, list[tuple[int, int]]] = {}
    for target in _pending_targets(plan):
        found.setdefault(target.tensor.file, []).append((target.tensor.offset, target.tensor.nbytes))
    return found


def _write_copy(
    plan: ApplyPlan, copy: Path, name: str, beside: Sequence[destination.ExternalFile]
) -> Sequence[EditedRange]:
    """Writes the edited tensors to their places, and returns what is where; `name` is the file's own when the model is
    one file, which may have parts in files `beside` it."""
    ranges, pending = [], _pending_targets(plan)
    parts = {part.source: part for part in beside}
    for piece in rewrite(pending):
        target = pending[piece.index]
        part = parts.get(target.tensor.file)
        file = copy if name else copy / target.tensor.file.relative_to(plan.model.path)
        own = name or file.relative_to(copy).as_posix()
        if part is not None:
            file, own = part.temporary, part.name
        disk.write_at(file, target.tensor.offset + piece.start, piece.new)
        if piece.result:
            ranges.append(_edited_range(target, piece.result, own, 0))
    _check_something_changes(plan, ranges)
    return ranges


def _apply_in_place(plan: ApplyPlan) -> ApplyResult:
    journal_place = journal.locate_journal(plan.model)
    destination.check_private(plan)
    with disk.lock_model(journal_place.anchor), disk.guard_writes(plan.model.path):
        journal.remove_leftovers(journal_place)
        _roll_back(journal_place)
        if plan.status == "already":
            return ApplyResult("already", plan.model.path, {}, 0)
        cache = ResultCache(_pending_targets(plan))
        try:
            entry = journal.begin_entry(journal_place, _summarise_deltas(plan), _undo_steps(plan, journal_place, cache))
        except (OSError, EditcError):
            with suppress(OSError):
                journal.remove_leftovers(journal_place)
            raise
        try:
            _write_ranges(plan, entry, journal_place, cache)
        except (OSError, EditcError):
            with suppress(OSError, EditcError):
                _roll_back(journal_place)
            raise
        journal.mark_done(entry)
    return ApplyResult("done", plan.model.path, _result_hashes(entry.ranges), plan.bytes_to_write)


def _undo_steps(
    plan: ApplyPlan, journal_place: journal.JournalPlace, cache: ResultCache
) -> Iterator[bytes | EditedRange]:
    """The present bytes of each range, and then the range. Every result is computed and checked here, so that whatever
    can be wrong with one is found before the first is written."""
    ranges: list[EditedRange] = []
    pending = _pending_targets(plan)
    for piece in rewrite(pending):
        cache.add(piece)
        yield piece.old
        if piece.result:
            target = pending[piece.index]
            name = target.tensor.file.relative_to(journal_place.root).as_posix()
            ranges.append(_edited_range(target, piece.result, name, sum(part.nbytes for part in ranges)))
            yield ranges[-1]
    _check_something_changes(plan, ranges)


def _write_ranges(
    plan: ApplyPlan, entry: JournalEntry, journal_place: journal.JournalPlace, cache: ResultCache
) -> None:
    for piece in cache.replay(_pending_targets(plan)):
        part = entry.ranges[piece.index]
        disk.write_at(journal_place.root / part.file, part.offset + piece.start, piece.new)
    for file in entry.files:
        disk.sync_file(journal_place.root / file)


def _roll_back(journal_place: journal.JournalPlace) -> None:
    entry = journal.interrupted_entry(journal_place)
    if entry is not None:
        journal.check_files(entry, journal_place)
        journal.restore(entry, journal_place)
        journal.remove_entry(entry, journal_place)


def _pending_targets(plan: ApplyPlan) -> Sequence[TargetTensor]:
    return [target for target in plan.targets if target.pending]


def _edited_range(target: TargetTensor, result: str, file: str, undo: int) -> EditedRange:
    site, tensor = target.record.site, target.tensor
    return EditedRange(
        site.component, site.name, target.delta_id, file, tensor.offset, tensor.nbytes, target.base, result, undo
    )


def _result_hashes(ranges: Sequence[EditedRange]) -> Mapping[tuple[str, str], str]:
    return {(part.component, part.name): part.result for part in ranges}


def _summarise_deltas(plan: ApplyPlan) -> list[Mapping[str, Any]]:
    """What a journal says of the deltas it applied, so that `status` can name them without their files."""
    written = {target.delta_id for target in _pending_targets(plan)}
    return [
        {"delta_id": d.delta_id, "family": d.family, "tool": d.tool, "edits": [dict(edit) for edit in d.edits]}
        for d in plan.deltas
        if d.delta_id in written
    ]


def _check_something_changes(plan: ApplyPlan, ranges: Sequence[EditedRange]) -> None:
    """An edit that silently does nothing is the worst fault of all: it is an error, not a success."""
    if all(part.result == part.base for part in ranges) and plan.status == "ready":
        message = "every edited tensor is equal to its base: the edit is smaller than the dtype can hold"
        raise fail("E625", message, place=plan.model.place, help="apply it to a copy in F32, or build a stronger edit")


def _check_no_later_change(entry: JournalEntry, journal_place: journal.JournalPlace) -> None:
    for part in entry.ranges:
        now = hash_range(journal_place.root / part.file, part.offset, part.nbytes)
        if now not in (part.base, part.result):
            message = f"tensor '{part.name}' was changed after the edit; restoring it would lose that change"
            raise fail("E636", message, place=part.file, help="undo the later change first, or fetch the base again")


def _nothing_to_revert_error(model: Model, copy: bool) -> EditcError:
    message, help_text = "no in-place apply is recorded for this model", "an apply with --out leaves its base untouched"
    if copy:
        message = "this model is a copy that was made with --out; what it replaced is not stored in it"
    return fail("E634", message, place=model.place, help=help_text)
