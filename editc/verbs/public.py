"""The functions of `editc.api` and the command line. They turn the user's paths into `Path`s and call the other files
here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editc.progress import in_notebook
from editc.verbs.paths import PAGE, REPORT, ManifestLike, PathLike, Paths, delta_at, deltas_at, manifest_at

if TYPE_CHECKING:  # each function imports what it needs, so that it starts fast
    from editc.core.delta import Delta
    from editc.formats.apply.apply import Applied, RevertResult
    from editc.formats.apply.status import Status
    from editc.formats.apply.target import ApplyPlan
    from editc.formats.diff.diff import Difference
    from editc.formats.doctor.examine import Examination
    from editc.formats.exports.onnx.surgery import LoraReadyModel
    from editc.formats.exports.write import Export
    from editc.formats.inspect import Description
    from editc.live.load import Loaded
    from editc.progress import ShowProgress
    from editc.publish.parcel import Build
    from editc.publish.push import Pushed
    from editc.publish.staging import Pulled
    from editc.verbs import link as linking
    from editc.verbs.proposal import Proposal
    from editc.verbs.results import Again, Attacked, Built, Checked


def check(manifest: ManifestLike, overrides: Sequence[str] = (), without_model: bool = False) -> Checked:
    """Find every mistake of a manifest at once, then whether its model has the sites. Needs headers only, not torch.

    `manifest` is a path, the text of a manifest (a `str` with a line break, or that begins with `{`), or a dict.
    `without_model`: look at the manifest alone, for machines that do not have its model.
    """
    from editc.verbs.check import check

    return check(manifest_at(manifest), overrides, without_model)


@in_notebook
def build(
    manifest: ManifestLike,
    out: PathLike,
    overrides: Sequence[str] = (),
    progress: ShowProgress = None,
    after: Callable[[str, Any], bool] | None = None,
) -> Built | None:
    """Compile a manifest into `out`: delta, report.json and report.html; no delta if a constraint is broken.

    `manifest` is a path, the text of a manifest (a `str` with a line break, or that begins with `{`), or a dict.
    `after(pass, value)` is called with the result of each pass. If it returns False, the build stops, writes nothing
    and returns None. A good delta replaces that of an earlier build; a failed build moves the earlier one into the
    folder `last-good`. Raises EditcError, E697 before any work.
    """
    from editc.verbs.build import build

    return build(manifest_at(manifest), Path(out), tuple(overrides), progress or None, after)


@in_notebook
def suggest(
    path: PathLike,
    dictionary: PathLike | None = None,
    write: PathLike | None = None,
    progress: ShowProgress = None,
) -> Proposal:
    """Propose other names, targets and what to preserve for each edit of a manifest, by its text encoder and the
    solver.

    `dictionary` is a file of names to compare with, one a line. `write` is a new file for the proposed manifest. Raises
    EditcError.
    """
    from editc.core.storage.disk import check_file
    from editc.verbs.suggest import suggest

    names, new = (None if one is None else Path(one) for one in (dictionary, write))
    if new is not None:
        check_file(new)
    return suggest(Path(path), names, new, progress or None)


def export(
    path: PathLike,
    name: str,
    out: PathLike,
    model: PathLike | None = None,
    dtype: str = "fp32",
    allow_finetune: bool = False,
    tried: bool = True,
) -> Export:
    """Write a delta in another program's format, and let that program read it unless `tried` is False.

    `dtype` (fp32, fp16, bf16) is the number format of the factors in the file. Raises EditcError (E130, E675 to E681,
    E697).
    """
    from editc.core.storage.disk import check_parent
    from editc.formats.exports import write as exporter
    from editc.formats.exports.format import DTYPES, Job
    from editc.formats.exports.read import read_delta
    from editc.formats.models.model import open_model

    exporter.find_format(name)
    out = Path(out)
    check_parent(out)
    opened = None if model is None else open_model(str(model))
    return exporter.export(Job(read_delta(delta_at(path)), opened, out, DTYPES[dtype], allow_finetune), name, tried)


def make_lora_ready(model: PathLike, out: PathLike, sites: PathLike) -> LoraReadyModel:
    """Write an ONNX model with an empty adapter path at each site of the delta `sites`. Raises EditcError (E668)."""
    from editc.formats.exports.lowering import plan_on_base
    from editc.formats.exports.onnx import surgery
    from editc.formats.exports.read import read_delta
    from editc.formats.models.model import open_model

    plan = plan_on_base(read_delta(delta_at(sites)), open_model(str(model)), True)
    return surgery.make_lora_ready(plan, Path(out).absolute())


def plan_apply(
    deltas: Paths,
    model: PathLike,
    allow_finetune: bool = False,
    requantize: bool = False,
    require_signature: Paths = (),
    policy: PathLike | None = None,
) -> ApplyPlan:
    """What `apply` would do, found by reading and hashing alone. Raises EditcError, also for deltas that are not
    signed by one of the public keys `require_signature`, or that the file `policy` does not admit."""
    from editc.formats.apply.plan import plan_apply as find_plan
    from editc.formats.exports.read import read_delta
    from editc.formats.models.model import open_model

    if "://" in str(model):
        from editc.publish.mirror import look

        given = (allow_finetune, requantize, require_signature, policy)
        plan, note = look(str(model), lambda local: plan_apply(deltas, local, *given))
        return replace(plan, model=replace(plan.model, place=str(model)), notes=(*plan.notes, note))
    if policy is None and not require_signature:
        opened, read = open_model(str(model)), [read_delta(path) for path in deltas_at(deltas)]
        return find_plan(read, opened, allow_finetune, requantize=requantize)
    from editc.signing import trust
    from editc.verbs.evidence import find_policies

    policies, now = find_policies(require_signature, policy), datetime.now(UTC)
    read = [trust.read_admitted(path, policies, now) for path in deltas_at(deltas)]
    plan = find_plan(read, open_model(str(model)), allow_finetune, requantize=requantize)
    trust.check_tier(plan, policies)
    return plan


def apply(
    deltas: Paths,
    model: PathLike,
    out: PathLike | None = None,
    in_place: bool = False,
    allow_finetune: bool = False,
    link: bool = False,
    requantize: bool = False,
    require_signature: Paths = (),
    policy: PathLike | None = None,
) -> Applied:
    """Write the edited model to `out`, or over itself with an undo journal. No file is ever left half-written.

    `link`: large unchanged files of the copy are hard links to the model's. `require_signature` and `policy` as in
    `plan_apply`.
    """
    from editc.formats.apply.apply import Applied, apply

    if "://" in str(model):
        from editc.publish.mirror import refuse_remote

        refuse_remote(str(model))
    plan = plan_apply(deltas, model, allow_finetune, requantize, require_signature, policy)
    return Applied(plan, apply(plan, None if out is None else Path(out), in_place, link))


def load(
    model: Any,
    deltas: Paths | Delta | Iterable[PathLike | Delta],
    *,
    strength: float = 1.0,
    allow_finetune: bool = False,
) -> Loaded:
    """Load deltas into a model in memory: a diffusers pipeline, a network of diffusers, or a model of transformers.

    The weights are checked by the hashes of the deltas, and become what `apply` writes for a model of their dtype, bit
    for bit. `unload()` of the result gives the old ones back; so does the end of a `with`. `deltas` are paths, or
    values such as `build(...).delta`. `strength` makes a share of each edit. Raises EditcError; the weights are then
    what they were.
    """
    from editc.core.delta import Delta
    from editc.formats.exports.read import read_delta
    from editc.live.load import load

    given: Iterable[Any] = [deltas] if isinstance(deltas, (Delta, str, os.PathLike)) else deltas
    read = [one if isinstance(one, Delta) else read_delta(delta_at(one)) for one in given]
    return load(model, read, strength, allow_finetune)


def revert(model: PathLike) -> RevertResult:
    """Undo the last in-place apply, bit for bit."""
    from editc.formats.apply.apply import revert
    from editc.formats.models.model import open_model

    return revert(open_model(str(model)))


def status(model: PathLike, deltas: Paths = ()) -> Status:
    """Find which deltas are in this model, by the hashes of its tensors."""
    from editc.formats.apply.status import status as find_status
    from editc.formats.exports.read import read_delta
    from editc.formats.models.model import open_model

    if "://" in str(model):
        from editc.publish.mirror import look

        found, note = look(str(model), lambda local: status(local, deltas))
        return replace(found, model=replace(found.model, place=str(model)), notes=(note,))
    return find_status(open_model(str(model)), [read_delta(path) for path in deltas_at(deltas)])


@in_notebook
def push(
    path: PathLike,
    target: str,
    card: PathLike | None = None,
    licence: str = "",
    private: bool = False,
    progress: ShowProgress = None,
) -> Pushed:
    """Publish a delta, or the folder of a build, to `hf://owner/name@revision`, `oci://host/repository:tag`,
    `oci:FOLDER:tag` or a folder. `card` is a model card of your own, `licence` the one that a made card names;
    `private`: a repository that is made on the hub is private. Raises EditcError."""
    from editc.publish.push import push

    return push(_build_at(path), target, None if card is None else Path(card), licence, private, progress or None)


@in_notebook
def pull(source: str, out: PathLike | None = None, progress: ShowProgress = None) -> Pulled:
    """Fetch what `push` published into the new folder `out`, and check every file. Raises EditcError."""
    from editc.publish.pull import pull

    return pull(source, None if out is None else Path(out), progress or None)


def write_card(path: PathLike, out: PathLike | None = None, licence: str = "") -> Path:
    """Write the model card of a delta, or of the folder of a build, to `out` or as README.md. Raises EditcError."""
    from editc.publish.push import write_card

    return write_card(_build_at(path), None if out is None else Path(out), licence)


def _build_at(path: PathLike) -> Build:
    """A delta, with the report beside it where the folder of a build is given."""
    from editc.publish.parcel import Build
    from editc.signing.check import signed_files
    from editc.signing.places import bom_place, signature_place, statements_place

    delta, folder = delta_at(path), Path(path)
    found = Build(delta, None, None, signature_place(delta), statements_place(delta), bom_place(delta))
    if not folder.is_dir():
        return found
    whole = signature_place(folder)
    signed = (whole, signed_files(whole)) if whole.exists() else (None, frozenset[str]())
    return replace(found, report=folder / REPORT, page=folder / PAGE, folder_signature=signed[0], signed=signed[1])


@in_notebook
def verify(
    path: PathLike,
    model: PathLike,
    allow_finetune: bool = False,
    progress: ShowProgress = None,
    detector: str = "",
) -> Again:
    """Derive the delta's problem again on `model`, and measure every claim with the delta's factors.

    `detector` judges the pictures in place of the delta's own. It is written as in a manifest (`none`, `{clip:
    FOLDER}`).
    """
    from editc.verbs.verify import verify

    return verify(delta_at(path), str(model), allow_finetune, progress or None, detector)


@in_notebook
def attack(
    path: PathLike,
    model: PathLike,
    attacks: str = "quick",
    detector: str = "",
    allow_finetune: bool = False,
    seed: int | None = None,
    progress: ShowProgress = None,
) -> Attacked:
    """Try to bring back what a delta erased, in `model` with the delta in it.

    `attacks` and `detector` are written as in a manifest (`thorough`, `{inversion: {words: 4, at_most: 0.1}}`). `seed`
    stands for the manifest's. Raises EditcError.
    """
    from editc.verbs.attack import attack

    return attack(delta_at(path), str(model), attacks, detector, allow_finetune, seed, progress or None)


@in_notebook
def link(
    deltas: Paths,
    out: PathLike,
    model: PathLike | None = None,
    composed: bool = False,
    progress: ShowProgress = None,
    detector: str = "",
) -> linking.Linked:
    """Link several deltas for one base into one delta in `out`, with a lock file beside it. Writes nothing if a bound
    of one of them no longer holds.

    `model`, the base, is needed if they edit the same tensors; with it all claims are measured again. `composed`: each
    is applied to the result of those before it, in the order given; otherwise they are added. `detector` judges the
    pictures of every part, in place of the detectors that the deltas name.
    """
    from editc.formats.exports.endings import check_delta_file
    from editc.libraries.tool import tool
    from editc.verbs import link as linking

    check_delta_file(Path(out))
    base = None if model is None else str(model)
    return linking.link_files(deltas_at(deltas), Path(out), base, composed, tool(), progress or None, detector)


@in_notebook
def diff(
    base: PathLike,
    edited: PathLike,
    out: PathLike,
    form: str = "auto",
    mend: str = "ulp",
    tolerance: float | None = None,
    progress: ShowProgress = None,
) -> Difference:
    """Make a delta from two checkpoints and write it to `out`: what changed, its rank and form. Raises EditcError."""
    from editc.core.storage.disk import make_parent
    from editc.formats.delta.container import write_delta
    from editc.formats.diff.diff import difference
    from editc.formats.exports.endings import check_delta_file
    from editc.formats.models.model import open_model
    from editc.libraries.tool import tool

    out = Path(out)
    check_delta_file(out)
    found = difference(open_model(str(base)), open_model(str(edited)), tool(), form, mend, tolerance, progress or None)
    make_parent(out)
    return replace(found, delta=write_delta(found.delta, out))


def inspect(place: PathLike) -> Description:
    """Describe what is in a delta, or in a model."""
    from editc.formats import inspect as inspecting

    if "://" in str(place):
        from editc.publish.mirror import look

        found, note = look(str(place), inspect)
        found.update(model=str(place), path=str(place), note=note)
        return found
    return inspecting.inspect(str(delta_at(place)))


def doctor(path: PathLike, model: PathLike | None = None, loaders: Sequence[str] = ()) -> Examination:
    """Say what diffusers, ComfyUI, A1111, PEFT and vLLM will each do with an adapter file. `loaders` are those that
    count.

    Its modules are looked up in `model` (headers only), or in the model that their names imply. Raises EditcError.
    """
    from editc.formats.doctor.examine import examine
    from editc.formats.models.model import open_model

    return examine(Path(path), None if model is None else open_model(str(model)), loaders)


def explain(name: str) -> str:
    """The long help for a code, a method, a family or a format. Raises EditcError (E130) for other names."""
    from editc.verbs.explain import explain

    return explain(name)
