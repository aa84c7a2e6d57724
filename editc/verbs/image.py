"""Image models: how a build opens their parts, and their passes, records and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editc.core.diagnostics import Diagnostic, EditcError, fail, pointing_at
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.ports import Context, Prober, Progress, announce
from editc.core.text import count
from editc.formats.models.model import Model
from editc.opening.target import component_of, read_own_contexts
from editc.registry.families import FAMILIES
from editc.verbs.kind import ModelKind, OpenedManifest, Pass

if TYPE_CHECKING:
    from editc.core.measurements import AttackResult, Claim
    from editc.core.plan import Plan, Stage
    from editc.core.problem import Problem
    from editc.core.solution import Solution, Verified


def edited_part(opened: OpenedManifest, ctx: Context) -> Context:
    """The ports with the weights and the family of the part that the manifest's method edits: the text encoder, for
    methods that train it. Raises E245 where that part of the model cannot be edited."""
    from editc.passes.images.edit_kind import part_of

    part, family = part_of(opened.manifest), ctx.family
    if not part or family is None:
        return ctx
    if part not in family.parts:
        manifest = opened.manifest
        message = f"`method: {manifest.method}` trains the `{part}`, and that of {family.title} cannot be edited"
        help_ = "name a pipeline of Stable Diffusion 1 or 2, or use a method that edits the denoiser, such as `uce`"
        raise EditcError(Diagnostic("E245", message, manifest.image_edits[0].at("method"), manifest.source, help=help_))
    weights = opened.target.model.component(part)
    return replace(ctx, weights=weights, family=FAMILIES.resolve(family.parts[part]))


def with_adapters(ctx: Context, manifest: Manifest) -> Context:
    """Add the adapters that the manifest fuses to the ports, read from files beside the manifest.

    Errors (E610, E612, E670 to E674) underline the edit.
    """
    adapters = []
    for edit in manifest.image_edits:
        if edit.adapter:
            from editc.formats.doctor.adapter import read_adapter

            with pointing_at(manifest, "adapter", edit):
                adapters.append(read_adapter(Path(manifest.source.name).parent / edit.adapter, ctx.weights))
    return replace(ctx, adapters=tuple(adapters))


def text_encoder_warnings(ctx: Context, manifest: Manifest) -> tuple[Diagnostic, ...]:
    """E657, a warning, for each adapter that also changes a text encoder: the edit leaves that part out."""
    edits = [edit for edit in manifest.image_edits if edit.adapter]
    return tuple(
        Diagnostic(
            "E657",
            f"the edit leaves out the adapter's text encoder part ({count(len(adapter.left_out), 'module')})",
            edit.at("adapter"),
            manifest.source,
            severity="warning",
            help="all other modules are fused; for the text encoder, load the adapter file with the edited model",
            notes=adapter.left_out[:3],
        )
        for edit, adapter in zip(edits, ctx.adapters, strict=True)
        if adapter.left_out
    )


def missing_parts(opened: OpenedManifest) -> Iterator[Diagnostic]:
    """Find what a build needs besides the weights and does not have: a text encoder, a folder that its libraries can
    load, and a default list of preserved prompts that its tokenizer reads (E228, a warning)."""
    from editc.opening.default_list import list_warnings
    from editc.opening.loadable import require_pipeline

    manifest = opened.manifest
    try:
        if manifest.encoder or opened.target.model.layout != "pipeline":
            from editc.opening import encoder

            with pointing_at(manifest, "encoder" if manifest.encoder else "model"):
                encoder.require_encoder(manifest, opened.target.model)
        with pointing_at(manifest, "model"):
            require_pipeline(manifest, opened.target.model, opened.target.family)
        yield from list_warnings(opened.target.model, manifest, opened.target.family)
    except EditcError as error:
        yield from error.diagnostics


def open_ports(opened: OpenedManifest, progress: Progress | None) -> Context:
    """Open every port of a build: encoder, cache, painter, detector, prober.

    Raises E205 and E220 to E223 if parts are missing, E207 if torch or the model libraries are missing, and E230 if
    `sites: auto` asks for evidence that the model cannot give.
    """
    from editc.cache import disk
    from editc.libraries.allocator import reuse_large_blocks
    from editc.libraries.extras import require_build
    from editc.opening import detector as detecting
    from editc.opening.default_list import known_contexts, list_warnings, unlisted_words
    from editc.opening.encoder import find_encoder
    from editc.opening.kept import Kept
    from editc.opening.loadable import require_pipeline
    from editc.opening.unloaded import check_unloaded_parts

    manifest = opened.manifest
    if wrong := detecting.check_detector(manifest):
        raise EditcError(*wrong)
    require_build()
    reuse_large_blocks()
    announce(progress, "loading libraries and the text encoder")
    if manifest.attacks:
        from editc.opening.attack_processes import prepare_processes

        prepare_processes()
    ctx, model, store = opened.family_ports, opened.model, disk.open_cache(manifest.model)
    assert ctx.family is not None
    with pointing_at(manifest, "encoder" if manifest.encoder else "model"):
        require_pipeline(manifest, model, ctx.family)
        private = store and replace(store, private=True)
        notes = tuple(check_unloaded_parts(model, component_of(model), private))
        notes += tuple(list_warnings(model, manifest, ctx.family))
        known = () if ctx.contexts else known_contexts(model, manifest, ctx.family)
        words = unlisted_words(model, manifest, ctx.family)
        source = find_encoder(manifest, model, Kept(private))
        loaded = source.load(ctx.family, ctx.weights)
    if manifest.images is not None:
        announce(progress, "loading the pipeline and the detector")
    ctx = replace(ctx, encoder=loaded.streams["text"], streams=loaded.streams, cache=store, known_contexts=known)
    ctx = replace(ctx, encoder_parts=source.parts, encoder_runners=loaded.runners, notes=notes)
    ctx = replace(ctx, picture_cache=private, words=words)
    ctx = replace(ctx, progress=progress, prober=_prober_loader(manifest, model))
    ctx = _open_painter(ctx, manifest, model)
    return _open_attacks(_open_gradients(ctx, manifest, model), manifest, model)


def _open_gradients(ctx: Context, manifest: Manifest, model: Model) -> Context:
    """The ports with the model for training, where the method is a trained one and the pipeline can be trained."""
    from editc.passes.images.edit_kind import is_trained

    if not is_trained(manifest) or model.layout != "pipeline":
        return ctx
    from editc.backends import painter
    from editc.backends.diffusion import PipelineDiffusion

    opened = ctx.painter or painter.load(model.path, component_of(model), gradients=True)
    return replace(ctx, diffusion=PipelineDiffusion.of(opened))


def _open_attacks(ctx: Context, manifest: Manifest, model: Model) -> Context:
    """The ports with the model for attacks and the runner of their jobs, where the manifest asks for attacks and the
    pipeline can be attacked."""
    if not manifest.attacks or ctx.painter is None or ctx.detector is None:
        return ctx
    from editc.backends.diffusion import PipelineDiffusion
    from editc.opening.attack_processes import worker_opener

    diffusion = ctx.diffusion or PipelineDiffusion.of(ctx.painter)
    if diffusion is None:
        return ctx
    opener = worker_opener(model.path, component_of(model), ctx.progress)
    return replace(ctx, diffusion=diffusion, open_workers=opener)


def _open_painter(ctx: Context, manifest: Manifest, model: Model) -> Context:
    """The ports with the painter, the detector and the record of who judges, where the manifest asks for pictures.

    Raises E221 if the model is weights alone.
    """
    check = manifest.images
    if check is None:
        return ctx
    if model.layout != "pipeline":
        with pointing_at(manifest, "images"):
            help_text = "convert the file to a diffusers folder, or remove `verify.images`"
            raise fail(
                "E221", "pictures need a whole pipeline folder, but this model is only a weights file", help=help_text
            )
    from editc.backends import painter
    from editc.backends.painter_mark import painter_mark
    from editc.opening import detector as detecting
    from editc.passes.images.edit_kind import is_trained

    detector, judged_by = detecting.open_detector(manifest, check)  # first, because it opens faster
    gradients = bool(manifest.attacks) or is_trained(manifest)
    opened = painter.load(model.path, component_of(model), check.steps, check.guidance, ctx.progress, gradients)
    ctx = replace(ctx, painter=opened, painter_mark=painter_mark(model.path, opened))
    return replace(ctx, detector=detector, detector_identity=judged_by)


def _prober_loader(manifest: Manifest, model: Model) -> Callable[[], Prober] | None:
    """A function that loads the prober. None if the manifest does not have `sites: auto`."""
    if manifest.sites.auto is None:
        return None
    from editc.backends import denoiser

    with pointing_at(manifest, "sites"):
        return denoiser.load(model.path, component_of(model))


def passes(corpus: Sequence[str]) -> tuple[Pass, ...]:
    """The passes derive, solve and verify: Plan -> Problem -> Solution -> Verified.

    `corpus` is the default list of preserved prompts.
    """
    from editc.passes.images.keys.derive import Derive
    from editc.passes.images.solve.solve import Solve
    from editc.passes.images.verify.verify import Verify

    return (Derive(corpus), Solve(), Verify(records=True))


def locate_pass() -> Pass:
    """The pass locate: Manifest -> Plan."""
    from editc.passes.images.locate.locate import Locate

    return Locate()


def record_edits(solution: Solution) -> Iterator[Mapping[str, Any]]:
    """The record of each edit that a delta keeps, in the order of the manifest."""
    from editc.passes.images.solve.record import record_edits

    return record_edits(solution)


def derive_again(plan: Plan, ctx: Context, corpus: Sequence[str]) -> Problem:
    """Derive the problem of a delta again, to measure its claims."""
    from editc.passes.images.keys.derive import Derive

    return Derive(corpus)(plan, ctx)


def verify_pass(others: Sequence[str]) -> Pass:
    """The pass verify: Solution -> Verified. `others` are names that other deltas edit in the same model."""
    from editc.passes.images.verify.verify import Verify

    return Verify(others=tuple(others))


def attack(
    solution: Solution, ctx: Context
) -> tuple[tuple[AttackResult, ...], tuple[Claim, ...], tuple[Diagnostic, ...]]:
    """Run the attacks of a solution's manifest."""
    from editc.passes.images.attacks import run
    from editc.passes.images.verify.attacked import attack_solution

    manifest, found = solution.problem.plan.manifest, attack_solution(solution, ctx)
    return found, tuple(run.claims(manifest, found)), tuple(run.warnings(manifest, found))


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound."""
    from editc.passes.images.verify.verify import failures

    return failures(verified)


def warnings(verified: Verified) -> tuple[Diagnostic, ...]:
    """Warnings about what the report cannot prove."""
    from editc.passes.images.verify.verify import warnings

    return warnings(verified)


def _recorded_stages(manifest: Manifest, family: Family, sites: int) -> tuple[Stage, ...]:
    """No stages: an image model's edits are solved together."""
    return ()


IMAGE = ModelKind(
    name="image",
    own_contexts=read_own_contexts,
    edited_part=edited_part,
    with_adapters=with_adapters,
    adapter_warnings=text_encoder_warnings,
    missing_parts=missing_parts,
    open_ports=open_ports,
    with_earlier=lambda ctx, opened: ctx,
    locate_pass=locate_pass,
    passes=passes,
    record_edits=record_edits,
    recorded_stages=_recorded_stages,
    derive_again=derive_again,
    problem_of_part=lambda problem, part, linked: problem,
    verify_pass=verify_pass,
    attack=attack,
    failures=failures,
    warnings=warnings,
)
"""The kind of image models."""
