"""The formats of a manifest's `emit`: refused early, written beside the delta, tried, and told in the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.disk import clear
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.formats.apply import destination
from editc.formats.exports import write
from editc.formats.exports.format import Job
from editc.formats.exports.lowering import without_adapter
from editc.formats.models.model import Model
from editc.registry.formats import FORMATS

ONE_FILE = ".safetensors"
"""The ending of a `checkpoint` export whose model is one file."""


def format_faults(manifest: Manifest, plan: Plan) -> tuple[Diagnostic, ...]:
    """Each at its place in `emit`: E680 for formats that cannot hold deltas of this family, E677 for those that cannot
    hold this one, as far as it is known before it is solved."""
    return tuple(
        replace(fault, span=manifest.at(f"emit.{index}"), source=manifest.source)
        for index, name in enumerate(manifest.emit)
        for fault in write.refusals([name], plan.family.name) or _plan_faults(name, manifest, plan)
    )


def family_faults(manifest: Manifest, family: str) -> tuple[Diagnostic, ...]:
    """E680 and E669 for the formats in `emit`, each at its place, which is all that can be said without the sites."""
    return tuple(
        replace(fault, span=manifest.at(f"emit.{index}"), source=manifest.source)
        for index, name in enumerate(manifest.emit)
        for fault in write.refusals([name], family)
    )


def _plan_faults(name: str, manifest: Manifest, plan: Plan) -> Iterator[Diagnostic]:
    form, ablations = write.find_format(name), manifest.ablations
    help_ = without_adapter(plan.family.name)
    if form.low_rank and any(edit.options.get("norms") for edit in ablations):
        message = f"`norms: true` makes the edit dense, and `{name}` is an adapter of low rank, which cannot hold it"
        yield Diagnostic("E677", message, help=f"{help_}; or leave `norms` out")
    elif why := form.lost([site.name for site in plan.sites]):
        yield Diagnostic("E677", why, help=help_)


def emit_exports(
    manifest: Manifest, delta: Delta, model: Model, out: Path
) -> tuple[tuple[write.Export, ...], tuple[Diagnostic, ...]]:
    """Each format of `emit` beside the delta, and what stands against them: a format that fails stops no other."""
    made: list[write.Export] = []
    faults: list[Diagnostic] = []
    for name, file in write.outputs(manifest.emit).items():
        if name == "safetensors":
            continue
        try:
            one = write.export(Job(delta, model, out / file), name)
        except EditcError as error:
            faults += error.diagnostics
        else:
            made.append(one)
            faults += one.failures
    return tuple(made), tuple(faults)


def remove_last_exports(report: Path, model: Model) -> None:
    """Removes the exports of the build before: what its report lists, and nothing else that has their names.

    A model that was emitted and is now built upon stays.
    """
    folder = report.parent
    for name in sorted(_files_in_report(report)):
        if not model.path.resolve().is_relative_to((folder / name).resolve()):
            for path in (folder / name, destination.state_of(folder / name)):
                clear(path)


def set_aside(out: Path, name: str, files: Iterable[str], model: Model) -> None:
    """Moves the files of the build before, and its exports, from `out` into the folder of that name inside it."""
    own = [
        one
        for one in sorted(_files_in_report(out / "report.json"))
        if not model.path.resolve().is_relative_to(out / one)
    ]
    made = [path for one in own for path in (out / one, destination.state_of(out / one))]
    aside = out / name
    clear(aside)
    aside.mkdir()
    for path in (*(out / one for one in files), *made):
        if path.exists():
            path.rename(aside / path.name)


def describe_exports(exports: Iterable[write.Export], out: Path) -> list[Mapping[str, Any]]:
    """What the report says of them: files relative to it, who read them, what rounding cost."""
    beside = out.absolute()
    return [
        {
            "format": one.format,
            "files": [path.absolute().relative_to(beside).as_posix() for path in one.written.files],
            "delta_id": one.written.delta.delta_id,
            "rounding": one.written.rounding,
            "consumers": [vars(trial) | {"passed": trial.passed} for trial in one.trials],
            "notes": list(one.written.notes),
        }
        for one in exports
    ]


def _files_in_report(report: Path) -> Iterator[str]:
    try:
        record = json.loads(report.read_text(encoding="utf-8"))
        files = [Path(file) for one in record.get("exports", ()) for file in one["files"]]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return
    known = {form.output for name, form in FORMATS.each() if name != "safetensors"}
    known |= {name + ONE_FILE for name in known}
    yield from {file.parts[0] for file in files if file.parts and file.parts[0] in known}
