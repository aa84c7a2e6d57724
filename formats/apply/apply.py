"""Apply deltas to weight files, a few rows in memory at a time, and revert the last apply.

Only the bytes of edited tensors differ from the base: headers and index files stay as they are.

If the process is killed, in what state are the files?

* Apply to a copy (`--out`): the base is never written to. The copy is written under a hidden temporary name, and is
  renamed once every byte of it is on the disk. So `out` is either absent or whole.
* Apply in place, before the journal entry is complete: the model's files hold their old bytes.
* Apply in place, from then on: the files may hold any mixture of old and new bytes. The entry holds all old bytes. The
  next apply in place, and `revert`, see that the entry has no `done` and put the old bytes back.
* Apply in place, once the entry has `done`: the files hold the new bytes. `done` is added after every file is synced.

`journal` describes the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from editc.core.diagnostics import EditcError, fail
from editc.core.storage import disk
from editc.formats.apply import copy as copies
from editc.formats.apply import destination, journal
from editc.formats.apply.edited_bytes import ResultCache, rewrite
from editc.formats.apply.journal_record import EditedRange, JournalEntry
from editc.formats.apply.plan import plan_apply
from editc.formats.apply.refusals import no_change_error
from editc.formats.apply.target import ApplyPlan, TargetTensor
from editc.formats.containers.ranges import hash_range
from editc.formats.models.model import Model

__all__ = ["Applied", "ApplyPlan", "ApplyResult", "RevertResult", "TargetTensor", "apply", "plan_apply", "revert"]


@dataclass(frozen=True)
class ApplyResult:
    """What an apply did."""

    status: Literal["done", "already"]
    """`done`, or `already` if the model held every delta before. With `already`, an apply in place writes nothing new,
    and a copy has the same bytes as the model."""
    path: Path
    """The edited model: the copy, or the model itself after an apply in place."""
    results: Mapping[tuple[str, str], str]
    """(component, tensor) -> the sha256 of the bytes that were written."""
    bytes_written: int
    """The number of bytes in the tensors that were changed."""
    linked: tuple[Path, ...] = ()
    """The files of the copy, relative to `path`, that are hard links to the model's own files. Empty without `link`."""

    def __repr__(self) -> str:
        """A short text, because a result has a hash for every tensor."""
        return f"<ApplyResult: {self.status}, {len(self.results)} tensors written, in {self.path}>"

    def _repr_html_(self) -> str:
        """What was done, for notebooks."""
        from editc.notebook.table import size, table

        written = f"{len(self.results)} tensors, {size(self.bytes_written)}"
        return table(f"Applied: {self.status}", [("model", self.path), ("written", written)])


class Applied(NamedTuple):
    """What `editc.api.apply` returns: the plan and the result, as a pair that a notebook shows as one."""

    plan: ApplyPlan
    """What was decided."""
    result: ApplyResult
    """What was done."""

    def __repr__(self) -> str:
        """Both in a line."""
        return f"({self.plan!r}, {self.result!r})"

    def _repr_html_(self) -> str:
        """Both, for notebooks."""
        return self.plan._repr_html_() + self.result._repr_html_()


@dataclass(frozen=True)
class RevertResult:
    """What a revert undid."""

    path: Path
    """The model."""
    deltas: tuple[Mapping[str, Any], ...]
    """The deltas of the apply that was reverted, as its journal entry records them. Empty if there was no apply to
    revert and only the remains of a killed run were removed."""
    tensors: int
    """The number of tensors that have their old bytes again."""


def apply(plan: ApplyPlan, out: Path | None = None, in_place: bool = False, link: bool = False) -> ApplyResult:
    """Write the edited model to `out` (a folder for a folder, a file for a file) or over itself.

    `link`: make hard links, in the copy, of large files that the edit does not change.

    Raises E626 (a result is not finite), E627 (a result has another hash than the delta records), E628 (the model
    changed since the plan), E629 (neither or both destinations, or links without a copy), E630 to E633, E635, E637, and
    E638 (links are impossible there). After an error the model's files hold their old bytes. If the disk refuses even
    to put these back, the journal entry stays without `done`, and `revert` does it later.
    """
    if in_place == (out is not None):
        raise fail("E629", "say where the result goes: to an output path or in place, one of the two")
    if in_place and link:
        raise fail("E629", "--link is for a copy, and an edit in place copies nothing", help="leave out --link")
    if plan.status == "already" and not plan.interrupted and out is None:
        return ApplyResult("already", plan.model.path, {}, 0)
    return _apply_in_place(plan) if out is None else _apply_to(plan, out.absolute(), link)


