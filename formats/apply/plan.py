"""What an apply would do, decided by reading and hashing alone.

Each target tensor is, in this order: `already` edited; the `exact` base; the base in another dtype (`cast`); other
weights of the same shape (`relative`, only when a fine-tune is allowed, and only where a sketch says that they are near
enough to the base to be one); quantised weights (`requantised`, only when that is asked for); or refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from editc.core.delta import Delta, Factors, SiteRecord
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.site_bytes import matrix_shape, stored_shape
from editc.core.text import count
from editc.families.single_files import single_file
from editc.formats.apply import encoder_marks, finetune, journal, quantised
from editc.formats.apply.carried import carried, explained
from editc.formats.apply.journal_record import Entry
from editc.formats.apply.sites import find_sites
from editc.formats.containers.ranges import digests, pieces, read_range
from editc.formats.models.model import Checkpoint, Model, Tensor
from editc.numerics.bits import dtypes

State = Literal["already", "unchanged", "exact", "cast", "relative", "requantised", "refused"]
Tier = Literal["exact", "cast", "relative", "requantised"]
_WORST_LAST: tuple[Tier, ...] = ("exact", "cast", "relative", "requantised")
_SHOWN = 12


@dataclass(frozen=True)
class Target:
    """One tensor to edit: where it is, the sha256 of its bytes now, and of the result where the delta records it (of
    the tensor in its shape, where the file holds its transpose).

    `distance` is about |W - W0| / |W0| (Frobenius) from the base W0; 0 where the hashes know the tensor.
    """

    record: SiteRecord
    factors: Factors
    k: int
    delta_id: str
    tensor: Tensor
    state: State
    base: str
    result: str = ""
    distance: float = 0.0
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

    def __repr__(self) -> str:
        """Short: a plan has a row for every tensor."""
        pending = sum(target.pending for target in self.targets)
        return f"<ApplyPlan for {self.model.place}: {self.status}, {pending} of {len(self.targets)} tensors to write>"

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
    def distance(self) -> float:
        """About |W - W0| / |W0| (Frobenius) from the bases, over all tensors that are not edited yet; 0 where the
        hashes say that they are the bases."""
        return _together(self.targets)

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

    Raises E615, E616, E620 to E626, E690, E691, E693, E695, for ONNX models E663 to E665: all that is wrong with the
    targets at once.
    """
    _check_disjoint(deltas)
    history = journal.history_of(model)
    records = [record for delta in deltas for record in delta.sites]
    parts = sorted({record.site.component for record in records})
    opened = {part: _opened(model, part, records, history) for part in parts}
    faults = [replace(fault, place=model.place) for delta in deltas for fault in _misfits(delta, opened, requantize)]
    if faults:
        raise EditcError(*faults)
    targets = [t for delta in deltas for t in _targets(delta, opened, history, allow_finetune)]
    _raise_refused(targets, model, allow_finetune, history, finetune.again(deltas))
    losses = {target.record.site.name: target.loss for target in targets if target.loss is not None}
    quantised.check_survival(losses, model.place)
    notes = [note for checkpoint in opened.values() for note in checkpoint.notes]
    relative = {target.delta_id for target in targets if target.state in ("relative", "requantised")}
    for delta in deltas:
        if delta.delta_id in relative:
            compared = list(encoder_marks.compared(delta, model, opened.values(), encoder))
            own = [target for target in targets if target.delta_id == delta.delta_id]
            notes += _relative_notes(delta, compared, _together(own))
    notes += quantised.notes(losses)
    return ApplyPlan(model, tuple(deltas), tuple(targets), tuple(notes), journal.interrupted(history) is not None)


def _opened(model: Model, part: str, records: Sequence[SiteRecord], history: journal.History) -> Checkpoint:
    """A component, its tensors under the names of the sites."""
    checkpoint, stored = model.component(part), journal.interrupted(history)
    mine = [record for record in records if record.site.component == part]
    return find_sites(checkpoint, mine, lambda name: read_range(*_present(checkpoint.where(name), stored, history)))


