"""What an apply would do, decided by reading and hashing alone.

Each target tensor is, in this order: `already` edited; the `exact` base; the base in another dtype (`cast`); other
weights of the same shape (`relative`, only when a fine-tune is allowed); quantised weights (`requantised`, only when
that is asked for); or refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from editc.diagnostics import Diagnostic, EditcError, fail
from editc.formats import journal, quantised
from editc.formats.checkpoint import Checkpoint, Model, Tensor
from editc.formats.fingerprint import seen_through
from editc.formats.journal_record import Entry
from editc.formats.ldm_encoder import fingerprint_of
from editc.ir import Array, Delta, Factors, SiteRecord
from editc.numerics import dtypes
from editc.records import matrix_shape, stored_shape

State = Literal["already", "unchanged", "exact", "cast", "relative", "requantised", "refused"]
Tier = Literal["exact", "cast", "relative", "requantised"]
_WORST_LAST: tuple[Tier, ...] = ("exact", "cast", "relative", "requantised")
_SHOWN = 12


@dataclass(frozen=True)
class Target:
    """One tensor to edit: where it is, the sha256 of its bytes now, and of the result where the delta records it."""

    record: SiteRecord
    factors: Factors
    k: int
    delta_id: str
    tensor: Tensor
    state: State
    base: str
    result: str = ""
    loss: quantised.Loss | None = None

    @property
    def pending(self) -> bool:
        """True when this tensor is still to be written."""
        return self.state in _WORST_LAST


@dataclass(frozen=True)
class ApplyPlan:
    """The targets of all deltas in one model. `interrupted`: an in-place run was killed and is rolled back first."""

    model: Model
    deltas: tuple[Delta, ...]
    targets: tuple[Target, ...]
    notes: tuple[str, ...]
    interrupted: bool

    @property
    def status(self) -> Literal["ready", "already"]:
        """`already` when no tensor is left to write."""
        return "ready" if any(target.pending for target in self.targets) else "already"

    @property
    def tier(self) -> Tier:
        """The loosest match among the tensors that are to be written."""
        found = {target.state for target in self.targets}
        return max((tier for tier in _WORST_LAST if tier in found), key=_WORST_LAST.index, default="exact")

    @property
    def bytes_to_write(self) -> int:
        """Bytes of the tensors that will change."""
        return sum(target.tensor.nbytes for target in self.targets if target.pending)


def plan_apply(
    deltas: Sequence[Delta],
    model: Model,
    allow_finetune: bool = False,
    encoder: Callable[[], str] | str | None = None,
    requantize: bool = False,
) -> ApplyPlan:
    """Reads every target tensor once and decides. `encoder` is the model's encoder fingerprint where the caller
    knows it; otherwise it is computed from the model's folder, and only when a fine-tune makes it matter.

    Raises E615, E616, E620, E621, E622, E623, E624, E625, E626, E690, E691, E693: all that is wrong with the targets at
    once.
    """
    _check_disjoint(deltas)
    opened = {part: model.component(part) for part in sorted({r.site.component for d in deltas for r in d.sites})}
    history = journal.history_of(model)
    faults = [replace(fault, place=model.place) for delta in deltas for fault in _misfits(delta, opened, requantize)]
    if faults:
        raise EditcError(*faults)
    targets = [t for delta in deltas for t in _targets(delta, opened, history, allow_finetune)]
    _raise_refused(targets, model)
    losses = {target.record.site.name: target.loss for target in targets if target.loss is not None}
    quantised.check_survival(losses, model.place)
    notes = [note for checkpoint in opened.values() for note in checkpoint.notes]
    relative = {target.delta_id for target in targets if target.state in ("relative", "requantised")}
    for delta in deltas:
        if delta.delta_id in relative:
            mark = _encoder_of(model, encoder)
            for checkpoint in opened.values():
                mark = seen_through(mark, checkpoint)
            notes += _relative_notes(delta, mark, model)
    notes += quantised.notes(losses)
    return ApplyPlan(model, tuple(deltas), tuple(targets), tuple(notes), journal.interrupted(history) is not None)


def match(record: SiteRecord, tensor: Tensor, raw: bytes, recorded: frozenset[str] = frozenset()) -> tuple[State, str]:
    """What the bytes of one tensor are to a delta, and the sha256 of the result where it is known.

    `recorded` are results that this delta is known to have had on this very model.
    """
    now, dtype = dtypes.sha256(raw), tensor.dtype
    base, result = record.base.get(dtype, ""), record.result.get(dtype, "")
    if now == base == result:
        return "unchanged", result
    if now == result or now in recorded:
        return "already", now
    if now == base:
        return ("exact" if dtype == record.site.dtype else "cast"), result
    if quantised.requantisable(dtype):
        return "requantised", ""
    return _match_cast(record, dtype, dtypes.decode(raw, dtype, tensor.shape)), ""


def _match_cast(record: SiteRecord, dtype: str, values: Array) -> State:
    """The same weights one conversion away: back to a narrower dtype without loss (they were widened), or to the
    dtype that the delta was made for (the user has the wider original)."""
    for other in sorted(record.base.keys() - {dtype}):
        raw = dtypes.encode(values, other)
        lossless = bool((dtypes.decode(raw, other, values.shape) == values).all())
        if (lossless or other == record.site.dtype) and record.result[other] != record.base[other]:
            digest = dtypes.sha256(raw)
            if digest in (record.result[other], record.base[other]):
                return "already" if digest == record.result[other] else "cast"
    return "refused"


def _check_disjoint(deltas: Sequence[Delta]) -> None:
    counts = Counter((record.site.component, record.site.name) for delta in deltas for record in delta.sites)
    shared = sorted(name for (_, name), n in counts.items() if n > 1)
    if shared:
        raise fail(
            "E624",
            f"{len(shared)} tensors are edited by more than one of these deltas, the first is '{shared[0]}'",
            help="build their manifests together into one delta: that is exact, and adding two finished edits is not",
            notes=shared[:_SHOWN],
        )


def _targets(
    delta: Delta, opened: Mapping[str, Checkpoint], history: journal.History, allow_finetune: bool
) -> Iterator[Target]:
    stored = journal.interrupted(history)
    known = _known_results(history, delta)
    for factors in delta.factors.values():
        for k, index in enumerate(factors.sites):
            record = delta.sites[index]
            site = record.site
            tensor = opened[site.component].where(site.name)
            raw = _present(opened[site.component], site.name, tensor, stored, history)
            state, result = match(record, tensor, raw, known.get((site.component, site.name), frozenset()))
            if state == "refused" and allow_finetune:
                state = "relative"
            loss = None
            if state == "requantised":
                made, loss = quantised.requantised(raw, tensor, site, factors, k)
                result = dtypes.sha256(made)
            yield Target(record, factors, k, delta.delta_id, tensor, state, dtypes.sha256(raw), result, loss)


def _misfits(delta: Delta, opened: Mapping[str, Checkpoint], requantize: bool) -> Iterator[Diagnostic]:
    packed = quantised.refused(delta, opened, requantize)
    told = {name for rows in packed.values() for name in rows}
    missing, shapes, kinds = [], [], []
    for record in delta.sites:
        site, checkpoint = record.site, opened[record.site.component]
        if site.name in told:
            continue
        if site.name not in checkpoint.tensors:
            missing.append(site.name)
        elif matrix_shape(checkpoint.shape(site.name)) != stored_shape(site):
            shapes.append(f"{site.name}: {stored_shape(site)} in the delta, {checkpoint.shape(site.name)} in the model")
        elif checkpoint.dtype(site.name) not in dtypes.EDITABLE and not quantised.requantisable(
            checkpoint.dtype(site.name)
        ):
            kinds.append(f"{site.name}: {checkpoint.dtype(site.name)}")
    n = len(delta.sites)
    for code, rows in packed.items():
        yield _many(code, quantised.SAYS[code], list(rows.values()), n, quantised.HELPS[code])
    if missing:
        help_text = "is this the right component, and are its names those of diffusers, transformers or LDM?"
        yield _many("E620", "target tensors are not in the model", missing, n, help_text)
    if shapes:
        yield _many("E621", "target tensors have another shape", shapes, n, "the delta is for another architecture")
    if kinds:
        help_text = "edit the weights before they are quantised, then quantise the result"
        yield _many("E616", "target tensors have a dtype that cannot be edited", kinds, n, help_text)


def _many(code: str, what: str, rows: Sequence[str], total: int, help_text: str) -> Diagnostic:
    notes = (*rows[:_SHOWN], *([f"and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []))
    message = f"{len(rows)} of {total} {what}, the first is '{rows[0].split(':')[0]}'"
    return Diagnostic(code, message, help=help_text, notes=notes)


def _present(
    checkpoint: Checkpoint, name: str, tensor: Tensor, stored: Entry | None, history: journal.History
) -> bytes:
    """The tensor's bytes; after an interrupted in-place run those before it, which it will be rolled back to."""
    for part in stored.ranges if stored else ():
        if (history.root / part.file, part.offset) == (tensor.file, tensor.offset) and stored:
            return journal.old_bytes(stored, part)
    return checkpoint.raw(name)


