"""The deltas that a language model's manifest names under `after`: what they ask of later edits.

A delta is named by its file, or by its id where the model's journal names it. The journal is then the ledger: it has
what each delta's edits ask of later ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from editc.core.delta import Delta
from editc.core.diagnostics import fail, pointing_at
from editc.core.language_problem import EarlierEdits
from editc.verbs.kind import OpenedManifest

if TYPE_CHECKING:  # a manifest without `after` needs none of these
    from editc.formats.apply.status import DeltaState

IN_MODEL = ("result", "either")
"""States of a tensor, from `formats.apply.status`, which mean that the delta's result is in the model."""
REASONS = {"missing": "is missing", "base": "is unedited"}
"""State of a tensor that is not the delta's result -> the words for it in a message."""
ID = re.compile(r"[0-9a-f]{8,64}")
"""The id of a delta, or its beginning, of at least eight digits."""


def find_earlier_edits(opened: OpenedManifest) -> Mapping[str, EarlierEdits]:
    """For each delta under `after`, by its id, what it asks of later edits.

    A linked delta asks what all its parts do. Errors in reading a delta underline its name in the manifest. Raises
    E213 for a delta of an image model, for one that records no keys, and for one that is not in this model.
    """
    from editc.formats.exports.read import read_delta

    manifest = opened.manifest
    found: dict[str, EarlierEdits] = {}
    files: dict[int, Delta] = {}
    for index, name in enumerate(manifest.after):
        with pointing_at(manifest, f"after.{index}"):
            path = Path(manifest.source.name).parent / name
            if ID.fullmatch(name) and not path.exists():
                state = _find_recorded(opened, name)
                found[state.delta_id] = _edits_of_record(state, name)
                continue
            files[index] = read_delta(path)
            found[files[index].delta_id] = _edits_of_file(files[index], name)
    _require_in_model(opened, files)
    return found


def find_ledger(opened: OpenedManifest, earlier: Mapping[str, EarlierEdits]) -> Mapping[str, EarlierEdits]:
    """What every delta in the model asks of later edits, in the order of application: those of `earlier`, and others
    that the journal names with their keys. Those that it does not name come first."""
    from editc.formats.apply.status import status
    from editc.passes.language.keys.key_spots import recorded_edits

    if not earlier:
        return {}
    found: dict[str, EarlierEdits] = {}
    for state in status(opened.model).deltas:
        recorded = recorded_edits(state.edits) if state.edits else None
        one = earlier.get(state.delta_id, recorded if state.presence == "applied" else None)
        if one is not None:
            found[state.delta_id] = one
    return {**{name: one for name, one in earlier.items() if name not in found}, **found}


def _find_recorded(opened: OpenedManifest, name: str) -> DeltaState:
    """The delta whose id begins with `name`, by the model's journal. Raises E213 if none or several do, or if it is not
    in the model any more."""
    from editc.formats.apply.status import status

    every = status(opened.model).deltas
    begun = {one.delta_id: one for one in every if one.delta_id.startswith(name)}
    help_text = "`editc log MODEL` lists the deltas of a model; or name the delta's file"
    if len(begun) != 1:
        why = f"{len(begun)} deltas whose ids begin" if begun else "no delta whose id begins"
        raise fail("E213", f"the model's journal names {why} with `{name}`", place=name, help=help_text)
    (state,) = begun.values()
    if state.presence != "applied":
        raise fail("E213", f"this delta is not applied to the model: it is {state.presence}", help=help_text)
    return state


def _edits_of_record(state: DeltaState, name: str) -> EarlierEdits:
    """What a recorded delta asks of later edits. Raises E213 if its records do not say."""
    from editc.passes.language.keys.key_spots import recorded_edits

    found = recorded_edits(state.edits)
    if found is None or not state.edits:
        message = f"the journal does not say which keys `{name}` wrote"
        raise fail("E213", message, place=name, help="name the delta's file: an older editc applied it")
    return found


def _edits_of_file(delta: Delta, name: str) -> EarlierEdits:
    """What all parts of a delta ask of later edits."""
    from editc.formats.delta.parts import parts

    every = [_edits_of_part(part, name) for part in parts(delta)]
    keys = tuple(group for one in every for group in one.keys)
    return EarlierEdits(keys, tuple(cloze for one in every for cloze in one.asked))


def _edits_of_part(part: Delta, name: str) -> EarlierEdits:
    """What the edits of one delta ask of later ones. `name` is the name of its file."""
    from editc.formats.diff.diff import has_manifest
    from editc.opening.recorded import recorded_manifest
    from editc.passes.language.keys.key_spots import earlier_edits, recorded_edits, written_where_carried

    if not has_manifest(part):
        message = f"`{name}` records no manifest, so editc does not know which keys to preserve"
        help_text = "name a delta that `editc build` wrote; one from `editc diff` has no manifest"
        raise fail("E213", message, place=name, help=help_text)
    earlier = recorded_manifest(part, Path(name))
    if earlier.kind != "language":
        help_text = "name deltas that were built for this language model"
        raise fail("E213", f"`{name}` edits an image model", place=name, help=help_text)
    found, recorded = earlier_edits(earlier), recorded_edits(part.edits)
    found_by_build = earlier.worst_rounds > 0 or any(map(written_where_carried, part.edits))
    if recorded is not None and found_by_build:
        return EarlierEdits(recorded.keys, found.asked)
    return found


def _require_in_model(opened: OpenedManifest, files: Mapping[int, Delta]) -> None:
    """Raise E213 if an edited tensor of a delta whose file is named under `after` is missing from the model, or differs
    from the delta's result. `files`: number under `after` -> the delta.

    A tensor may differ if another delta under `after` started from exactly that result.
    """
    for index, why in _missing(opened, files):
        help_text = "run `editc apply` first and name the edited model, or remove the delta from `after`"
        with pointing_at(opened.manifest, f"after.{index}"):
            raise fail("E213", f"this delta is not applied to the model: {why}", help=help_text)


def _missing(opened: OpenedManifest, files: Mapping[int, Delta]) -> Iterator[tuple[int, str]]:
    """The deltas that are not in the model, by their numbers under `after`, with the reason."""
    from editc.formats.apply.status import status

    deltas: Sequence[Delta] = tuple(files.values())
    states = {one.delta_id: one for one in status(opened.model, deltas).deltas} if deltas else {}
    bases = {(one.site.name, digest) for delta in deltas for one in delta.sites for digest in one.base.values()}
    for index, delta in files.items():
        results = {
            f"{r.site.component}/{r.site.name}": {(r.site.name, d) for d in r.result.values()} for r in delta.sites
        }
        state = states[delta.delta_id]
        tensors = {} if state.presence == "applied" else state.tensors
        differing = {
            n: what for n, what in tensors.items() if what not in IN_MODEL and not results.get(n, set()) & bases
        }
        if differing:
            first, what = next(iter(differing.items()))
            reason = REASONS.get(what, "has other weights")
            yield index, f"{len(differing)} of its {len(delta.sites)} tensors differ; `{first}` {reason}"
