"""Every mistake of a manifest that can be found without running the model: of its text, its model, and of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from editc.core.diagnostics import Diagnostic, EditcError, sort_by_place
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.verbs.kind import OpenedManifest
from editc.verbs.open import open_manifest
from editc.verbs.results import Checked

OTHER_KIND = frozenset({"E201", "E206"})
"""The manifest is not for this kind of model: what else could be said of both would be beside the point."""


def check(path: Path, overrides: Sequence[str] = ()) -> Checked:
    """What is wrong with the manifest, and with its model and exports as far as what could be read says; a plan if
    nothing is. Headers only, no torch."""
    opened, found = open_manifest(path, overrides)
    if opened is None:
        return Checked(found, None, None)
    if not opened.sound:
        return Checked(sort_by_place((*found, *_draft_faults(opened))), None, None)
    manifest, kind = opened.manifest, opened.kind
    found = (*found, *_detector_faults(opened))
    try:
        ctx = kind.with_adapters(opened.header_ports, manifest)
        found = (*found, *kind.adapter_warnings(ctx, manifest))
        ctx = _with_family(opened, ctx)
    except EditcError as error:
        return Checked(sort_by_place((*found, *error.diagnostics)), manifest, None)
    try:
        plan = kind.locate_pass()(manifest, ctx)
    except EditcError as error:
        rest = () if OTHER_KIND & {one.code for one in error.diagnostics} else _faults_without_plan(opened)
        return Checked(sort_by_place((*found, *error.diagnostics, *rest)), manifest, None)
    found = sort_by_place((*found, *kind.missing_parts(opened), *_format_faults(opened, plan)))
    return Checked(found, manifest, None if any(one.is_error for one in found) else plan)


def _detector_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """What is wrong with who is to judge the pictures, where pictures are asked for."""
    if opened.manifest.images is None:
        return ()
    from editc.opening import detector

    return detector.check_detector(opened.manifest)


def _format_faults(opened: OpenedManifest, plan: Plan) -> tuple[Diagnostic, ...]:
    """What is wrong with the formats under `emit`, where there are some."""
    if not opened.manifest.emit:
        return ()
    from editc.verbs import emit

    return emit.format_faults(opened.manifest, plan)


def _with_family(opened: OpenedManifest, ctx: Context) -> Context:
    return replace(ctx, family=opened.family_ports.family)


def _faults_without_plan(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    return (*opened.kind.missing_parts(opened), *_family_format_faults(opened))


def _draft_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """What is wrong with the model and the exports of a manifest that has mistakes of its own."""
    if not opened.manifest.model:
        return ()
    try:
        return _family_format_faults(opened)
    except EditcError as error:
        return error.diagnostics


def _family_format_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    family = opened.family_ports.family
    if family is None or not opened.manifest.emit:
        return ()
    from editc.verbs import emit

    return emit.family_faults(opened.manifest, family.name)
