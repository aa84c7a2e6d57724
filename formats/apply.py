"""Applying deltas to weight files, one tensor in memory at a time, and undoing it.

Only the byte ranges of edited tensors differ from the base: headers and index files stay as they are. Nothing is ever
half-written: a copy appears under its name when it is complete; in place, the old bytes are on the disk first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from editc.diagnostics import EditcError, fail
from editc.formats import files, journal, outputs, quantised
from editc.formats.checkpoint import Model, read_range
from editc.formats.journal_record import Entry, Range
from editc.formats.plan import ApplyPlan, Target, plan_apply
from editc.numerics import dtypes

__all__ = ["Applied", "ApplyPlan", "Reverted", "Target", "apply", "plan_apply", "revert"]


@dataclass(frozen=True)
class Applied:
    """What an apply did: `already` when there was nothing to do, and then nothing was written, not even `out`.

    `results` maps (component, tensor) to the sha256 of what was written.
    """

    status: Literal["done", "already"]
    path: Path
    results: Mapping[tuple[str, str], str]
    bytes_written: int


@dataclass(frozen=True)
class Reverted:
    """What a revert undid: the deltas of the last in-place apply (none: only the traces of a killed run went away)."""

    path: Path
    deltas: tuple[Mapping[str, Any], ...]
    tensors: int


def apply(plan: ApplyPlan, out: Path | None = None, in_place: bool = False) -> Applied:
    """Writes the edited model to `out` (a folder for a folder, a file for a file) or over itself.

    Raises E626 (a result is not finite), E627 (not the recorded result), E628 (the model changed since the plan),
    E629 (neither or both destinations), E630 to E633, E635, E637. After an error the model is as it was.
    """
    if in_place == (out is not None):
        raise fail("E629", "say where the result goes: either an output path or in place, and not both")
    if plan.status == "already" and not plan.interrupted:
        return Applied("already", plan.model.path, {}, 0)
    return _apply_in_place(plan) if out is None else _apply_to(plan, out.absolute())


def revert(model: Model) -> Reverted:
    """Puts back the bytes that the last in-place apply replaced, and removes what editc created.

    Also ends a run that was killed at any moment. Raises E632, E634 (nothing to undo), E635, E636, E637.
    """
    history = journal.history_of(model)
    with files.locked(history.anchor), files.guarded(model.path):
        swept = journal.sweep(history)
        stack = journal.entries(history)
        if not stack or stack[-1].mode == "out":
            if swept:
                return Reverted(model.path, (), 0)
            raise _nothing_to_revert(model, copy=bool(stack))
        top = stack[-1]
        journal.check_files(top, history)
        if top.done:
            _check_unchanged(top, history)
        journal.restore(top, history)
        journal.forget(top, history)
        return Reverted(model.path, top.deltas, len(top.ranges))


def result_bytes(target: Target, raw: bytes) -> bytes:
    """The edited tensor from its base bytes, checked against the plan. Raises E626, E627, E628."""
    name, dtype = target.record.site.name, target.tensor.dtype
    if dtypes.sha256(raw) != target.base:
        help_text = "something else writes to it; run the command again when that is done"
        raise fail(
            "E628", f"tensor '{name}' changed after it was checked", place=str(target.tensor.file), help=help_text
        )
    result = quantised.edited(raw, target.tensor, target.record.site, target.factors, target.k)
    if not quantised.is_finite(result, dtype):
        message = f"the edited tensor '{name}' would hold values that {dtype} cannot, or the base holds NaN or infinity"
        raise fail("E626", message, place=str(target.tensor.file), help="apply it to a copy in F32 or BF16")
    if target.result and dtypes.sha256(result) != target.result:
        message = f"the result for '{name}' is not the one that the delta records, though the base is"
        raise fail("E627", message, help="do not use the result; this is a fault of editc or of this machine's memory")
    return result


def _apply_to(plan: ApplyPlan, out: Path) -> Applied:
    outputs.check_free(plan, out)
    single = plan.model.kind == "file"
    copy = files.temporary_beside(out)
    state = copy.with_name(copy.name + journal.FOLDER) if single else copy / journal.FOLDER
    with files.guarded(out), outputs.removed_on_failure(copy, state):
        outputs.copy_model(plan.model.path, copy)
        ranges = _write_copy(plan, copy, out.name if single else "")
        journal.record_copy(state, journal.history_of(plan.model), _summaries(plan), ranges)
        files.sync_folder(copy.parent if single else copy)
        files.rename(copy, out)
        if single:
            files.rename(state, outputs.state_of(out))
    return Applied("done", out, _results(ranges), plan.bytes_to_write)


def _write_copy(plan: ApplyPlan, copy: Path, name: str) -> Sequence[Range]:
    """Edits the copy, and returns what was written where; `name` is the file's own when the model is one file."""
    ranges = []
    for target in _pending(plan):
        tensor = target.tensor
        file = copy if name else copy / tensor.file.relative_to(plan.model.path)
        result = result_bytes(target, read_range(file, tensor.offset, tensor.nbytes))
        files.write_at(file, tensor.offset, result)
        ranges.append(_range(target, dtypes.sha256(result), name or file.relative_to(copy).as_posix(), 0))
    _check_moved(plan, ranges)
    return ranges


