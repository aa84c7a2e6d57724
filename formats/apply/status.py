"""Which deltas are in a model: decided by tensor hashes; a journal only says which deltas are worth asking about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import matrix_shape, stored_shape
from editc.formats.apply import journal
from editc.formats.apply.journal_record import EditedRange, JournalEntry
from editc.formats.apply.match import match
from editc.formats.apply.sites import find_sites
from editc.formats.containers.ranges import read_range
from editc.formats.models.model import Checkpoint, Model
from editc.formats.models.model_names import respell
from editc.numerics.bits import dtypes

if TYPE_CHECKING:
    from editc.formats.containers.onnx import Graph

Presence = Literal["applied", "partly", "not applied", "unknown"]
TensorState = Literal["result", "base", "neither", "either", "missing"]


@dataclass(frozen=True)
class DeltaState:
    """One delta in one model."""

    delta_id: str
    """The delta."""
    presence: Presence
    """Whether its tensors hold its results, as far as their bytes tell."""
    tensors: Mapping[str, TensorState]
    """`component/name` -> what the tensor's bytes are."""
    edits: tuple[Mapping[str, Any], ...]
    """What the delta says of its edits."""
    recorded: bool
    """Whether a journal names it."""


@dataclass(frozen=True)
class Status:
    """Which deltas are in a model."""

    model: Model
    """The model."""
    deltas: tuple[DeltaState, ...]
    """All deltas that were asked about, in the order of their application as far as it is recorded."""
    interrupted: bool
    """Whether an in-place run was killed."""

    @property
    def applied(self) -> tuple[str, ...]:
        """The ids of those that are wholly in the model."""
        return tuple(delta.delta_id for delta in self.deltas if delta.presence == "applied")


def status(model: Model, deltas: Sequence[Delta] = ()) -> Status:
    """Hashes the tensors that the recorded deltas and the given ones edit, and says which of them are in the model.

    A later recorded delta over the same tensors is peeled off first: what lies below it is judged by its base.
    """
    journal_place = journal.locate_journal(model)
    stack = journal.entries(journal_place)
    recorded = [(part.component, part.name) for entry in stack for part in entry.ranges]
    now = _TensorHashes(model, [record for delta in deltas for record in delta.sites], recorded)
    peeled: dict[tuple[str, str], str] = {}
    states: list[DeltaState] = []
    for entry in reversed(stack):
        found = {
            (p.component, p.name): _compare_with_range(p, peeled.get((p.component, p.name)) or now(p))
            for p in entry.ranges
        }
        states += [
            _delta_state(d["delta_id"], _read_edits(d), _select_delta(found, entry, d["delta_id"]), True)
            for d in entry.deltas
        ]
        peeled |= {(p.component, p.name): p.base for p in entry.ranges if found[p.component, p.name] == "result"}
    known = {state.delta_id for state in states if state.presence == "applied"}
    for delta in deltas:
        if delta.delta_id not in known:
            parts = {f"{r.site.component}/{r.site.name}": now.judge(r) for r in delta.sites}
            states = [state for state in states if state.delta_id != delta.delta_id]
            states.insert(0, _delta_state(delta.delta_id, delta.edits, parts, False))
    return Status(model, tuple(reversed(states)), journal.interrupted_entry(journal_place) is not None)


class _TensorHashes:
    """The tensors' sha256, each read once."""

    def __init__(self, model: Model, records: Sequence[SiteRecord], recorded: Sequence[tuple[str, str]]) -> None:
        self._model = model
        self._records, self._recorded = records, recorded
        self._root = journal.locate_journal(model).root
        self._opened: dict[str, Checkpoint | None] = {}
        self._known: dict[tuple[str, str], str] = {}

    def _open(self, name: str) -> Checkpoint | None:
        if name not in self._opened:
            try:
                records = [record for record in self._records if record.site.component == name]
                opened = find_sites(self._model.component(name), records)
                written = [tensor for component, tensor in self._recorded if component == name]
                self._opened[name] = opened if opened.graph else respell(opened, written)
            except EditcError as error:
                if error.diagnostics[0].code != "E615":
                    raise
                self._opened[name] = None
        return self._opened[name]

    def __call__(self, part: EditedRange) -> str:
        key, checkpoint = (part.component, part.name), self._open(part.component)
        if checkpoint is not None and checkpoint.graph is not None:
            return self._hash_in_graph(part, checkpoint.graph)
        if checkpoint is None or part.name not in checkpoint.tensors:
            return ""
        if key not in self._known:
            self._known[key] = dtypes.sha256(checkpoint.raw(part.name))
        return self._known[key]

    def _hash_in_graph(self, part: EditedRange, graph: Graph) -> str:
        """A recorded tensor of an ONNX model, which may have no name but its place."""
        from editc.formats.containers.onnx_external import locate_tensors

        for place in locate_tensors(graph).values():
            if (place.file, place.offset, place.nbytes) == (self._root / part.file, part.offset, part.nbytes):
                return dtypes.sha256(read_range(place.file, place.offset, place.nbytes))
        return ""

    def judge(self, record: SiteRecord) -> TensorState:
        """What a tensor is to a delta that no journal names."""
        site, checkpoint = record.site, self._open(record.site.component)
        if checkpoint is None or site.name not in checkpoint.tensors:
            return "missing"
        tensor = checkpoint.where(site.name)
        if matrix_shape(tensor.shape) != stored_shape(site) or tensor.dtype not in dtypes.EDITABLE:
            return "neither"
        state, _ = match(record, tensor, checkpoint.raw(site.name))
        words: Mapping[str, TensorState] = {"already": "result", "unchanged": "either", "exact": "base", "cast": "base"}
        return words.get(state, "neither")


def _compare_with_range(part: EditedRange, digest: str) -> TensorState:
    if not digest:
        return "missing"
    if part.base == part.result == digest:
        return "either"
    return "result" if digest == part.result else "base" if digest == part.base else "neither"


def _select_delta(
    found: Mapping[tuple[str, str], TensorState], entry: JournalEntry, delta_id: str
) -> Mapping[str, TensorState]:
    parts = [part for part in entry.ranges if part.delta == delta_id]
    return {f"{p.component}/{p.name}": found[p.component, p.name] for p in parts}


def _read_edits(summary: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    edits = summary.get("edits")
    return tuple(edit for edit in edits if isinstance(edit, dict)) if isinstance(edits, list) else ()


def _delta_state(
    delta_id: str, edits: tuple[Mapping[str, Any], ...], parts: Mapping[str, TensorState], recorded: bool
) -> DeltaState:
    kinds = set(parts.values()) - {"either"}
    presence: Presence = "unknown"
    if kinds == {"result"}:
        presence = "applied"
    elif kinds == {"base"}:
        presence = "not applied"
    elif kinds == {"result", "base"}:
        presence = "partly"
    return DeltaState(delta_id, presence, dict(parts), edits, recorded)
