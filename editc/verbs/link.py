"""`editc link`: put several deltas into one, and measure the claims of each with all of them in the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from editc.cache.disk import without_imported
from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, fail
from editc.core.measurements import GENERATED_CLAIMS, RUN_CLAIMS, Claim
from editc.core.ports import Progress, announce
from editc.core.solution import Verified
from editc.core.storage import disk
from editc.core.storage.disk import make_parent
from editc.formats.containers.canonical import canonical_json
from editc.formats.delta.container import write_delta
from editc.formats.delta.parts import parts
from editc.formats.diff.diff import has_manifest
from editc.formats.exports.read import read_delta
from editc.formats.link.check import built_on
from editc.formats.link.link import Arrangement, arrange, link
from editc.formats.link.overlap import Overlap, measure_overlaps
from editc.formats.models.model import Model, open_model
from editc.opening.default_list import default_prompts
from editc.opening.recorded import recorded_manifest
from editc.verbs.open import kind_of, open_decoded
from editc.verbs.recheck import counts_pictures, derive_recorded, measure_solution, solution_of_part

LOCK_SUFFIX = ".lock.json"
"""Ending of the lock file, which replaces the delta's own ending."""


@dataclass(frozen=True)
class LinkedPart:
    """One of the deltas that were linked, with its claims measured again."""

    delta: Delta
    """The delta that went in."""
    label: str
    """Its file, for messages; with the number of the part if a linked delta is verified. Empty if unknown."""
    verified: Verified | None
    """Its claims measured with all parts in the weights. None if nothing was measured."""
    conflicts: tuple[str, ...] = ()
    """Names that another part erases and that this part's manifest asks to preserve."""

    def compared_claims(self) -> tuple[tuple[Claim, float | None], ...]:
        """Each claim as measured now, with the value that the delta claimed alone. None: it did not claim it."""
        alone = {(claim["name"], claim.get("subject", "")): float(claim["value"]) for claim in self.delta.claims}
        drifts = {name: value for (name, _), value in alone.items() if name.endswith("_drift")}
        now = self.verified.report.claims if self.verified else ()
        return tuple((c, alone.get((c.name, c.subject), drifts.get(c.name))) for c in now)


@dataclass(frozen=True)
class Linked:
    """The result of a link."""

    arrangement: Arrangement
    """The deltas in the order that counts, and the sites that several of them edit."""
    overlaps: tuple[Overlap, ...]
    """How the edits relate at each site that several deltas edit. Empty without a model."""
    parts: tuple[LinkedPart, ...]
    """Every part, in the order of the linked delta."""
    delta: Delta | None
    """The linked delta as written. None if a bound is broken: then nothing was written."""
    failures: tuple[Diagnostic, ...]
    """One E501 for each bound of a part that no longer holds."""
    files: tuple[Path, ...]
    """The files that were written: the delta and its lock file. Empty if a bound is broken."""

    @property
    def measured(self) -> bool:
        """True if every part was measured again."""
        return all(part.verified is not None for part in self.parts)


def link_files(
    paths: Sequence[Path],
    out: Path,
    model: str | None,
    composed: bool,
    tool: str,
    progress: Progress | None = None,
    detector: str = "",
) -> Linked:
    """Link the deltas in `paths` into `out` and write a lock file beside it. Writes nothing if a bound is broken.

    Raises E630 if `out` is one of `paths`, E650 to E656 if the deltas do not fit together, and the errors of reading,
    deriving and verifying.
    """
    if out.resolve() in [path.resolve() for path in paths]:
        message = "the linked delta would overwrite one of its inputs"
        raise fail("E630", message, place=str(out), help="choose another path")
    read = [(path, read_delta(path)) for path in paths]
    arrangement = arrange([delta for _, delta in read], composed)
    opened = None if model is None else open_model(model)
    linked = link(arrangement, opened, tool)
    labels = {part.delta_id: str(path) for path, delta in read for part in parts(delta)}
    overlapping = tuple(measure_overlaps(arrangement, linked, opened)) if opened else ()
    measured = (
        measure_parts(linked, labels, opened, progress, detector) if opened else _unmeasured_parts(linked, labels)
    )
    broken = tuple(fault for part in measured if part.verified for fault in _failures(part.verified))
    if broken:
        return Linked(arrangement, overlapping, measured, None, broken, ())
    make_parent(out)
    linked = write_delta(replace(linked, claims=tuple(_linked_claims(arrangement, measured))), out)
    lock = out.with_suffix(LOCK_SUFFIX)
    by_id = {delta.delta_id: path for path, delta in read}
    with disk.guard_writes(lock):
        disk.replace_file(lock, _lock_text(arrangement, by_id, out, linked, tool).encode())
    return Linked(arrangement, overlapping, measured, linked, (), (out, lock))


