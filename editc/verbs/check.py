"""`editc check`: find every mistake in a manifest, its model and their combination, without running the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editc.core.diagnostics import Diagnostic, EditcError, sort_by_place
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.verbs.kind import OpenedManifest
from editc.verbs.open import open_manifest
from editc.verbs.results import Checked

OTHER_KIND = frozenset({"E201", "E206"})
"""Errors which say that the manifest is for another kind of model. Further errors about both would not help."""


def check(given: Path | Source, overrides: Sequence[str] = (), without_model: bool = False) -> Checked:
    """Check a manifest (its path, or its text), then its model and its formats as far as they can be read. Needs
    headers only, not torch.

    The result has a plan if there is no error, and no plan in any case with `without_model`.
    """
    opened, diagnostics = open_manifest(given, overrides)
    if opened is None:
        return Checked(diagnostics, None, None)
    if without_model:
        return Checked(sort_by_place(diagnostics), opened.manifest if opened.sound else None, None)
    if not opened.sound:
        return Checked(sort_by_place((*diagnostics, *_draft_faults(opened))), None, None)
    manifest, kind = opened.manifest, opened.kind
    diagnostics = (*diagnostics, *_detector_faults(opened))
    try:
        ctx = kind.with_adapters(opened.header_ports, manifest)
        diagnostics = (*diagnostics, *kind.adapter_warnings(ctx, manifest))
        ctx = _with_family(opened, ctx)
    except EditcError as error:
        return Checked(sort_by_place((*diagnostics, *error.diagnostics)), manifest, None)
    try:
        plan = kind.locate_pass()(manifest, ctx)
    except EditcError as error:
        rest = () if OTHER_KIND & {one.code for one in error.diagnostics} else _faults_without_plan(opened)
        return Checked(sort_by_place((*diagnostics, *error.diagnostics, *rest)), manifest, None)
    diagnostics = sort_by_place((*diagnostics, *kind.missing_parts(opened), *_format_faults(opened, plan)))
    return Checked(diagnostics, manifest, None if any(one.is_error for one in diagnostics) else plan)


def check_each(
    manifests: Sequence[Path], overrides: Sequence[str] = (), without_model: bool = False
) -> Mapping[Path, Checked]:
    """Check several manifests, each once. One of them that cannot be read has that as its error; E100 is raised only
    for a manifest that is alone."""
    every = tuple(dict.fromkeys(manifests))
    if len(every) == 1:
        return {every[0]: check(every[0], overrides, without_model)}
    return {one: _check_readable(one, overrides, without_model) for one in every}


def _check_readable(manifest: Path, overrides: Sequence[str], without_model: bool) -> Checked:
    """`check`, with an error for a manifest that cannot be read."""
    try:
        return check(manifest, overrides, without_model)
    except EditcError as error:
        return Checked(error.diagnostics, None, None)


def _detector_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """Find what is wrong with the detector. Empty if the manifest asks for no pictures."""
    if opened.manifest.images is None:
        return ()
    from editc.opening import detector

    return detector.check_detector(opened.manifest)


def _format_faults(opened: OpenedManifest, plan: Plan) -> tuple[Diagnostic, ...]:
    """Find the formats under `emit` that cannot hold this plan. Empty if there is no `emit`."""
    if not opened.manifest.emit:
        return ()
    from editc.verbs import emit

    return emit.format_faults(opened.manifest, plan)


def _with_family(opened: OpenedManifest, ctx: Context) -> Context:
    """Add the family and the weights of what is edited to the ports. Raises E201 or E206 if no family fits."""
    return replace(ctx, family=opened.family_ports.family, weights=opened.family_ports.weights)


def _faults_without_plan(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """Find what can be found although there is no plan: missing parts of the model, and formats that do not suit the
    family."""
    return (*opened.kind.missing_parts(opened), *_family_format_faults(opened))


def _draft_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """Find what is wrong with the model and the exports of a manifest that has errors of its own."""
    if not opened.manifest.model:
        return ()
    try:
        return _family_format_faults(opened)
    except EditcError as error:
        return error.diagnostics


def _family_format_faults(opened: OpenedManifest) -> tuple[Diagnostic, ...]:
    """Find the formats under `emit` that do not suit the model's family. Empty if there is no `emit`, or no known
    family."""
    family = opened.family_ports.family
    if family is None or not opened.manifest.emit:
        return ()
    from editc.verbs import emit

    return emit.family_faults(opened.manifest, family.name)
