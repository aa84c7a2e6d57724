"""Which deltas are in a model. The hashes of its tensors decide; the journal only says which deltas to look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from editc.core.delta import Delta, SiteRecord
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import matrix_shape, stored_shape
from editc.formats.apply import journal
from editc.formats.apply.carried import name_edits
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
"""The state of one delta in a model. `applied`: its tensors hold the results. `partly`: some do, the others hold their
bases. `not applied`: they hold their bases. `unknown`: any holds other bytes or is missing, or none tells base from
result."""
TensorState = Literal["result", "base", "neither", "either", "missing"]
"""What a tensor's bytes are, for one delta: its `result`; its `base`; `neither`; `either`, if base and result are
equal; or `missing`, if the model lacks the tensor."""


@dataclass(frozen=True)
class DeltaState:
    """The state of one delta in one model."""

    delta_id: str
    """The id of the delta."""
    presence: Presence
    """Whether the model holds the delta, by the hashes of its tensors."""
    tensors: Mapping[str, TensorState]
    """`component/name` -> what the tensor's bytes are."""
    edits: tuple[Mapping[str, Any], ...]
    """What the delta says of its edits: one mapping each."""
    recorded: bool
    """True if the model's journal names the delta."""
    after: tuple[str, ...] = ()
    """The ids of its parents: the deltas that were in the model when it was built, and that it holds."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    """What its build measured of each delta that was in the model. Empty where it records nothing of it."""


@dataclass(frozen=True)
class Status:
    """Which deltas are in a model."""

    model: Model
    """The model."""
    deltas: tuple[DeltaState, ...]
    """Every delta that the journal names or the caller gave, in the order of application as far as that is recorded."""
    interrupted: bool
    """True if an apply in place was killed, so that the weights may be a mixture."""
    notes: tuple[str, ...] = ()
    """Sentences for people, such as how much of a model that lies elsewhere was read."""

    def __repr__(self) -> str:
        """A short text, because a status has the state of every tensor."""
        states = ", ".join(f"{one.delta_id[:12]} {one.presence}" for one in self.deltas[:3]) or "no delta known"
        more = ", ..." if len(self.deltas) > 3 else ""
        return f"<Status of {self.model.place}: {states}{more}{'; interrupted' if self.interrupted else ''}>"

    def _repr_html_(self) -> str:
        """The deltas and their states, for notebooks."""
        from editc.notebook.table import table

        rows = [(one.delta_id[:12], one.presence, name_edits(one.edits)) for one in self.deltas]
        notes = ["an apply in place was killed: run `editc.revert`, or apply again"] if self.interrupted else []
        return table(f"Deltas in {self.model.place}", rows or [("none that is known",)], notes)

    @property
    def applied(self) -> tuple[str, ...]:
        """The ids of the deltas that are wholly in the model."""
        return tuple(delta.delta_id for delta in self.deltas if delta.presence == "applied")


def status(model: Model, deltas: Sequence[Delta] = ()) -> Status:
    """Hash the tensors that recorded and given deltas edit, and say which of these deltas the model holds.

    If a later recorded delta edited the same tensor and its result is there, an earlier one is judged by the bytes that
    the later one replaced.
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
            replace(
                _delta_state(d["delta_id"], _read_edits(d), _select_delta(found, entry, d["delta_id"]), True),
                after=_read_parents(d),
                earlier=_read_earlier(d),
            )
            for d in entry.deltas
        ]
        peeled |= {(p.component, p.name): p.base for p in entry.ranges if found[p.component, p.name] == "result"}
    known = {state.delta_id for state in states if state.presence == "applied"}
    for delta in deltas:
        if delta.delta_id not in known:
            parts = {f"{r.site.component}/{r.site.name}": now.judge(r) for r in delta.sites}
            states = [state for state in states if state.delta_id != delta.delta_id]
            state = _delta_state(delta.delta_id, delta.edits, parts, False)
            parents, earlier = _read_parents(delta.extra), _read_earlier(delta.extra)
            states.insert(0, replace(state, after=parents, earlier=earlier))
    return Status(model, tuple(reversed(states)), journal.interrupted_entry(journal_place) is not None)