def _known_results(history: journal.History, delta: Delta) -> Mapping[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], frozenset[str]] = {}
    for entry in journal.entries(history):
        for part in entry.ranges if entry.done else ():
            if part.delta == delta.delta_id:
                key = (part.component, part.name)
                found[key] = found.get(key, frozenset()) | {part.result}
    return found


def _raise_refused(targets: Sequence[Target], model: Model) -> None:
    refused = [target.record.site.name for target in targets if target.state == "refused"]
    if refused:
        help_text = (
            "if this is a fine-tune of the base, --allow-finetune recomputes the edit on its own weights; "
            "what the delta claims was measured on the base only"
        )
        what = "target tensors hold other weights than the delta was made for, neither its base nor its result"
        raise EditcError(replace(_many("E622", what, refused, len(targets), help_text), place=model.place))
    if targets and all(target.state == "unchanged" for target in targets):
        help_text = "look at the manifest's edits and strength"
        raise fail("E625", "the delta changes nothing in this model", place=model.place, help=help_text)


def _encoder_of(model: Model, encoder: Callable[[], str] | str | None) -> str:
    if encoder is None:
        return fingerprint_of(model)
    return encoder if isinstance(encoder, str) else encoder()


def _relative_notes(delta: Delta, encoder: str, model: Model) -> Iterator[str]:
    if delta.encoder and encoder and encoder != delta.encoder:
        raise fail(
            "E623",
            "the model's text encoder, or the projection of its rows, is not the one that the delta's keys come from",
            place=model.place,
            help="the edit would act on the wrong directions; build the manifest against this model",
            notes=[f"delta: {delta.encoder}", f"model: {encoder}"],
        )
    yield "the weights are not those that the delta was made for; its report does not hold for them, verify again"
    if delta.encoder and not encoder:
        yield "no text encoder is beside these weights, so it could not be compared with the delta's"
    if any(factors.form != "shared" for factors in delta.factors.values()):
        yield "part of this delta was solved for the base's own weights and is added as it stands"