def match(record: SiteRecord, tensor: Tensor, raw: bytes, recorded: frozenset[str] = frozenset()) -> tuple[State, str]:
    """What the bytes of one tensor are to a delta, and the sha256 of the result where it is known.

    `recorded` are results that this delta is known to have had on this very model.
    """
    stored, dtype = dtypes.sha256(raw), tensor.dtype
    raw = tensor.upright(raw)
    now = dtypes.sha256(raw) if tensor.flipped else stored
    known = match_hash(record, dtype, now, frozenset({now}) if stored in recorded else frozenset())
    if known is None and quantised.requantisable(dtype):
        return "requantised", ""
    return known or (_match_cast(record, dtype, [raw]), "")


def match_hash(
    record: SiteRecord, dtype: str, now: str, recorded: frozenset[str] = frozenset()
) -> tuple[State, str] | None:
    """`match` as far as the sha256 of the bytes tells: None when it is neither base nor result."""
    base, result = record.base.get(dtype, ""), record.result.get(dtype, "")
    if now == base == result:
        return "unchanged", result
    if now == result or now in recorded:
        return "already", now
    if now == base:
        return ("exact" if dtype == record.site.dtype else "cast"), result
    return None


def _match_cast(record: SiteRecord, dtype: str, raw: Iterable[bytes]) -> State:
    """The same weights one conversion away: back to a narrower dtype without loss (they were widened), or to the
    dtype that the delta was made for (the user has the wider original)."""
    others = [d for d in sorted(record.base.keys() - {dtype}) if record.result[d] != record.base[d]]
    hashes, lossless = {other: hashlib.sha256() for other in others}, set(others)
    for piece in raw if others else ():
        values = dtypes.decode(piece, dtype, (-1,))
        for other in others:
            narrow = dtypes.encode(values, other)
            hashes[other].update(narrow)
            if other in lossless and not (dtypes.decode(narrow, other, values.shape) == values).all():
                lossless.remove(other)
    for other in others:
        now = hashes[other].hexdigest()
        if (other in lossless or other == record.site.dtype) and now in (record.result[other], record.base[other]):
            return "already" if now == record.result[other] else "cast"
    return "refused"


def _check_disjoint(deltas: Sequence[Delta]) -> None:
    counts = Counter((record.site.component, record.site.name) for delta in deltas for record in delta.sites)
    shared = sorted(name for (_, name), n in counts.items() if n > 1)
    if shared:
        raise fail(
            "E624",
            f"more than one of these deltas edits {count(len(shared), 'tensor')}, the first is '{shared[0]}'",
            help="build their manifests together into one delta, which is exact; or add these with `editc link`, which "
            "measures what they do to each other",
            notes=shared[:_SHOWN],
        )


def _targets(
    delta: Delta, opened: Mapping[str, Checkpoint], history: journal.History, allow_finetune: bool
) -> Iterator[Target]:
    stored = journal.interrupted(history)
    known = _known_results(history, delta)
    listed = [
        (factors, k, delta.sites[index]) for factors in delta.factors.values() for k, index in enumerate(factors.sites)
    ]
    tensors = [opened[record.site.component].where(record.site.name) for _, _, record in listed]
    places = [_present(tensor, stored, history) for tensor in tensors]
    for (factors, k, record), tensor, place, now in zip(listed, tensors, places, digests(places), strict=True):
        recorded = known.get((record.site.component, record.site.name), frozenset())
        if tensor.flipped or quantised.requantisable(tensor.dtype):
            state, result = match(record, tensor, read_range(*place), recorded)
        else:
            found = match_hash(record, tensor.dtype, now, recorded)
            state, result = found or (_match_cast(record, tensor.dtype, pieces(*place)), "")
        if factors.form == "xor" and state == "cast":
            state = "refused"  # bits fit the very bytes that they were taken from and no others
        loss = None
        if state == "requantised":
            made, loss = quantised.requantised(read_range(*place), tensor, record.site, factors, k)
            result = dtypes.sha256(made)
        far = _distance(record, tensor, place) if state in ("refused", "requantised") and factors.form != "xor" else 0.0
        if state == "requantised" and far > finetune.FARTHEST:
            state, loss = "refused", None
        if state == "refused" and allow_finetune and factors.form != "xor" and far <= finetune.FARTHEST:
            state = "relative"
        yield Target(record, factors, k, delta.delta_id, tensor, state, now, result, far, loss)


