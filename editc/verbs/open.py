"""Opening what a manifest names: the model's weights, its text encoder, a painter, a detector, the corpus to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from editc.backends import cache
from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.network import Network, Spot
from editc.core.pointing import pointing_at
from editc.core.ports import Context, Detector, Painter, Prober, Progress, announce
from editc.core.text import count
from editc.formats.adapters.read import read_adapter
from editc.formats.models.fingerprint import settings_of
from editc.formats.models.model import Model, open_model
from editc.libraries import extras
from editc.manifests.own_contexts import own_contexts
from editc.registry.families import FAMILIES
from editc.texts import read_text
from editc.verbs import detector as detecting

COMPONENTS = ("unet", "transformer", "prior", "decoder")
"""What a pipeline calls the part that reads the text, in the order in which one with several is looked at."""
OWN_CORPUS = "prompts.txt"
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
"""The files that a language model's tokenizer is: all of one of these."""
IN_MODEL = ("result", "either")
WHY = {"missing": "is not there", "base": "is as it was before the edit"}
"""What `editc.formats.apply.status` finds of a tensor, where it is not what a delta left."""


def model_of(manifest: Manifest) -> Model:
    """The model that a manifest names: relative to the manifest first, then to where the command runs."""
    beside = Path(manifest.source.name).parent / manifest.model
    with pointing_at(manifest, "model"):
        return open_model(beside if not Path(manifest.model).is_absolute() and beside.exists() else manifest.model)


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """The manifest in a file, or None where it has an error, and what was found."""
    manifest, found = read_draft(path, overrides)
    return (None if any(one.is_error for one in found) else manifest), found


def read_draft(path: Path, overrides: Sequence[str] = ()) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """What could be read of the manifest in a file, and what was found. One of `erase` alone does not say what kind of
    model it is for: the model does, whose header is read then."""
    from editc.manifests.decode import read_draft as read
    from editc.passes.locate import fitting

    manifest, found = read(path, overrides)
    if manifest is None or not manifest.model or manifest.language is not None:
        return manifest, found
    try:
        ctx = header_context(manifest, model_of(manifest))
        family = fitting(families(), ctx.weights, ctx.settings)
    except EditcError:  # the model cannot be read, which whoever opens it next will say
        return manifest, found
    spoken = (
        family is not None and family.models == "language" and {one.kind for one in manifest.image_edits} == {"erase"}
    )
    return read(path, overrides, language=True) if spoken else (manifest, found)


def component_of(model: Model) -> str:
    """The component that is edited: the first of COMPONENTS that the model has."""
    return next((name for name in COMPONENTS if name in model.components), COMPONENTS[0])


def header_context(manifest: Manifest, model: Model) -> Context:
    """Ports for what needs headers only: no torch. Raises E146 for a model whose own contexts cannot be read."""
    with pointing_at(manifest, "model"):
        spoken = own_contexts(model.path) if manifest.language is None else ()
        weights = model.component(component_of(model))
        return Context(weights, settings=language_settings(model), contexts=spoken)


def language_settings(model: Model) -> Mapping[str, Any]:
    """The config.json of a language model's folder; {} for a pipeline or a file. Raises E617 for a damaged one."""
    return settings_of(model.path) if model.kind == "folder" else {}


def with_adapters(ctx: Context, manifest: Manifest) -> Context:
    """`ctx` with the adapters that the manifest fuses, read from beside it; E610, E612 and E670 to E674 underline the
    edit."""
    found = []
    for edit in manifest.image_edits:
        if edit.adapter:
            with pointing_at(manifest, "adapter", edit):
                found.append(read_adapter(Path(manifest.source.name).parent / edit.adapter, ctx.weights))
    return replace(ctx, adapters=tuple(found))


def unfused(ctx: Context, manifest: Manifest) -> tuple[Diagnostic, ...]:
    """E657, a warning, for each adapter that has a part for a text encoder, which the edit leaves out."""
    edits = [edit for edit in manifest.image_edits if edit.adapter]
    return tuple(
        Diagnostic(
            "E657",
            f"the edit leaves out a text encoder's part of the adapter, {count(len(adapter.left_out), 'module')}",
            edit.at("adapter"),
            manifest.source,
            severity="warning",
            help="the UNet's part is fused whole; for the other part keep the file beside the edited model",
            notes=adapter.left_out[:3],
        )
        for edit, adapter in zip(edits, ctx.adapters, strict=True)
        if adapter.left_out
    )


