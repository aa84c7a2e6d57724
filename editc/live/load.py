"""Load deltas into a model in memory, and unload them.

All hashes are checked before anything changes. A matrix is computed on the CPU by the code of `apply`, and then written
in place, so that its result is the same bit for bit. What leads back to the old bytes (`undo`) stays in memory until
`unload`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import fail
from editc.core.text import count, first_rows
from editc.formats.apply.carried import SHORT, name_edits
from editc.formats.apply.refusals import no_change_error
from editc.live import history
from editc.live.components import open_live
from editc.live.judge import edit_targets
from editc.live.plan import LoadPlan, plan_load
from editc.live.storage import locate, read, write
from editc.live.undo import Undo, remember
from editc.numerics.bits import dtypes


class Loaded:
    """Deltas that are in a model in memory, until `unload`. As a context manager it unloads them at the end."""

    def __init__(self, plan: LoadPlan, undo: Sequence[Undo]) -> None:
        self.plan = plan
        """What was decided: the targets, with what their weights were for the delta."""
        self.loaded = True
        """False after `unload`."""
        self.tensors = len(undo)
        """The number of tensors that were changed. 0 if the model held the whole edit before."""
        self._undo = tuple(undo)

    @property
    def bytes_kept(self) -> int:
        """Bytes of memory that `unload` needs."""
        return sum(one.nbytes for one in self._undo)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""
        return self.plan.notes

    def unload(self) -> None:
        """Give the weights back as they were, bit for bit.

        Raises E641 if that was done before, and E642 if something else changed the weights since; then nothing is
        changed.
        """
        if not self.loaded:
            raise fail("E641", "these deltas were unloaded before", place=self.plan.place, help=_LOAD_AGAIN)
        self._check_unchanged()
        for one in reversed(self._undo):
            one.undo()
            history.forget(one.slot, one.result)
        self._undo, self.loaded = (), False

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_: object) -> None:
        if self.loaded:
            self.unload()

    def __repr__(self) -> str:
        """Short text: what is in which model."""
        names = " and ".join(one.delta_id[:SHORT] for one in self.plan.deltas)
        state = "loaded into" if self.loaded else "unloaded from"
        return f"<Loaded: delta {names} {state} {self.plan.place}, {count(self.tensors, 'tensor')}>"

    def _repr_html_(self) -> str:
        """What is in which model, for notebooks."""
        from editc.notebook.table import size, table

        state = "Loaded into" if self.loaded else "Unloaded from"
        rows = [(one.delta_id[:SHORT], name_edits(one.edits)) for one in self.plan.deltas]
        written = f"{count(self.tensors, 'tensor')}, {size(self.bytes_kept)} kept"
        about = [("match", self.plan.tier), ("strength", self.plan.strength), ("changed", written)]
        return table(f"{state} {self.plan.place}", [*rows, *about], self.notes)

    def _check_unchanged(self) -> None:
        """Raise E642 if a matrix holds neither its result nor its old bytes."""
        found = ((one.target.record.site.name, self._find_change(one)) for one in self._undo)
        rows = [f"{name}: {why}" for name, why in found if why]
        if rows:
            message = f"{count(len(rows), 'tensor')} changed after the delta was loaded, the first is "
            message += f"'{rows[0].split(':')[0]}'; putting the old weights back would lose that change"
            help_text = "undo the later change first, or load the model again"
            raise fail("E642", message, place=self.plan.place, help=help_text, notes=first_rows(rows))

    def _find_change(self, one: Undo) -> str:
        """Say how a matrix was changed after the load, or ''."""
        if fault := locate(one.slot).fault:
            return fault
        now, site = dtypes.sha256(read(one.slot)), one.target.record.site
        if now in (one.result, one.target.base):
            return ""
        later = history.loaded_deltas([(site.component, site.name, now)], self.plan.slots)
        if later:
            return f"delta {later[-1]['delta_id'][:SHORT]} was loaded on top of it: unload that first"
        return "its numbers or its dtype are others"


_LOAD_AGAIN = "load them again with `editc.load`, which gives a new object"


def load(model: Any, deltas: Sequence[Delta], strength: float = 1.0, allow_finetune: bool = False) -> Loaded:
    """Load deltas into a model in memory. After an error the weights are what they were.

    Raises what `plan_load` raises, E625 (no weight changes), E626 (a result is not finite), E627 (another result than
    the delta records) and E640 (no model).
    """
    plan, undo = plan_load(deltas, open_live(model), strength, allow_finetune), list[Undo]()
    try:
        for one, new in _edits(plan):
            undo.append(one)
            write(one.slot, new)
        if plan.pending and all(one.result == one.target.base for one in undo):
            raise no_change_error(plan.place)
    except BaseException:
        for one in reversed(undo):
            one.undo()
        raise
    by_id = {delta.delta_id: delta for delta in plan.deltas}
    for one in undo:
        history.record(one.slot, one.result, by_id[one.target.delta_id])
    return Loaded(plan, undo)


def _edits(plan: LoadPlan) -> Iterator[tuple[Undo, bytes]]:
    """Yield each pending target with its old bytes, and its new bytes."""

    def read_matrix(component: str, name: str) -> bytes:
        return read(plan.slots[component, name])

    for one in edit_targets(plan.pending, read_matrix):
        yield remember(plan.slot(one.target), one.target, one.result, one.old, one.new), one.new
