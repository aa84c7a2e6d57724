"""Read the ledger of a model, from its journal and the deltas that are named beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.formats.apply.status import DeltaState, Presence, Status


@dataclass(frozen=True)
class Parent:
    """A delta that was in the model when another one was built."""

    delta_id: str
    """Its id."""
    here: bool
    """True if it is in this model, and was applied before."""


@dataclass(frozen=True)
class LogEntry:
    """One delta in the ledger of a model."""

    delta_id: str
    """Its id."""
    presence: Presence
    """Whether the model holds it, by the hashes of its tensors."""
    edits: tuple[Mapping[str, Any], ...]
    """What it says of its edits."""
    parents: tuple[Parent, ...]
    """The deltas on which it was built. Empty: it was built on the unedited model, or does not say."""
    holds: tuple[str, ...]
    """The texts at whose ends later edits must leave the outputs as they are, one for each key."""
    overwrites: tuple[str, ...]
    """Ids of deltas before it that wrote at one of its keys."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    """What its build measured of each delta that was in the model, as report.json has it."""


@dataclass(frozen=True)
class Log:
    """The ledger of a model."""

    place: str
    """Where the model is."""
    entries: tuple[LogEntry, ...]
    """Its deltas, in the order of application."""
    notes: tuple[str, ...]
    """Sentences about what does not fit together."""

    def __repr__(self) -> str:
        """A short text, because an entry has every key."""
        return f"<Log of {self.place}: {len(self.entries)} deltas>"


def read_log(found: Status) -> Log:
    """The ledger of a model, from what `status` found in it."""
    entries = tuple(_entries(found.deltas))
    return Log(found.model.place, entries, tuple(_notes(entries, found.interrupted)))


def _entries(deltas: Sequence[DeltaState]) -> Iterator[LogEntry]:
    """One entry for each delta, with its parents among those before it."""
    before: dict[str, frozenset[str]] = {}
    for one in deltas:
        keys = [key for edit in one.edits for key in _keys(edit)]
        texts = frozenset(text for key in keys for text in key)
        parents = tuple(Parent(parent, parent in before) for parent in one.after)
        again = tuple(name for name, theirs in before.items() if theirs & texts)
        yield LogEntry(
            one.delta_id, one.presence, one.edits, parents, tuple(key[0] for key in keys), again, one.earlier
        )
        if one.presence == "applied":
            before[one.delta_id] = texts


def _keys(edit: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The texts of each key that an edit's record holds. Malformed entries are left out: a journal may be forged."""
    holds = edit.get("holds")
    for key in holds if isinstance(holds, list) else ():
        texts = key.get("texts") if isinstance(key, Mapping) else None
        if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
            yield tuple(texts)


def _notes(entries: Sequence[LogEntry], interrupted: bool) -> Iterator[str]:
    """What does not fit together."""
    if interrupted:
        yield "an apply was interrupted: run it again, or run `editc revert`"
    for one in entries:
        for parent in one.parents:
            if not parent.here:
                yield (
                    f"{one.delta_id[:12]} was built on {parent.delta_id[:12]}, which is not in this model before it: "
                    "its figures were measured on another model"
                )
    for number, one in enumerate(entries):
        written = any(other.holds and other.presence == "applied" for other in entries[:number])
        if written and one.holds and not one.parents:
            yield f"{one.delta_id[:12]} was built without `after`: it does not hold what the deltas before it wrote"
