"""Every mistake of a manifest that can be found without running the model: of its text, its model, and of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from editc.core.diagnostics import Diagnostic, EditcError, by_place
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.pointing import pointing_at
from editc.core.ports import Context
from editc.formats.models.model import Model
from editc.passes.locate import Locate, recognise
from editc.verbs import detector, emit, encoder, open
from editc.verbs.loadable import require_loadable
from editc.verbs.results import Checked

STRANGE = frozenset({"E201", "E206"})
"""The manifest is not for this kind of model: what else could be said of both would be beside the point."""


def checked(path: Path, overrides: Sequence[str] = ()) -> Checked:
    """What is wrong with the manifest, and with its model and exports as far as what could be read says; a plan if
    nothing is. Headers only, no torch."""
    manifest, found = open.read_draft(path, overrides)
    if manifest is None:
        return Checked(found, None, None)
    if any(one.is_error for one in found):
        return Checked(by_place((*found, *_of_a_draft(manifest))), None, None)
    found = (*found, *detector.faults(manifest))
    try:
        model = open.model_of(manifest)
        ctx = open.with_adapters(open.header_context(manifest, model), manifest)
        found = (*found, *open.unfused(ctx, manifest))
        _recognised(manifest, ctx)
    except EditcError as error:
        return Checked(by_place((*found, *error.diagnostics)), manifest, None)
    try:
        plan = Locate(open.families())(manifest, ctx)
    except EditcError as error:
        rest = () if STRANGE & {one.code for one in error.diagnostics} else _beside(manifest, model, ctx)
        return Checked(by_place((*found, *error.diagnostics, *rest)), manifest, None)
    found = by_place((*found, *_of_the_files(manifest, model, ctx), *emit.refused(manifest, plan)))
    return Checked(found, manifest, None if any(one.is_error for one in found) else plan)


def _beside(manifest: Manifest, model: Model, ctx: Context) -> tuple[Diagnostic, ...]:
    return (*_of_the_files(manifest, model, ctx), *_of_the_exports(manifest, ctx))


def _of_a_draft(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """What is wrong with the model and the exports of a manifest that has mistakes of its own."""
    if not manifest.model:
        return ()
    try:
        ctx = open.header_context(manifest, open.model_of(manifest))
        _recognised(manifest, ctx)
    except EditcError as error:
        return error.diagnostics
    return _of_the_exports(manifest, ctx)


def _of_the_exports(manifest: Manifest, ctx: Context) -> tuple[Diagnostic, ...]:
    return emit.unsuited(manifest, _recognised(manifest, ctx).name)


def _recognised(manifest: Manifest, ctx: Context) -> Family:
    """The family; E201 and E206 underline `model`."""
    with pointing_at(manifest, "model"):
        return recognise(open.families(), ctx.weights, manifest.model, ctx.settings)


def _of_the_files(manifest: Manifest, model: Model, ctx: Context) -> Iterator[Diagnostic]:
    """What a build would miss beside the weights: a language model's folder, an image model's text encoder; or what
    its libraries would not load."""
    for step in (_require_folder, _require_encoder, _require_loadable):
        try:
            step(manifest, model, ctx)
        except EditcError as error:
            yield from error.diagnostics
            return


def _require_folder(manifest: Manifest, model: Model, ctx: Context) -> None:
    open.require_folder(manifest, model)


def _require_encoder(manifest: Manifest, model: Model, ctx: Context) -> None:
    if manifest.language is None:
        with pointing_at(manifest, "encoder" if manifest.encoder else "model"):
            encoder.require(manifest, model)


def _require_loadable(manifest: Manifest, model: Model, ctx: Context) -> None:
    with pointing_at(manifest, "model"):
        require_loadable(manifest, model, _recognised(manifest, ctx))