def measure_parts(
    linked: Delta, labels: Mapping[str, str], model: Model, progress: Progress | None = None, detector: str = ""
) -> tuple[LinkedPart, ...]:
    """Derive the problem of each part again on `model`, and measure its claims with the weights that `linked` makes.

    A part without a manifest (a difference of two checkpoints) has no claims to measure. As in one build of all edits,
    prompts of the default list that name what another part erases are not preserved, and what another part edits is no
    bystander.
    """
    every, measured = parts(linked), []
    for part in every:
        label, erased = labels.get(part.delta_id, ""), _erased_names(every, but=part)
        measured.append(_measure_part(part, linked, label, model, erased, progress, detector))
    return tuple(measured)


def _measure_part(
    part: Delta,
    linked: Delta,
    label: str,
    model: Model,
    erased: Sequence[str],
    progress: Progress | None,
    detector: str,
) -> LinkedPart:
    """Measure one part. `erased` are the names that the other parts erase."""
    from editc.core.text import mentions

    if not has_manifest(part):
        return LinkedPart(part, label, None)
    manifest = recorded_manifest(part, Path(label or part.delta_id[:12]), detector)
    ctx = without_imported(kind_of(manifest).open_ports(open_decoded(manifest, model), progress))
    corpus = [p for p in default_prompts(model, manifest, ctx) if not any(mentions(p, name) for name in erased)]
    announce(progress, "measuring the claims again")
    problem = derive_recorded(part, manifest, model.place, corpus, ctx)
    preserved = (*manifest.preserve.concepts, *manifest.preserve.prompts, *manifest.preserve_lines)
    conflicts = tuple(name for name in erased if any(mentions(p, name) for p in preserved))
    return LinkedPart(part, label, measure_solution(solution_of_part(part, linked, problem), ctx, erased), conflicts)


def _failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound."""
    return kind_of(verified.solution.problem.plan.manifest).failures(verified)


def _erased_names(every: Sequence[Delta], but: Delta) -> list[str]:
    """The names that all parts except `but` erase, each once."""
    edits = [edit for part in every if part is not but for edit in part.edits if edit.get("kind") != "moderate"]
    names = [name for edit in edits for name in (edit.get("concept"), *(edit.get("also") or ()))]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _unmeasured_parts(linked: Delta, labels: Mapping[str, str]) -> tuple[LinkedPart, ...]:
    """The parts of a delta that is linked without a model."""
    return tuple(LinkedPart(part, labels.get(part.delta_id, ""), None) for part in parts(linked))


def _linked_claims(arrangement: Arrangement, measured: Sequence[LinkedPart]) -> list[Mapping[str, Any]]:
    """The claims of the linked delta: for each part, what was measured.

    A part that was not measured keeps the claims about its own matrices if no other delta edits them, because they are
    then still true. What was counted on pictures or on what the whole model says is no longer, once another delta is in
    the weights. A delta that was built on others has figures of another model, so that no part keeps any.
    """
    from editc.passes.emit import claim_as_json

    alone = not any(built_on(delta, arrangement.deltas) for delta in arrangement.deltas)
    several = len(arrangement.deltas) > 1
    found: list[Mapping[str, Any]] = []
    for number, part in enumerate(measured):
        claims = [dict(claim_as_json(claim)) for claim in part.verified.report.claims] if part.verified else []
        if part.verified is None and alone and not _shares_sites(part.delta, arrangement):
            claims = [dict(claim) for claim in part.delta.claims if _stays_true(str(claim["name"]), several)]
        found += [claim | {"part": number} for claim in claims]
    return found


def _stays_true(name: str, several: bool) -> bool:
    """True for a claim that other deltas on other matrices leave as it is; `several`: there are some."""
    return not counts_pictures(name) and not (several and name in RUN_CLAIMS | GENERATED_CLAIMS)


def _shares_sites(part: Delta, arrangement: Arrangement) -> bool:
    """True if another delta edits a site of this part."""
    return any((record.site.component, record.site.name) in arrangement.overlap for record in part.sites)


def _lock_text(arrangement: Arrangement, paths: Mapping[str, Path], out: Path, made: Delta, tool: str) -> str:
    """The lock file: which deltas went in, in the order that counts, and the result. It has file names, not paths."""
    inputs = [_file_record(paths[delta.delta_id], delta) for delta in arrangement.deltas]
    order = "composed" if arrangement.composed else "added"
    record = {"format": "editc-link", "version": 1, "inputs": inputs, "order": order, "result": _file_record(out, made)}
    return canonical_json(record | {"tool": tool}) + "\n"


def _file_record(path: Path, delta: Delta) -> Mapping[str, str]:
    """The entry of one delta in the lock file."""
    return {"name": path.name, "delta_id": delta.delta_id, "sha256": sha256(path.read_bytes()).hexdigest()}