class _TensorHashes:
    """The sha256 of a model's tensors. Each tensor is read once."""

    def __init__(self, model: Model, records: Sequence[SiteRecord], recorded: Sequence[tuple[str, str]]) -> None:
        self._model = model
        self._records, self._recorded = records, recorded
        self._root = journal.locate_journal(model).root
        self._opened: dict[str, Checkpoint | None] = {}
        self._known: dict[tuple[str, str], str] = {}

    def _open(self, name: str) -> Checkpoint | None:
        """Open a component with its tensors under the names that the deltas use. None if the model lacks it."""
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
        """The sha256 of a recorded tensor's bytes; '' if the model lacks it."""
        key, checkpoint = (part.component, part.name), self._open(part.component)
        if checkpoint is not None and checkpoint.graph is not None:
            return self._hash_in_graph(part, checkpoint.graph)
        if checkpoint is None or part.name not in checkpoint.tensors:
            return ""
        if key not in self._known:
            self._known[key] = dtypes.sha256(checkpoint.raw(part.name))
        return self._known[key]

    def _hash_in_graph(self, part: EditedRange, graph: Graph) -> str:
        """The sha256 of a recorded tensor of an ONNX model, found by its position: the name may differ. '' if nothing
        is there."""
        from editc.formats.containers.onnx_external import locate_tensors

        for place in locate_tensors(graph).values():
            if (place.file, place.offset, place.nbytes) == (self._root / part.file, part.offset, part.nbytes):
                return dtypes.sha256(read_range(place.file, place.offset, place.nbytes))
        return ""

    def judge(self, record: SiteRecord) -> TensorState:
        """Compare a tensor with a delta that the journal does not name."""
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
    """Compare a tensor's sha256 (`digest`, '' if the model lacks it) with its hashes in the journal."""
    if not digest:
        return "missing"
    if part.base == part.result == digest:
        return "either"
    return "result" if digest == part.result else "base" if digest == part.base else "neither"


def _select_delta(
    found: Mapping[tuple[str, str], TensorState], entry: JournalEntry, delta_id: str
) -> Mapping[str, TensorState]:
    """Select the states of the tensors that one delta of an entry edited."""
    parts = [part for part in entry.ranges if part.delta == delta_id]
    return {f"{p.component}/{p.name}": found[p.component, p.name] for p in parts}


def _read_edits(summary: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Read the edits of a delta from a journal's summary. Entries that are not mappings are left out."""
    edits = summary.get("edits")
    return tuple(edit for edit in edits if isinstance(edit, dict)) if isinstance(edits, list) else ()


def _read_parents(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the ids of a delta's parents from a journal's summary or a delta's description. Others than texts are left
    out."""
    after = summary.get("after")
    return tuple(one for one in after if isinstance(one, str)) if isinstance(after, list) else ()


def _read_earlier(summary: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Read what a delta's build measured of earlier ones. Entries that are not mappings with an id are left out."""
    found = summary.get("earlier")
    every = found if isinstance(found, list) else []
    return tuple(one for one in every if isinstance(one, dict) and isinstance(one.get("delta_id"), str))


def _delta_state(
    delta_id: str, edits: tuple[Mapping[str, Any], ...], parts: Mapping[str, TensorState], recorded: bool
) -> DeltaState:
    """Conclude from the states of its tensors whether a delta is in the model."""
    kinds = set(parts.values()) - {"either"}
    presence: Presence = "unknown"
    if kinds == {"result"}:
        presence = "applied"
    elif kinds == {"base"}:
        presence = "not applied"
    elif kinds == {"result", "base"}:
        presence = "partly"
    return DeltaState(delta_id, presence, dict(parts), edits, recorded)