def build_context(manifest: Manifest, model: Model, progress: Progress | None) -> Context:
    """Every port that a build needs; E205 and E220 to E223 without what they need, E207 without torch and the model
    libraries, E230 where evidence is asked for and the model cannot give it."""
    if manifest.language is not None:
        return _language_context(manifest, model, progress)
    from editc.passes.locate import recognise
    from editc.verbs.encoder import source_of
    from editc.verbs.loadable import require_loadable
    from editc.verbs.unloaded import require_sound

    if wrong := detecting.faults(manifest):
        raise EditcError(*wrong)
    require_build()
    announce(progress, "loading libraries and the text encoder")
    ctx = header_context(manifest, model)
    with pointing_at(manifest, "model"):
        family = recognise(families(), ctx.weights, manifest.model)
    with pointing_at(manifest, "encoder" if manifest.encoder else "model"):
        require_loadable(manifest, model, family)
        notes = tuple(require_sound(model, component_of(model), cache.open_cache()))
        source = source_of(manifest, model)
        streams = source.load(family, ctx.weights)
    if manifest.pictures is not None:
        announce(progress, "opening the model")
    painter, detector, judged_by = _pictures(manifest, model, progress)
    ctx = replace(ctx, encoder=streams["text"], streams=streams, cache=cache.open_cache(), judged_by=judged_by)
    ctx = replace(ctx, encoder_parts=source.parts, notes=notes)
    return replace(ctx, painter=painter, detector=detector, progress=progress, prober=_prober(manifest, model))


def _language_context(manifest: Manifest, model: Model, progress: Progress | None) -> Context:
    """The ports for a language model, which runs as a whole from its folder."""
    from editc.backends import networks
    from editc.passes.locate import Locate
    from editc.verbs.loadable import require_loadable

    require_build("torch", "transformers")
    ctx = replace(header_context(manifest, model), cache=cache.open_cache(), progress=progress)
    plan = Locate(families())(manifest, ctx)  # says what is wrong with the manifest before the model is loaded
    require_folder(manifest, model)
    announce(progress, "loading libraries and the model")
    with pointing_at(manifest, "model"):
        require_loadable(manifest, model, plan.family)
        network = networks.load(model.path)
        _require_form(network, plan.family, manifest.model)
    return replace(ctx, network=network)


def _require_form(network: Network, family: Family, place: str) -> None:
    """E206 for a model whose layers, as they run, do not pass on what its MLP says as its family has it."""
    if (network.multiplier is None) != family.normed:
        what = (
            "a norm between its MLP and the residual stream" if family.normed else "nothing between the two but a sum"
        )
        message = f"this model runs otherwise than {family.title}, which has {what}"
        raise fail("E206", message, place=place, help="docs/reference/families.md lists the language models")


def require_folder(manifest: Manifest, model: Model) -> None:
    """Raises E205 where a language model is not the folder that a build runs: weights alone, or without a configuration
    or a tokenizer beside them. Looks for the files and reads none; image models pass."""
    if manifest.language is None:
        return
    help_text = "name the model's whole folder: config.json, the tokenizer's files and *.safetensors"
    with pointing_at(manifest, "model"):
        if model.kind != "folder":
            raise fail("E205", "a language model runs from its folder, and this is weights alone", help=help_text)
        beside = {path.name for path in model.path.iterdir()}
        if not any(beside.issuperset(names) for names in TOKENIZERS):
            named = ", ".join(" with ".join(f"`{name}`" for name in names) for names in TOKENIZERS)
            message = f"the model's folder holds no tokenizer: none of {named} is there"
            raise fail("E205", message, place=str(model.path), help=help_text)
        if "config.json" not in beside:
            raise fail("E205", "the model's folder holds no `config.json`", place=str(model.path), help=help_text)


def with_earlier(ctx: Context, manifest: Manifest) -> Context:
    """`ctx` with where the edits of the deltas that the manifest comes `after` have their keys: read from beside it.

    Of a linked delta those of every part. What reading a delta raises underlines its name; E213 for a delta of an image
    model, for one that records no manifest, and for one that is not in this model.
    """
    from editc.formats.delta.parts import parts
    from editc.formats.exports.read import read_delta

    found, deltas = {}, []
    for index, name in enumerate(manifest.language.after if manifest.language else ()):
        with pointing_at(manifest, f"after.{index}"):
            delta = read_delta(Path(manifest.source.name).parent / name)
            found[delta.delta_id] = tuple(spot for part in parts(delta) for spot in _keyed(part, name))
            deltas.append(delta)
    _require_applied(manifest, deltas)
    return replace(ctx, earlier=found)


