"""`editc stack build`: learn the slices of a data set one after another, in one order or several."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from editc.core.diagnostics import Diagnostic, fail
from editc.core.language_edits import Learn
from editc.core.ports import Progress, announce
from editc.core.storage.disk import clear
from editc.formats.exports.read import read_delta
from editc.formats.models.model import Model, open_model
from editc.stacking.files import STACK, link_order, order_folder, slice_folder
from editc.stacking.orders import cyclic_orders
from editc.verbs.kind import OpenedManifest
from editc.verbs.open import require_manifest
from editc.verbs.paths import DELTA
from editc.verbs.results import Built

WORKING = "model"
"""The folder in a stack's folder that holds the model with the slices so far, while an order is learned."""


@dataclass(frozen=True)
class BuiltSlice:
    """One slice that was learned."""

    order: int
    """The number of the order, from 1."""
    slices: tuple[int, ...]
    """The slices so far, the one that was learned last."""
    built: Built
    """What its build gave."""


@dataclass(frozen=True)
class BuiltStack:
    """What `editc stack build` gave."""

    slices: tuple[BuiltSlice, ...]
    """Every slice of every order, as learned."""
    linked: Path | None
    """The delta of the first order. None if a bound was broken: the orders end there."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The errors of the slice that broke a bound, and each warning once."""
        found = [one for made in self.slices for one in (*made.built.failures, *made.built.warnings)]
        return tuple(dict.fromkeys(found))


def build_stack(
    manifest: Path, out: Path, slices: int, orders: int = 1, set_: Sequence[str] = (), progress: Progress | None = None
) -> BuiltStack:
    """Learn the file of a manifest's edit `learn` in `slices` slices, in `orders` orders, into the folder `out`.

    Each slice is a build of the manifest with its own `slices`, `of` and `after`, on the model with the earlier slices
    in it. Raises E658 for a manifest that does not learn one file, and for a folder that has a stack already.
    """
    opened = require_manifest(manifest, set_)
    learn = _require_learn(opened)
    if out.exists() and any(out.iterdir()):
        raise fail("E658", "the folder is not empty", place=str(out), help="name a new folder, or remove this one")
    filled = _filled_slices(opened, learn, slices)
    found: list[BuiltSlice] = []
    for number, order in enumerate(cyclic_orders(filled, orders), 1):
        for one in _learn_order(manifest, out, number, order, (slices, *set_), opened.model, progress):
            found.append(one)
            if one.built.delta is None:
                return BuiltStack(tuple(found), None)
    return BuiltStack(tuple(found), link_order(out, 1, filled, out / STACK))


def _require_learn(opened: OpenedManifest) -> Learn:
    """The edit of a manifest that learns one whole file. Raises E658 for any other."""
    edit = opened.manifest.edits[0]
    help_ = "write `edits: [{learn: {file: ...}}]`; `--slices` divides the file"
    if not isinstance(edit, Learn):
        raise fail("E658", "the manifest has no edit `learn`", place=opened.manifest.source.name, help=help_)
    named = "`of`" if edit.of > 1 else "`sites: layers`" if opened.manifest.sites.layers else ""
    if named or opened.manifest.after:
        message = f"a stack chooses {named or '`after`'} for each slice, and the manifest names it"
        raise fail("E658", message, place=opened.manifest.source.name, help="remove it from the manifest")
    return edit


def _filled_slices(opened: OpenedManifest, learn: Learn, of: int) -> tuple[int, ...]:
    """The slices that have rows, in ascending order."""
    from editc.manifests.data_sets import read_keyed_rows
    from editc.manifests.faults import Faults
    from editc.manifests.slices import slice_of

    source = opened.manifest.source
    text = (Path(source.name).parent / learn.data.file).read_text(encoding="utf-8-sig")
    rows = read_keyed_rows(learn.data.file, text, learn.by, Faults(source))
    return tuple(sorted({slice_of(key, of) for key, _ in rows}))


def _learn_order(
    manifest: Path,
    out: Path,
    number: int,
    order: tuple[int, ...],
    given: tuple[int | str, ...],
    base: Model,
    progress: Progress | None,
) -> Iterator[BuiltSlice]:
    """Learn the slices of one order, from the top of the model down. `given`: the number of slices, and overrides."""
    from editc.formats.apply.apply import apply
    from editc.formats.apply.plan import plan_apply
    from editc.verbs.build import build

    model, parents, working = base, list[str](), out / WORKING
    of, *set_ = given
    try:
        for depth in range(1, len(order) + 1):
            announce(progress, f"order {number}, slice {depth} of {len(order)}")
            folder = slice_folder(order_folder(out, number), depth)
            own = [f"edits.0.learn.of={of}", f"edits.0.learn.slices={list(order[:depth])}"]
            after = [f"after=[{', '.join(parents)}]"] if parents else []
            built = build(manifest, folder, (*map(str, set_), *own, *after), progress, model=model)
            assert built is not None
            yield BuiltSlice(number, order[:depth], built)
            if built.delta is None or depth == len(order):
                return
            delta = read_delta(folder / DELTA)
            parents.append(delta.delta_id)
            apply(plan_apply([delta], model), working if model is base else None, in_place=model is not base)
            model = open_model(working)
    finally:
        clear(working)
        for left in out.glob(f"{WORKING}.*"):
            shutil.rmtree(left, ignore_errors=True)
