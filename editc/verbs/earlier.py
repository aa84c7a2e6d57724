"""The deltas that a language model's manifest names under `after`: the prompt positions of their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from editc.core.delta import Delta
from editc.core.diagnostics import fail, pointing_at
from editc.core.network import Spot
from editc.verbs.kind import OpenedManifest

IN_MODEL = ("result", "either")
"""States of a tensor, from `formats.apply.status`, which mean that the delta's result is in the model."""
REASONS = {"missing": "is missing", "base": "is unedited"}
"""State of a tensor that is not the delta's result -> the words for it in a message."""


def find_earlier_keys(opened: OpenedManifest) -> Mapping[str, tuple[Spot, ...]]:
    """For each delta under `after`, by its id, the prompt positions at which its edits took their keys.

    A linked delta gives those of all its parts. Errors in reading a delta underline its name in the manifest. Raises
    E213 for a delta of an image model, for one that records no manifest, and for one that is not in this model.
    """
    from editc.formats.delta.parts import parts
    from editc.formats.exports.read import read_delta

    manifest = opened.manifest
    found: dict[str, tuple[Spot, ...]] = {}
    deltas: list[Delta] = []
    for index, name in enumerate(manifest.after):
        with pointing_at(manifest, f"after.{index}"):
            delta = read_delta(Path(manifest.source.name).parent / name)
            found[delta.delta_id] = tuple(spot for part in parts(delta) for spot in _key_spots(part, name))
            deltas.append(delta)
    _require_in_model(opened, deltas)
    return found


def _key_spots(part: Delta, name: str) -> Iterator[Spot]:
    """The prompt positions at which the edits of one delta took their keys. `name` is the name of its file."""
    from editc.formats.diff.diff import has_manifest
    from editc.opening.recorded import recorded_manifest
    from editc.passes.language.sentences import edit_spots

    if not has_manifest(part):
        message = f"`{name}` records no manifest, so editc does not know which keys to preserve"
        help_text = "name a delta that `editc build` wrote; one from `editc diff` has no manifest"
        raise fail("E213", message, place=name, help=help_text)
    earlier = recorded_manifest(part, Path(name))
    if earlier.kind != "language":
        help_text = "name deltas that were built for this language model"
        raise fail("E213", f"`{name}` edits an image model", place=name, help=help_text)
    yield from edit_spots(earlier)


def _require_in_model(opened: OpenedManifest, deltas: Sequence[Delta]) -> None:
    """Raise E213 if an edited tensor of a delta under `after` is missing from the model, or differs from the delta's
    result.

    A tensor may differ if another delta under `after` started from exactly that result.
    """
    from editc.formats.apply.status import status

    states = {one.delta_id: one for one in status(opened.model, deltas).deltas} if deltas else {}
    bases = {(one.site.name, digest) for delta in deltas for one in delta.sites for digest in one.base.values()}
    for index, delta in enumerate(deltas):
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
            why = f"{len(differing)} of its {len(delta.sites)} tensors differ; `{first}` {reason}"
            help_text = "run `editc apply` first and name the edited model, or remove the delta from `after`"
            with pointing_at(opened.manifest, f"after.{index}"):
                raise fail("E213", f"this delta is not applied to the model: {why}", help=help_text)