def revert(model: Model) -> RevertResult:
    """Put back the bytes that the last apply in place replaced, and remove that apply from the journal.

    This also undoes an apply that was killed at any moment. A revert that is killed can be repeated.

    Raises E632, E634 (nothing to undo), E635, E636 (a file or a tensor changed since) and E637.
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
    """Write the edited copy to `out`. The base is only read.

    1. The copy is made under a temporary name. Its unedited bytes are copied while the edited tensors are computed.
    2. The copy's journal is written: inside a folder's copy, or beside the copy of a single file.
    3. Everything is synced and renamed to its final name: external data first, then the model, then a single file's
       journal.

    An error removes the temporary files. A killed process leaves them behind under their hidden names. If it is killed
    between the renames, external data may be there without its model, or a single file's copy, whole, without its
    journal.
    """
    destination.make_place(plan, out)
    single = plan.model.layout == "file"
    copy = disk.temporary_path(out)
    state = copy.with_name(copy.name + journal.FOLDER) if single else copy / journal.FOLDER
    external = destination.external_files(plan.model, out)
    with disk.guard_writes(out), destination.remove_on_failure(copy, state, *(part.temporary for part in external)):
        more = [(part.source, part.temporary) for part in external]
        with copies.copy_in_background(plan.model.path, copy, _edited_bytes_by_file(plan), link, more) as linked:
            ranges = _write_copy(plan, copy, out.name if single else "", external)
        journal.record_copy(state, journal.locate_journal(plan.model), _summarise_deltas(plan), ranges)
        disk.sync_folder(copy.parent if single else copy)
        with destination.remove_on_failure(*(part.final for part in external)):
            for part in external:
                disk.rename(part.temporary, part.final)
            disk.rename(copy, out)
        if single:
            disk.rename(state, destination.journal_folder(out))
    status: Literal["done", "already"] = "done" if plan.status == "ready" else "already"
    return ApplyResult(
        status, out, _result_hashes(ranges), plan.bytes_to_write, tuple(path.relative_to(copy) for path in linked)
    )


def _edited_bytes_by_file(plan: ApplyPlan) -> Mapping[Path, Sequence[tuple[int, int]]]:
    """Find the ranges (offset, size) of each file that the copy need not contain, because the edit overwrites them."""
    found: dict[Path, list[tuple[int, int]]] = {}
    for target in _pending_targets(plan):
        found.setdefault(target.tensor.file, []).append((target.tensor.offset, target.tensor.nbytes))
    return found


def _write_copy(
    plan: ApplyPlan, copy: Path, name: str, external: Sequence[destination.ExternalFile]
) -> Sequence[EditedRange]:
    """Write the edited tensors into the copy, and return the range and hashes of each.

    `name`: the file name of the model if it is a single file, else ''. `external`: the files of external data that
    belong to a single ONNX file.
    """
    ranges, pending = [], _pending_targets(plan)
    parts = {part.source: part for part in external}
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
    """Overwrite the model's own files.

    1. The model is locked, remains of killed runs are removed, and an interrupted apply is rolled back.
    2. All results are computed and checked. The old bytes go into a new journal entry. The model's files are untouched
       until that entry is complete on the disk.
    3. The new bytes are written and synced. If that fails, the old bytes are put back.
    4. `done` is added to the entry: the files hold the results.
    """
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
    """Yield the present bytes of each pending tensor in pieces, followed by its range, for the journal entry.

    Every result is computed and checked here, so that a bad one is found before the first byte of the model changes.
    Results go into `cache`, as far as they fit.
    """
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
    """Write the new bytes over the old ones, then sync each file once. During this the files hold a mixture of both."""
    for piece in cache.replay(_pending_targets(plan)):
        part = entry.ranges[piece.index]
        disk.write_at(journal_place.root / part.file, part.offset + piece.start, piece.new)
    for file in entry.files:
        disk.sync_file(journal_place.root / file)


def _roll_back(journal_place: journal.JournalPlace) -> None:
    """Put the old bytes back if the last apply in place was interrupted, and remove its journal entry."""
    entry = journal.interrupted_entry(journal_place)
    if entry is not None:
        journal.check_files(entry, journal_place)
        journal.restore(entry, journal_place)
        journal.remove_entry(entry, journal_place)


def _pending_targets(plan: ApplyPlan) -> Sequence[TargetTensor]:
    """Select the targets that are still to be written, in the order of the plan."""
    return [target for target in plan.targets if target.pending]


def _edited_range(target: TargetTensor, result: str, file: str, undo: int) -> EditedRange:
    """Describe one edited tensor for the journal: where it is, and its hashes before and after. `undo`: where in
    undo.bin its old bytes begin."""
    site, tensor = target.record.site, target.tensor
    return EditedRange(
        site.component, site.name, target.delta_id, file, tensor.offset, tensor.nbytes, target.base, result, undo
    )


def _result_hashes(ranges: Sequence[EditedRange]) -> Mapping[tuple[str, str], str]:
    """(component, tensor) -> the sha256 of the new bytes."""
    return {(part.component, part.name): part.result for part in ranges}


def _summarise_deltas(plan: ApplyPlan) -> list[Mapping[str, Any]]:
    """Select what a journal entry says about each delta that it applied, so that `status` can name it without its
    file."""
    written = {target.delta_id for target in _pending_targets(plan)}
    return [
        {"delta_id": d.delta_id, "family": d.family, "tool": d.tool, "edits": [dict(edit) for edit in d.edits]}
        | {name: list(d.extra[name]) for name in ("after", "earlier") if d.extra.get(name)}
        for d in plan.deltas
        if d.delta_id in written
    ]


def _check_something_changes(plan: ApplyPlan, ranges: Sequence[EditedRange]) -> None:
    """Raise E625 if no edited tensor differs from its base: an edit that does nothing must not look like a success."""
    if all(part.result == part.base for part in ranges) and plan.status == "ready":
        raise no_change_error(plan.model.place)


def _check_no_later_change(entry: JournalEntry, journal_place: journal.JournalPlace) -> None:
    """Raise E636 if a tensor holds neither its old nor its new bytes: restoring it would lose a later change."""
    for part in entry.ranges:
        now = hash_range(journal_place.root / part.file, part.offset, part.nbytes)
        if now not in (part.base, part.result):
            message = f"tensor '{part.name}' was changed after the edit; restoring it would lose that change"
            raise fail("E636", message, place=part.file, help="undo the later change first, or fetch the base again")


def _nothing_to_revert_error(model: Model, copy: bool) -> EditcError:
    message, help_text = (
        "no in-place apply is recorded for this model",
        "there is nothing to undo here: an apply with --out does not change the model that it copies",
    )
    if copy:
        message = "this model is a copy that --out made: it does not hold the old weights"
    return fail("E634", message, place=model.place, help=help_text)
