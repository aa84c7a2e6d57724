"""`editc build`: compile a manifest into a folder with the delta, its exports, report.json and report.html."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.places import Source
from editc.core.ports import Context, Progress, announce
from editc.core.solution import Verified
from editc.core.storage.caching import environments_elsewhere, refused_entries
from editc.core.storage.disk import check_folder
from editc.core.text import count, first_rows
from editc.formats.models.model import Model
from editc.libraries.tool import tool
from editc.opening.default_list import default_prompts, name_warnings
from editc.verbs import emit
from editc.verbs.kind import OpenedManifest
from editc.verbs.open import require_manifest
from editc.verbs.paths import DELTA, LAST_GOOD, PAGE, REPORT
from editc.verbs.results import Built

PASSES = ("locate", "derive", "solve", "verify", "emit")
"""The passes of a build, in order. Their values are Manifest -> Plan -> Problem -> Solution -> Verified -> Delta."""


def build(
    given: Path | Source,
    out: Path,
    overrides: tuple[str, ...] = (),
    progress: Progress | None = None,
    after: Callable[[str, Any], bool] | None = None,
    model: Model | None = None,
) -> Built | None:
    """Compile a manifest (its path, or its text) into the folder `out`. If a constraint is broken, write the report and
    no delta.

    `after(pass name, value)` is called with the result of each pass. When it returns False, the build stops, writes
    nothing and returns None. `model` takes the place of the model that the manifest names.
    """
    announce(progress, "reading the manifest")
    opened = require_manifest(given, overrides, model)
    check_folder(out)
    kind, manifest = opened.kind, opened.manifest
    ctx = kind.with_adapters(kind.open_ports(opened, progress), manifest)
    diagnostics = (*opened.diagnostics, *kind.adapter_warnings(ctx, manifest))
    ctx = kind.with_earlier(ctx, opened)
    verified = _run_passes(opened, ctx, after)
    if verified is None:
        return None
    broken = kind.failures(verified)
    announce(progress, "emit")
    delta = None if broken else _make_delta(opened, verified, ctx)
    if delta is not None and after is not None and not after("emit", delta):
        return None
    unlisted = name_warnings(opened.model, opened.manifest, ctx)
    announce(progress, "writing the report" if broken else "writing the delta, its exports and the report")
    warnings = (*diagnostics, *ctx.notes, *unlisted, *kind.warnings(verified), *_cache_warnings(ctx))
    built = Built(verified, delta, broken, warnings, (), encoders=ctx.encoder_runners)
    return _write_files(built, opened, out)


def _run_passes(opened: OpenedManifest, ctx: Context, after: Callable[[str, Any], bool] | None) -> Verified | None:
    """Run the passes up to verify. None if `after` stopped the build.

    Raises E680 or E677 right after locate, if a format under `emit` cannot hold the edit.
    """
    value: Any = opened.manifest
    for step in (opened.kind.locate_pass(), *opened.kind.passes(default_prompts(opened.model, opened.manifest, ctx))):
        announce(ctx.progress, step.name)
        value = step(value, ctx)
        if step.name == "locate" and (wrong := emit.format_faults(opened.manifest, value)):
            raise EditcError(*wrong)
        if after is not None and not after(step.name, value):
            return None
    assert isinstance(value, Verified)
    return value


def _cache_warnings(ctx: Context) -> Iterator[Diagnostic]:
    """What the user must know of the cache."""
    yield from _elsewhere_warnings(ctx)
    yield from _refused_warnings(ctx)


def _elsewhere_warnings(ctx: Context) -> Iterator[Diagnostic]:
    """E804, a warning, where the build used imported cache entries that were computed in another environment."""
    if found := environments_elsewhere(ctx.cache):
        yield Diagnostic(
            "E804",
            "imported cache entries were used that another machine computed: the last bits may differ from a build of "
            "your own",
            severity="warning",
            help="`editc cache prune --imported` removes them; `editc verify` does not use them",
            notes=found,
        )


def _refused_warnings(ctx: Context) -> Iterator[Diagnostic]:
    """E807, a warning, where the cache had entries that could not be used."""
    if found := refused_entries(ctx.cache):
        yield Diagnostic(
            "E807",
            f"the cache had {count(len(found), 'entry')} that could not be used: damaged, or not what the name says",
            severity="warning",
            help="they are removed, and what they should have held was computed anew",
            notes=first_rows(found),
        )


def _make_delta(opened: OpenedManifest, verified: Verified, ctx: Context) -> Delta:
    """Run the pass emit."""
    from editc.passes.emit import Emit

    return Emit(tool(), opened.kind.record_edits)(verified, ctx)


def _write_files(built: Built, opened: OpenedManifest, out: Path) -> Built:
    """Write the delta and its exports, then the report, which describes the exports.

    The previous build's delta and exports are deleted if there is a new delta. Otherwise they move into the folder
    `last-good`.
    """
    from editc.core.storage.disk import guard_writes
    from editc.formats.delta.container import write_delta

    with guard_writes(out):
        out.mkdir(parents=True, exist_ok=True)
        if built.delta is not None:
            emit.remove_last_exports(out / REPORT, opened.model)
        elif (out / DELTA).exists():
            emit.set_aside(out, LAST_GOOD, (DELTA, REPORT, PAGE), opened.model)
    delta = None if built.delta is None else write_delta(built.delta, out / DELTA)
    names = ([DELTA] if delta else []) + [REPORT, PAGE]
    built = replace(built, delta=delta, files=tuple(out / name for name in names))
    try:
        built = _write_exports(built, opened, out)
    finally:
        _write_report(built, opened, out)
    return built


def _write_exports(built: Built, opened: OpenedManifest, out: Path) -> Built:
    """Write the formats under `emit`. Returns the build with its exports, their files and their failures."""
    if built.delta is None or not opened.manifest.emit:
        return built
    exports, faults = emit.emit_exports(opened.manifest, built.delta, opened.model, out)
    files = (*built.files, *(file for one in exports if not one.failures for file in one.written.files))
    return replace(built, files=files, exports=exports, failures=(*built.failures, *faults))


def _write_report(built: Built, opened: OpenedManifest, out: Path) -> None:
    """Write report.json and report.html."""
    from editc.core.storage.disk import replace_file
    from editc.report import record

    diagnostics = (*built.failures, *built.warnings)
    exports = emit.describe_exports(built.exports, out)
    report = record.as_json(
        built.verified, built.delta, diagnostics=diagnostics, tool=tool(), exports=exports, encoders=built.encoders
    )
    replace_file(out / REPORT, record.as_text(report).encode())
    replace_file(out / PAGE, record.as_html(built.verified, report).encode())
