"""The verbs of editc as functions: values in, values out, EditcError for what the user must mend, no printing.

built = build("manifest.yaml", "out")
apply("out/delta.safetensors", "stabilityai/stable-diffusion-2-1", out="patched")

Paths are text or `Path`; where deltas are asked for, one or several, each a file or the folder of its build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.writable import check_file, check_folder, check_parent, make_parent
from editc.formats.apply import apply as applying
from editc.formats.delta.container import write_delta
from editc.formats.exports.endings import check_delta_file
from editc.formats.exports.read import read_delta
from editc.formats.models.model import Model, open_model
from editc.verbs.paths import DELTA, LAST_GOOD, PAGE, REPORT, PathLike, Paths, delta_at, deltas_at
from editc.verbs.results import Again as Again
from editc.verbs.results import Built as Built
from editc.verbs.results import Checked as Checked

if TYPE_CHECKING:  # an apply needs none of these, and starts in half the time without
    from editc.core.delta import Delta
    from editc.core.manifest import Manifest
    from editc.core.ports import Progress
    from editc.formats.apply.status import Status
    from editc.formats.diff.diff import Difference
    from editc.formats.doctor.examine import Examination
    from editc.formats.exports.onnx.surgery import Ready
    from editc.formats.exports.write import Export
    from editc.verbs import link as linking
    from editc.verbs.proposal import Proposal


def tool() -> str:
    """This program and its version, as deltas name it."""
    from importlib.metadata import version

    return f"editc {version('editc')}"


def check(path: PathLike, overrides: Sequence[str] = ()) -> Checked:
    """Every mistake of a manifest at once, then whether its model has the sites: headers only, no torch."""
    from editc.verbs import check as checking

    return checking.checked(Path(path), overrides)


def build(
    path: PathLike,
    out: PathLike,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    after: Callable[[str, Any], bool] | None = None,
) -> Built | None:
    """Compile a manifest into `out`: delta, report.json and report.html; without a delta if a constraint is broken.

    `after(pass, value)` sees what each pass made and stops the build by returning False (then None is returned and
    nothing is written). A delta of an earlier build is replaced by a good one only: a failed build puts it into the
    folder `last-good`. Raises EditcError, E697 before any work.
    """
    from editc.core.ports import announce
    from editc.passes.images.verify.verify import failures, warnings
    from editc.verbs import open, pipeline

    announce(progress, "reading the manifest")
    out = Path(out)
    manifest, found = open.read_manifest(Path(path), overrides)
    if manifest is None:
        raise EditcError(*found)
    check_folder(out)
    model = open.model_of(manifest)
    ctx = open.with_adapters(open.build_context(manifest, model, progress), manifest)
    found = (*found, *open.unfused(ctx, manifest))
    ctx = open.with_earlier(ctx, manifest)
    *first, emit = pipeline.passes(open.corpus_of(model), tool(), manifest.language is not None)
    seen: list[str] = []
    verified = pipeline.run(manifest, first, ctx, _noting(seen, _stopped_by_formats(manifest, after)))
    if seen[-1] != "verify":
        return None
    broken = failures(verified)
    announce(progress, "emit")
    delta = None if broken else emit(verified, ctx)
    if delta is not None and after is not None and not after(emit.name, delta):
        return None
    announce(progress, "writing the report" if broken else "writing and trying what was made")
    return _written(Built(verified, delta, broken, (*found, *ctx.notes, *warnings(verified)), ()), out)


def suggest(
    path: PathLike,
    dictionary: PathLike | None = None,
    write: PathLike | None = None,
    progress: Progress | None = None,
) -> Proposal:
    """Other names, targets and what to preserve for each edit of a manifest, from its text encoder and the solver.

    `dictionary` has one name a line, to compare with; `write` is a new file for the manifest as proposed. Raises
    EditcError.
    """
    from editc.verbs.suggest import suggest

    names, new = (None if one is None else Path(one) for one in (dictionary, write))
    if new is not None:
        check_file(new)
    return suggest(Path(path), names, new, progress)


def _stopped_by_formats(manifest: Manifest, after: Callable[[str, Any], bool] | None) -> Callable[[str, Any], bool]:
    """`after`; and E680 or E677 as soon as family and sites are known, where a format that is asked for cannot hold
    the edit."""

    from editc.verbs import emit as emitting

    def look(name: str, value: Any) -> bool:
        if name == "locate" and (wrong := emitting.refused(manifest, value)):
            raise EditcError(*wrong)
        return after is None or after(name, value)

    return look


def _noting(seen: list[str], after: Callable[[str, Any], bool] | None) -> Callable[[str, Any], bool]:
    """`after`, remembering which passes ran; a build that was stopped after verify has not finished either."""

    def note(name: str, value: Any) -> bool:
        go = after is None or after(name, value)
        seen.append(name if go else "")
        return go

    return note


def _written(built: Built, out: Path) -> Built:
    from editc.core.disk import guarded
    from editc.verbs import emit as emitting
    from editc.verbs import open

    manifest = built.verified.solution.problem.plan.manifest
    model = open.model_of(manifest)
    with guarded(out):
        out.mkdir(parents=True, exist_ok=True)
        if built.delta is not None:
            emitting.clear_last(out / REPORT, model)
        elif (out / DELTA).exists():
            emitting.set_aside(out, LAST_GOOD, (DELTA, REPORT, PAGE), model)
    delta = None if built.delta is None else write_delta(built.delta, out / DELTA)
    names = ([DELTA] if delta else []) + [REPORT, PAGE]
    built = replace(built, delta=delta, files=tuple(out / name for name in names))
    _report(built, out)
    if delta is None or not manifest.emit:
        return built
    exports, faults = emitting.emitted(manifest, delta, model, out)
    files = (*built.files, *(file for one in exports if not one.failures for file in one.written.files))
    built = replace(built, files=files, exports=exports, failures=(*built.failures, *faults))
    _report(built, out)
    return built


def _report(built: Built, out: Path) -> None:
    from editc.core.disk import replace_file
    from editc.report import record as report
    from editc.verbs import emit as emitting

    found = (*built.failures, *built.warnings)
    exports = emitting.described(built.exports, out)
    record = report.as_json(built.verified, built.delta, diagnostics=found, tool=tool(), exports=exports)
    replace_file(out / REPORT, report.as_text(record).encode())
    replace_file(out / PAGE, report.as_html(built.verified, record).encode())


def export(
    path: PathLike,
    name: str,
    out: PathLike,
    model: PathLike | None = None,
    dtype: str = "fp32",
    allow_finetune: bool = False,
    tried: bool = True,
) -> Export:
    """Write a delta in another program's spelling, and let that program read it. `dtype` (fp32, fp16, bf16) is that of
    the factors in the file. Raises EditcError (E130, E675 to E681, E697)."""
    from editc.formats.exports import write as exporter
    from editc.formats.exports.format import DTYPES, Job

    exporter.find_format(name)
    out = Path(out)
    check_parent(out)
    opened = None if model is None else open_model(str(model))
    return exporter.export(Job(read_delta(delta_at(path)), opened, out, DTYPES[dtype], allow_finetune), name, tried)


def make_lora_ready(model: PathLike, out: PathLike, sites: PathLike) -> Ready:
    """Write an ONNX model with an empty adapter path at each site of the delta `sites`. Raises EditcError (E668)."""
    from editc.formats.exports.lowering import plan_unedited
    from editc.formats.exports.onnx import surgery

    plan = plan_unedited(read_delta(delta_at(sites)), open_model(str(model)), True)
    return surgery.make_lora_ready(plan, Path(out).absolute())


def plan_apply(
    deltas: Paths, model: PathLike, allow_finetune: bool = False, requantize: bool = False
) -> applying.ApplyPlan:
    """What `apply` would do, by reading and hashing alone."""
    opened, read = open_model(str(model)), [read_delta(path) for path in deltas_at(deltas)]
    return applying.plan_apply(read, opened, allow_finetune, requantize=requantize)


def apply(
    deltas: Paths,
    model: PathLike,
    out: PathLike | None = None,
    in_place: bool = False,
    allow_finetune: bool = False,
    link: bool = False,
    requantize: bool = False,
) -> tuple[applying.ApplyPlan, applying.Applied]:
    """Write the edited model to `out`, or over itself with an undo journal. Nothing is ever half-written.

    `link`: large files of the copy that do not change are hard links to the model's.
    """
    plan = plan_apply(deltas, model, allow_finetune, requantize)
    return plan, applying.apply(plan, None if out is None else Path(out), in_place, link)


def revert(model: PathLike) -> applying.Reverted:
    """Undo the last in-place apply, bit for bit."""
    return applying.revert(open_model(str(model)))


def status(model: PathLike, deltas: Paths = ()) -> Status:
    """Which deltas are in this model, by hashes."""
    from editc.formats.apply.status import status as find_status

    return find_status(open_model(str(model)), [read_delta(path) for path in deltas_at(deltas)])


def verify(
    path: PathLike,
    model: PathLike,
    allow_finetune: bool = False,
    progress: Progress | None = None,
    detector: str = "",
) -> Again:
    """Derive the delta's own problem on `model` again and measure every claim with the delta's factors.

    `detector` judges the pictures in place of the delta's own, as a manifest would name it (`none`, `{clip: FOLDER}`).
    """
    from editc.core.ports import announce
    from editc.formats.delta.parts import is_linked
    from editc.formats.diff.diff import refuse_to_verify
    from editc.passes.images.verify.verify import failures, warnings
    from editc.verbs import open
    from editc.verbs.recheck import (
        another_detector,
        disagreements,
        measured,
        posed_again,
        recorded_manifest,
        recorded_solution,
    )

    path = delta_at(path)
    delta, opened = read_delta(path), open_model(str(model))
    plan = applying.plan_apply([delta], opened, allow_finetune)
    if plan.status == "already":
        return Again(delta, "already", None, (_unmeasured(plan),))
    refuse_to_verify(delta)
    if is_linked(delta):
        return _verified_parts(delta, path, opened, plan.tier, progress, detector)
    manifest = recorded_manifest(delta, path, detector)
    ctx = open.build_context(manifest, opened, progress)
    announce(progress, "derive")
    problem = posed_again(delta, manifest, opened.place, open.corpus_of(opened), ctx)
    announce(progress, "verify")
    verified = measured(recorded_solution(delta, problem), ctx)
    differing = disagreements(delta, verified) if plan.tier == "exact" else ()
    said = (*warnings(verified), *another_detector(delta, verified))
    return Again(delta, plan.tier, verified, (*failures(verified), *differing), warnings=said)


def _unmeasured(plan: applying.ApplyPlan) -> Diagnostic:
    total = len(plan.targets)
    message = f"nothing was measured: the model contains this edit already ({total} of {total} tensors, bit for bit)"
    help_text = "give the unedited base to measure the claims again; `editc status` tells which edits a model has"
    return Diagnostic("E512", message, place=plan.model.place, help=help_text)


def _verified_parts(
    delta: Delta, path: Path, model: Model, tier: str, progress: Progress | None, detector: str
) -> Again:
    from editc.formats.delta.parts import parts
    from editc.passes.images.verify.verify import failures
    from editc.verbs import link as linking
    from editc.verbs.recheck import disagreements

    labels = {part.delta_id: f"{path} part {number}" for number, part in enumerate(parts(delta))}
    measured = linking.measure(delta, labels, model, progress, detector)
    found: list[Diagnostic] = []
    for part in measured:
        if part.verified is not None:
            found += failures(part.verified)
            found += disagreements(part.delta, part.verified) if tier == "exact" else ()
    return Again(delta, tier, None, tuple(found), measured)


def link(
    deltas: Paths,
    out: PathLike,
    model: PathLike | None = None,
    composed: bool = False,
    progress: Progress | None = None,
    detector: str = "",
) -> linking.Linked:
    """Several deltas for one base as one delta in `out`, with a lock file beside it; nothing is written where a bound
    of one of them no longer holds.

    `model`, the base, is needed where they edit the same tensors; with it everything that they claim is measured again.
    `composed`: each is applied to what those before it left, in the order given; otherwise they are added.
    `detector` judges the pictures of every part, in place of those that they name.
    """
    from editc.verbs import link as linking

    check_delta_file(Path(out))
    base = None if model is None else str(model)
    return linking.link_files(deltas_at(deltas), Path(out), base, composed, tool(), progress, detector)


def diff(
    base: PathLike,
    edited: PathLike,
    out: PathLike,
    form: str = "auto",
    mend: str = "ulp",
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Difference:
    """A delta from two checkpoints, written to `out`: what was changed, its rank and form. Raises EditcError."""
    from editc.formats.diff.diff import difference

    out = Path(out)
    check_delta_file(out)
    found = difference(open_model(str(base)), open_model(str(edited)), tool(), form, mend, tolerance, progress)
    make_parent(out)
    return replace(found, delta=write_delta(found.delta, out))


def inspect(place: PathLike) -> Mapping[str, Any]:
    """What is in this delta, or this model."""
    from editc.formats import inspect as inspecting

    return inspecting.inspect(str(delta_at(place)))


def doctor(path: PathLike, model: PathLike | None = None, loaders: Sequence[str] = ()) -> Examination:
    """What diffusers, ComfyUI, A1111, PEFT and vLLM will each do with an adapter file; `loaders` are those that count.

    Its modules are looked up in `model` (headers only), or in the model that their names imply. Raises EditcError.
    """
    from editc.formats.doctor.examine import examine

    return examine(Path(path), None if model is None else open_model(str(model)), loaders)


def explain(name: str) -> str:
    """Long form help for a diagnostic's code, a method, a family or a format. Raises EditcError (E130) for others."""
    from editc.verbs.explain import explain

    return explain(name)