def _distance(record: SiteRecord, tensor: Tensor, place: tuple[Path, int, int]) -> float:
    raw = read_range(*place)
    if quantised.requantisable(tensor.dtype):
        return finetune.apart(record, quantised.decoded(raw, tensor))
    return finetune.distance(record, tensor.upright(raw), tensor.dtype)


def _together(targets: Sequence[Target]) -> float:
    return finetune.together([(target.record, target.distance) for target in targets if target.state != "already"])


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
        yield finetune.many(code, quantised.SAYS[code], list(rows.values()), n, quantised.HELPS[code])
    if missing:
        help_text = "is this the right component, and are its names those of diffusers, transformers or LDM?"
        if single := single_file(checkpoint.names()):
            help_text = f"this is {single.title}: {single.help}"
        yield finetune.many("E620", "target tensors are not in the model", missing, n, help_text)
    if shapes:
        help_text = f"the delta is for another architecture: {finetune.again([delta])}"
        yield finetune.many("E621", "target tensors have another shape", shapes, n, help_text)
    if kinds:
        help_text = "edit the weights before they are quantised, then quantise the result"
        yield finetune.many("E616", "target tensors have a dtype that cannot be edited", kinds, n, help_text)


def _present(tensor: Tensor, stored: Entry | None, history: journal.History) -> tuple[Path, int, int]:
    """Where the tensor's bytes are; after an interrupted in-place run those before it, which it is rolled back to."""
    for part in stored.ranges if stored else ():
        if (history.root / part.file, part.offset) == (tensor.file, tensor.offset) and stored:
            return (*journal.check_old(stored, part), tensor.nbytes)
    return tensor.file, tensor.offset, tensor.nbytes


def _known_results(history: journal.History, delta: Delta) -> Mapping[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], frozenset[str]] = {}
    for entry in journal.entries(history):
        for part in entry.ranges if entry.done else ():
            if part.delta == delta.delta_id:
                key = (part.component, part.name)
                found[key] = found.get(key, frozenset()) | {part.result}
    return found


def _raise_refused(
    targets: Sequence[Target], model: Model, allow_finetune: bool, history: journal.History, remedy: str
) -> None:
    bits = [t.record.site.name for t in targets if t.state == "refused" and t.factors.form == "xor"]
    if bits:
        help_text = "apply it to the very base that it was made from, or make a delta with `editc diff --form dense`"
        what = "target tensors are changed bit by bit, and the model holds other bytes than those the delta is for"
        raise EditcError(replace(finetune.many("E606", what, bits, len(targets), help_text), place=model.place))
    refused = [(target.record.site.name, target.distance) for target in targets if target.state == "refused"]
    if refused:
        held = ((t.record.site.component, t.record.site.name, t.base) for t in targets if t.state == "refused")
        fault = finetune.refusal(refused, _together(targets), len(targets), allow_finetune, model.place, remedy)
        raise EditcError(explained(fault, carried(held, history)))
    if targets and all(target.state == "unchanged" for target in targets):
        help_text = "look at the manifest's edits and strength"
        raise fail("E625", "the delta changes nothing in this model", place=model.place, help=help_text)


def _relative_notes(delta: Delta, compared: Iterable[str], far: float) -> Iterator[str]:
    yield (
        f"the weights are not those that the delta was made for, but {finetune.said(far)} away; "
        "its report does not hold for them, verify again"
    )
    yield from compared
    if any(factors.form != "shared" for factors in delta.factors.values()):
        yield "part of this delta was solved for the base's own weights and is added as it stands"