def _apply_in_place(plan: ApplyPlan) -> Applied:
    history = journal.history_of(plan.model)
    outputs.check_private(plan)
    with files.locked(history.anchor), files.guarded(plan.model.path):
        journal.sweep(history)
        _roll_back(history)
        if plan.status == "already":
            return Applied("already", plan.model.path, {}, 0)
        try:
            entry = journal.begin(history, _summaries(plan), _steps(plan, history))
        except (OSError, EditcError):
            with suppress(OSError):
                journal.sweep(history)
            raise
        try:
            _write_ranges(plan, entry, history)
        except (OSError, EditcError):
            with suppress(OSError, EditcError):
                _roll_back(history)
            raise
        journal.finish(entry)
    return Applied("done", plan.model.path, _results(entry.ranges), plan.bytes_to_write)


def _steps(plan: ApplyPlan, history: journal.History) -> Iterator[tuple[Range, bytes]]:
    """Each range with its present bytes. Every result is computed here once already, so that whatever can be wrong
    with one is found before the first is written."""
    ranges: list[Range] = []
    for target in _pending(plan):
        tensor = target.tensor
        raw = read_range(tensor.file, tensor.offset, tensor.nbytes)
        name = tensor.file.relative_to(history.root).as_posix()
        result = dtypes.sha256(result_bytes(target, raw))
        ranges.append(_range(target, result, name, sum(part.nbytes for part in ranges)))
        yield ranges[-1], raw
    _check_moved(plan, ranges)


def _write_ranges(plan: ApplyPlan, entry: Entry, history: journal.History) -> None:
    for target, part in zip(_pending(plan), entry.ranges, strict=True):
        raw = read_range(target.tensor.file, part.offset, part.nbytes)
        files.write_at(history.root / part.file, part.offset, result_bytes(target, raw))


def _roll_back(history: journal.History) -> None:
    entry = journal.interrupted(history)
    if entry is not None:
        journal.check_files(entry, history)
        journal.restore(entry, history)
        journal.forget(entry, history)


def _pending(plan: ApplyPlan) -> Sequence[Target]:
    return [target for target in plan.targets if target.pending]


def _range(target: Target, result: str, file: str, undo: int) -> Range:
    site, tensor = target.record.site, target.tensor
    return Range(
        site.component, site.name, target.delta_id, file, tensor.offset, tensor.nbytes, target.base, result, undo
    )


def _results(ranges: Sequence[Range]) -> Mapping[tuple[str, str], str]:
    return {(part.component, part.name): part.result for part in ranges}


def _summaries(plan: ApplyPlan) -> list[Mapping[str, Any]]:
    """What a journal says of the deltas it applied, so that `status` can name them without their files."""
    written = {target.delta_id for target in _pending(plan)}
    return [
        {"delta_id": d.delta_id, "family": d.family, "tool": d.tool, "edits": [dict(edit) for edit in d.edits]}
        for d in plan.deltas
        if d.delta_id in written
    ]


def _check_moved(plan: ApplyPlan, ranges: Sequence[Range]) -> None:
    """An edit that silently does nothing is the worst fault of all: it is an error, not a success."""
    if all(part.result == part.base for part in ranges) and plan.status == "ready":
        message = "every edited tensor is equal to its base: the edit is smaller than the dtype can hold"
        raise fail("E625", message, place=plan.model.place, help="apply it to a copy in F32, or build a stronger edit")


def _check_unchanged(entry: Entry, history: journal.History) -> None:
    for part in entry.ranges:
        now = dtypes.sha256(read_range(history.root / part.file, part.offset, part.nbytes))
        if now not in (part.base, part.result):
            message = f"tensor '{part.name}' was changed after the edit; restoring it would lose that change"
            raise fail("E636", message, place=part.file, help="undo the later change first, or fetch the base again")


def _nothing_to_revert(model: Model, copy: bool) -> EditcError:
    message, help_text = "no in-place apply is recorded for this model", "an apply with --out leaves its base untouched"
    if copy:
        message = "this model is a copy that was made with --out; what it replaced is not stored in it"
    return fail("E634", message, place=model.place, help=help_text)
