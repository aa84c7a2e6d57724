"""The formats under `emit`: check early that they fit, write them beside the delta, test them, describe them for the
report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.storage.disk import clear
from editc.formats.apply import destination
from editc.formats.containers.table import SAFETENSORS
from editc.formats.exports import write
from editc.formats.exports.format import Job
from editc.formats.exports.lowering import advise_without_adapter
from editc.formats.models.model import Model
from editc.registry.formats import FORMATS


def format_faults(manifest: Manifest, plan: Plan) -> tuple[Diagnostic, ...]:
    """Find the formats under `emit` that cannot hold the edit, each with its place in the manifest.

    E680: the format holds no deltas of this family. E677: it cannot hold this delta, as far as the plan shows.
    """
    return tuple(
        replace(fault, span=manifest.at(f"emit.{index}"), source=manifest.source)
        for index, name in enumerate(manifest.emit)
        for fault in write.find_refusals([name], plan.family.name) or _plan_faults(name, manifest, plan)
    )


def family_faults(manifest: Manifest, family: str) -> tuple[Diagnostic, ...]:
    """Find the formats under `emit` that do not suit a family: E680 and E669, each with its place. Needs no plan."""
    return tuple(
        replace(fault, span=manifest.at(f"emit.{index}"), source=manifest.source)
        for index, name in enumerate(manifest.emit)
        for fault in write.find_refusals([name], family)
    )


def _plan_faults(name: str, manifest: Manifest, plan: Plan) -> Iterator[Diagnostic]:
    """E677 if the format cannot hold the edits or the sites of the plan."""
    form, ablations = write.find_format(name), manifest.ablations
    help_ = advise_without_adapter(plan.family.name)
    if form.low_rank and any(edit.options.get("norms") for edit in ablations):
        message = f"`norms: true` makes the edit dense, and `{name}`, a low-rank adapter, cannot hold it"
        yield Diagnostic("E677", message, help=f"{help_}; or remove `norms`")
    elif why := form.lost([site.name for site in plan.sites]):
        yield Diagnostic("E677", why, help=help_)


def emit_exports(
    manifest: Manifest, delta: Delta, model: Model, out: Path
) -> tuple[tuple[write.Export, ...], tuple[Diagnostic, ...]]:
    """Write each format under `emit` beside the delta. Returns the exports and all errors.

    A format that fails does not stop the others.
    """
    exports: list[write.Export] = []
    faults: list[Diagnostic] = []
    for name, file in write.output_names(manifest.emit).items():
        if name == "safetensors":
            continue
        try:
            one = write.export(Job(delta, model, out / file), name)
        except EditcError as error:
            faults += error.diagnostics
        else:
            exports.append(one)
            faults += one.failures
    return tuple(exports), tuple(faults)


def remove_last_exports(report: Path, model: Model) -> None:
    """Delete the exports that the previous build's report lists. Other files with the same names stay.

    A former export that is now the model of the manifest stays too.
    """
    folder = report.parent
    for name in sorted(_files_in_report(report)):
        if not model.path.resolve().is_relative_to((folder / name).resolve()):
            for path in (folder / name, destination.journal_folder(folder / name)):
                clear(path)


def set_aside(out: Path, name: str, files: Iterable[str], model: Model) -> None:
    """Move the files of the previous build, and its exports, from `out` into its subfolder `name`, which is emptied
    first."""
    exports = [
        one
        for one in sorted(_files_in_report(out / "report.json"))
        if not model.path.resolve().is_relative_to(out / one)
    ]
    moved = [path for one in exports for path in (out / one, destination.journal_folder(out / one))]
    aside = out / name
    clear(aside)
    aside.mkdir()
    for path in (*(out / one for one in files), *moved):
        if path.exists():
            path.rename(aside / path.name)


def describe_exports(exports: Iterable[write.Export], out: Path) -> list[Mapping[str, Any]]:
    """Describe the exports for the report: files relative to `out`, the programs that read them, the rounding error."""
    folder = out.absolute()
    return [
        {
            "format": one.format,
            "files": [path.absolute().relative_to(folder).as_posix() for path in one.written.files],
            "delta_id": one.written.delta.delta_id,
            "rounding": one.written.rounding,
            "consumers": [vars(trial) | {"passed": trial.passed} for trial in one.trials],
            "notes": list(one.written.notes),
        }
        for one in exports
    ]


def _files_in_report(report: Path) -> Iterator[str]:
    """The exports that a report lists, as names in its folder. Empty if the report is missing or damaged.

    Only names that editc itself gives to exports count, because callers delete or move these files.
    """
    try:
        record = json.loads(report.read_text(encoding="utf-8"))
        files = [Path(file) for one in record.get("exports", ()) for file in one["files"]]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return
    known = {form.output for name, form in FORMATS.each() if name != "safetensors"}
    known |= {name + SAFETENSORS for name in known}  # a `checkpoint` of a model that is one file
    yield from {file.parts[0] for file in files if file.parts and file.parts[0] in known}
