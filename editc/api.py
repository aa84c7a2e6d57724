"""The verbs of editc as functions: values in, values out, EditcError for what the user must mend, no printing.

built = build(Path("manifest.yaml"), Path("out"))
apply([Path("out/delta.safetensors")], "stabilityai/stable-diffusion-2-1", out=Path("patched"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from editc import session
from editc.diagnostics import Diagnostic, EditcError, fail
from editc.family import Family
from editc.formats import apply as applying
from editc.formats import inspect as inspecting
from editc.formats.checkpoint import open_model
from editc.formats.export import Export, outputs, refused
from editc.formats.export import export as export_
from editc.formats.exported import read_delta
from editc.formats.exporting import DTYPES, Job
from editc.formats.files import clear
from editc.formats.safetensors_delta import write_delta
from editc.formats.status import Status
from editc.formats.status import status as find_status
from editc.ir import Delta, Plan, Verified
from editc.manifests.decode import read
from editc.ports import Context, Progress
from editc.proposal import Proposal
from editc.request import Manifest

DELTA, REPORT, PAGE = "delta.safetensors", "report.json", "report.html"


@dataclass(frozen=True)
class Checked:
    """What `check` found: warnings and errors in the order of the lines, and the plan when there is no error."""

    diagnostics: tuple[Diagnostic, ...]
    manifest: Manifest | None
    plan: Plan | None


@dataclass(frozen=True)
class Built:
    """What a build made. `failures` are the constraints that it broke: then there is a report and no delta."""

    verified: Verified
    delta: Delta | None
    failures: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    files: tuple[Path, ...]
    exports: tuple[Export, ...] = ()


def tool() -> str:
    """This program and its version, as deltas name it."""
    return f"editc {version('editc')}"


def check(path: Path, overrides: Sequence[str] = ()) -> Checked:
    """Every mistake of a manifest at once, then whether its model has the sites: headers only, no torch."""
    from editc.passes.locate import Locate

    manifest, found = read(path, overrides)
    if manifest is None:
        return Checked(found, None, None)
    try:
        ctx = session.with_adapters(session.header_context(manifest, session.model_of(manifest)), manifest)
        plan = Locate(session.families())(manifest, ctx)
        return Checked((*found, *refused(manifest.emit, plan.family.name)), manifest, plan)
    except EditcError as error:
        return Checked((*found, *error.diagnostics), manifest, None)


def build(
    path: Path,
    out: Path,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    after: Callable[[str, Any], bool] | None = None,
) -> Built | None:
    """Compile a manifest into `out`: delta, report.json and report.html; without a delta if a constraint is broken.

    `after(pass, value)` sees what each pass made and stops the build by returning False (then None is returned and
    nothing is written). Raises EditcError.
    """
    from editc import pipeline
    from editc.passes.verify import failures, warnings

    manifest, found = read(path, overrides)
    if manifest is None:
        raise EditcError(*found)
    model = session.model_of(manifest)
    ctx = session.with_adapters(session.build_context(manifest, model, progress), manifest)
    *first, emit = pipeline.passes(session.corpus_of(model), tool())
    seen: list[str] = []
    verified = pipeline.run(manifest, first, ctx, _noting(seen, _stopped_by_formats(manifest, after)))
    if seen[-1] != "verify":
        return None
    broken = failures(verified)
    delta = None if broken else emit(verified, ctx)
    if delta is not None and after is not None and not after(emit.name, delta):
        return None
    return _written(Built(verified, delta, broken, (*found, *warnings(verified)), ()), out)


def suggest(
    path: Path, dictionary: Path | None = None, write: Path | None = None, progress: Progress | None = None
) -> Proposal:
    """Other names, targets and what to preserve for each edit of a manifest, from its text encoder and the solver.

    `dictionary` has one name a line, to compare with; `write` is a new file for the manifest as proposed, and what is
    kept goes beside it where the manifest names nothing. Raises EditcError.
    """
    from editc import proposal
    from editc.manifests.dictionary import names_in
    from editc.passes.suggest import suggest as find

    manifest, plan, ctx, corpus = _opened(path, write, progress)
    found = find(plan, ctx, corpus, () if dictionary is None else names_in(dictionary))
    kept = None if write is None else f"{write.stem}.kept.txt"
    made = proposal.propose(manifest, found, kept)
    return made if write is None else _put(made, write, corpus)


def _opened(
    path: Path, write: Path | None, progress: Progress | None
) -> tuple[Manifest, Plan, Context, tuple[str, ...]]:
    """What suggest works on; E171 and E341 before any work: the place to write to is taken,
    or adapters are fused."""
    from editc.manifests.amend import free
    from editc.passes.locate import Locate
    from editc.passes.suggest import refuse_fused

    if write is not None:
        free(write, write.with_name(f"{write.stem}.kept.txt"))
    manifest, found = read(path)
    if manifest is None:
        raise EditcError(*found)
    refuse_fused(manifest)
    manifest = replace(manifest, pictures=None)
    model = session.model_of(manifest)
    ctx = session.build_context(manifest, model, progress)
    return manifest, Locate(session.families())(manifest, ctx), ctx, session.corpus_of(model)


def _put(made: Proposal, write: Path, corpus: Sequence[str]) -> Proposal:
    """Writes the manifest, and the prompts that it keeps where it names them as a file: none that names an edit's."""
    from editc.formats.files import guarded, replace_file
    from editc.passes.corpus import mentions

    kept = write.with_name(f"{write.stem}.kept.txt")
    files = {write: made.text}
    if kept.name in made.text:
        edited = [n for s in made.suggestions for n in (*s.request.names, *(one.name for one in s.names.sure))]
        files[kept] = "\n".join(p for p in corpus if not any(mentions(p, name) for name in edited)) + "\n"
    for place, text in files.items():
        with guarded(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(place, text.encode())
    return replace(made, files=tuple(files))


def _stopped_by_formats(manifest: Manifest, after: Callable[[str, Any], bool] | None) -> Callable[[str, Any], bool]:
    """`after`; and E680 as soon as the family is known, where it does not go with a format that is asked for."""

    def look(name: str, value: Any) -> bool:
        if name == "locate" and (wrong := refused(manifest.emit, value.family.name)):
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
    from editc import report
    from editc.formats.files import guarded, replace_file

    with guarded(out):
        out.mkdir(parents=True, exist_ok=True)
    delta = built.delta
    if delta is None:
        (out / DELTA).unlink(missing_ok=True)
    else:
        delta = write_delta(delta, out / DELTA)
    found = (*built.failures, *built.warnings)
    record = report.as_json(built.verified, delta, diagnostics=found, tool=tool())
    replace_file(out / REPORT, report.as_text(record).encode())
    replace_file(out / PAGE, report.as_html(built.verified, record).encode())
    names = ([DELTA] if delta else []) + [REPORT, PAGE]
    built = replace(built, delta=delta, files=tuple(out / name for name in names))
    return built if delta is None else _emitted(built, delta, out)


def _emitted(built: Built, delta: Delta, out: Path) -> Built:
    """The formats of `emit`, each beside the delta; what an earlier build left under these names goes first."""
    manifest = built.verified.solution.problem.plan.manifest
    wanted = outputs([name for name in manifest.emit if name != "safetensors"])
    made = []
    for name, file in wanted.items():
        clear(out / file)
        made.append(export_(Job(delta, session.model_of(manifest), out / file), name))
    files = (*built.files, *(file for one in made for file in one.written.files))
    failures = (*built.failures, *(failure for one in made for failure in one.failures))
    return replace(built, files=files, exports=tuple(made), failures=failures)


def export(
    path: Path,
    name: str,
    out: Path,
    model: str | None = None,
    dtype: str = "fp32",
    allow_finetune: bool = False,
    tried: bool = True,
) -> Export:
    """Write a delta in another program's spelling, and let that program read it. `dtype` (fp32, fp16, bf16) is that of
    the factors in the file. Raises EditcError (E130, E675 to E681)."""
    opened = None if model is None else open_model(model)
    return export_(Job(read_delta(path), opened, out, DTYPES[dtype], allow_finetune), name, tried)


def plan_apply(
    deltas: Sequence[Path], model: str, allow_finetune: bool = False, requantize: bool = False
) -> applying.ApplyPlan:
    """What `apply` would do, by reading and hashing alone."""
    opened = open_model(model)
    return applying.plan_apply([read_delta(path) for path in deltas], opened, allow_finetune, requantize=requantize)


def apply(
    deltas: Sequence[Path],
    model: str,
    out: Path | None = None,
    in_place: bool = False,
    allow_finetune: bool = False,
    requantize: bool = False,
) -> tuple[applying.ApplyPlan, applying.Applied]:
    """Write the edited model to `out`, or over itself with an undo journal. Nothing is ever half-written."""
    plan = plan_apply(deltas, model, allow_finetune, requantize)
    return plan, applying.apply(plan, out, in_place)


def revert(model: str) -> applying.Reverted:
    """Undo the last in-place apply, bit for bit."""
    return applying.revert(open_model(model))


def status(model: str, deltas: Sequence[Path] = ()) -> Status:
    """Which deltas are in this model, by hashes."""
    return find_status(open_model(model), [read_delta(path) for path in deltas])


@dataclass(frozen=True)
class Again:
    """A delta measured anew. `tier` is how the model matched; `already`: the edit is in it, bit for bit as recorded.

    `verified` is None then, for the base that the claims compare with is not there. `failures`: bounds that are broken
    and, where the weights are the delta's own base, claims that do not come out as recorded.
    """

    delta: Delta
    tier: str
    verified: Verified | None
    failures: tuple[Diagnostic, ...]


def verify(path: Path, model: str, allow_finetune: bool = False, progress: Progress | None = None) -> Again:
    """Derive the delta's own problem on `model` again and measure every claim with the delta's factors."""
    from editc.passes.derive import Derive
    from editc.passes.verify import Verify, failures
    from editc.recheck import disagreements, recorded_manifest, recorded_plan, recorded_solution

    delta, opened = read_delta(path), open_model(model)
    plan = applying.plan_apply([delta], opened, allow_finetune)
    if plan.status == "already":
        return Again(delta, "already", None, ())
    manifest = recorded_manifest(delta, path)
    ctx = session.build_context(manifest, opened, progress)
    problem = Derive(session.corpus_of(opened))(recorded_plan(delta, manifest, model), ctx)
    verified = Verify()(recorded_solution(delta, problem), ctx)
    differing = disagreements(delta, verified) if plan.tier == "exact" else ()
    return Again(delta, plan.tier, verified, (*failures(verified), *differing))


def inspect(place: str) -> Mapping[str, Any]:
    """What is in this delta, or this model."""
    return inspecting.inspect(place)


def explain(name: str) -> str:
    """Long form help for a diagnostic's code, a method or a family. Raises EditcError (E130) for anything else."""
    from editc import codes, registry

    if codes.lookup(name) is not None:
        return codes.explain(name)
    for kind in ("method", "family"):
        if name.lower() in registry.names(kind):
            return _described(kind, name.lower())
    known = [*registry.names("method"), *registry.names("family"), *codes.catalogue()]
    near = registry.nearest(name, tuple(known))
    raise fail(
        "E130",
        f"there is nothing named `{name}` to explain",
        help=f"did you mean `{near}`?" if near else "name a code (E501), a method (uce) or a family (sd1)",
    )


def _described(kind: Any, name: str) -> str:
    from inspect import cleandoc

    from editc import registry

    thing = registry.resolve(kind, name)
    if kind == "method":
        given = {o.name: "by the key rule" if o.default is None else o.default for o in registry.options(name)}
        options = [f"  {option} = {default}" for option, default in given.items()]
        doc = cleandoc(thing.__doc__ or "")
        return "\n".join([f"method {name}", "", doc, "", "options and defaults:", *options, ""])
    return "\n".join([*_family_lines(thing), "contexts:", *(f"  {context}" for context in thing.contexts), ""])


def _family_lines(family: Family) -> Iterator[str]:
    """What a family is: sites, what each role's layers see, what leaks, what is not exact."""
    yield from (f"family {family.name}: {family.title}", "", f"component: {family.component}", "sites:")
    for role, pattern in family.patterns.items():
        chosen = "" if role in family.edited else "  (only with `sites: {roles: [...]}`: unedited, it is a leak)"
        yield f"  {role}: {pattern}{chosen}"
        yield f"     sees {family.groups[family.group_of(role)].sees}"
    yield from (f"  {role}: not editable, {reason}" for role, reason in family.refused.items())
    yield from (f"note: {note}" for note in family.notes)
    yield from (f"neutral concept: {family.neutral!r}", f"default method: {family.default_method}")