def _keyed(part: Delta, name: str) -> Iterator[Spot]:
    """Where the edits of one delta have their keys; `name` is that of the file it was read from."""
    from editc.formats.diff.diff import has_manifest
    from editc.passes.language.sentences import every
    from editc.verbs.recheck import recorded_manifest

    if not has_manifest(part):
        message = f"`{name}` records no manifest, so it does not say which keys are to be held"
        help_text = "name the delta that was built for these edits: one that was made from two checkpoints has no edits"
        raise fail("E213", message, place=name, help=help_text)
    earlier = recorded_manifest(part, Path(name))
    if earlier.language is None:
        help_text = "name deltas that were built for this language model"
        raise fail("E213", f"`{name}` edits an image model", place=name, help=help_text)
    yield from every(earlier)


def _require_applied(manifest: Manifest, deltas: Sequence[Delta]) -> None:
    """Raises E213 for a delta under `after` whose edited tensors the model lacks, or holds other bytes in than it left:
    unless another one under `after` began with just those."""
    from editc.formats.apply.status import status

    states = {one.delta_id: one for one in status(model_of(manifest), deltas).deltas} if deltas else {}
    begun = {(one.site.name, digest) for delta in deltas for one in delta.sites for digest in one.base.values()}
    for index, delta in enumerate(deltas):
        left = {f"{r.site.component}/{r.site.name}": {(r.site.name, d) for d in r.result.values()} for r in delta.sites}
        state = states[delta.delta_id]
        tensors = {} if state.presence == "applied" else state.tensors
        other = {n: what for n, what in tensors.items() if what not in IN_MODEL and not left.get(n, set()) & begun}
        if other:
            first, what = next(iter(other.items()))
            why = f"{len(other)} of its {len(delta.sites)} tensors are others, `{first}` {WHY.get(what, 'is another')}"
            help_text = "`editc apply` it first and name the model that this makes, or leave it out of `after`"
            with pointing_at(manifest, f"after.{index}"):
                raise fail("E213", f"this delta is not applied to the model: {why}", help=help_text)


def families() -> tuple[Family, ...]:
    """Every family, in the order of their names, those of language models last."""
    return tuple(FAMILIES.resolve(name) for kind in ("image", "language") for name in FAMILIES.names(kind))


def _pictures(
    manifest: Manifest, model: Model, progress: Progress | None
) -> tuple[Painter | None, Detector | None, Mapping[str, Any]]:
    asked = manifest.pictures
    if asked is None:
        return None, None, {}
    if model.kind != "pipeline":
        with pointing_at(manifest, "pictures"):
            help_text = "convert the file to a diffusers folder, or leave `verify.images` out"
            raise fail("E221", "pictures need a whole pipeline folder, and the model is weights alone", help=help_text)
    from editc.backends import painter

    detector, judged_by = detecting.opened(manifest, asked)  # first: it is quickly opened, and a painter is not
    return (
        painter.load(model.path, component_of(model), asked.steps, asked.guidance, progress),
        detector,
        judged_by,
    )


def _prober(manifest: Manifest, model: Model) -> Callable[[], Prober] | None:
    if manifest.choice.auto is None:
        return None
    from editc.backends import denoiser

    with pointing_at(manifest, "choice"):
        return denoiser.load(model.path, component_of(model))


def corpus_of(model: Model) -> tuple[str, ...]:
    """Prompts to keep where a manifest names none: `prompts.txt` in the model's folder, else everyday prompts."""
    own = model.path / OWN_CORPUS
    text = own.read_text(encoding="utf-8") if own.is_file() else read_text("everyday.txt")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def require_build(*needed: str) -> None:
    """Raises E207 when what a build needs is not installed: apply, revert, status and inspect do without."""
    absent = extras.missing(*(needed or ("torch", "transformers", "diffusers", "scipy")))
    if absent:
        message = f"a build needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed"
        raise fail("E207", message, help=extras.install("build"))
