"""Language models: how a build opens them, and their passes, records and diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editc.core.diagnostics import Diagnostic, EditcError, fail, pointing_at
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.ports import Context, Progress, announce
from editc.formats.models.model import Model
from editc.libraries.extras import require_build
from editc.verbs.kind import ModelKind, OpenedManifest, Pass

if TYPE_CHECKING:
    from editc.core.delta import Delta
    from editc.core.network import Network
    from editc.core.plan import Plan, Stage
    from editc.core.problem import Problem
    from editc.core.solution import Solution, Verified

TOKENIZER_FILES = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
"""The files of a tokenizer: a model's folder must hold all files of one of these groups."""


def missing_parts(opened: OpenedManifest) -> Iterator[Diagnostic]:
    """Find what a build needs besides the weights and does not have: files of the folder, or a folder that its
    libraries can load."""
    from editc.opening.loadable import require_language_folder

    try:
        require_folder(opened.manifest, opened.target.model)
        with pointing_at(opened.manifest, "model"):
            require_language_folder(opened.target.model)
    except EditcError as error:
        yield from error.diagnostics
    try:
        _require_suite(opened.manifest)
    except EditcError as error:
        yield from error.diagnostics


def _require_suite(manifest: Manifest) -> None:
    """Raise E111 where the questions of `verify.suite` cannot be read, or its oracle is neither a folder nor a file,
    before anything is solved."""
    check = manifest.suite
    if check is None:
        return
    from editc.passes.language.suite.data import read_suite

    folder = Path(manifest.source.name).parent
    with pointing_at(manifest, "data", check):
        read_suite(check.data, folder)
    with pointing_at(manifest, "oracle", check):
        if check.oracle is not None and not (folder / check.oracle).exists():
            help_text = "give the folder of a model, or a JSON file of its figures"
            raise fail("E111", f"there is no oracle at `{check.oracle}`", help=help_text)


def open_ports(opened: OpenedManifest, progress: Progress | None) -> Context:
    """Open the ports of a build. A language model runs as a whole, from its folder."""
    from editc.backends import networks
    from editc.cache import disk
    from editc.libraries.device import describe_runner
    from editc.opening.loadable import require_language_folder

    manifest, model = opened.manifest, opened.model
    require_build("torch", "transformers")
    ctx = replace(opened.family_ports, cache=disk.open_cache(manifest.model), progress=progress)
    assert ctx.family is not None
    locate_pass()(manifest, ctx)  # reports mistakes in the manifest before the model is loaded
    require_folder(manifest, model)
    _require_suite(manifest)
    announce(progress, "loading libraries and the model")
    with pointing_at(manifest, "model"):
        require_language_folder(model)
        network = networks.load(model.path)
        _require_norm(network, ctx.family, manifest.model)
    runners = {"network": describe_runner(network.device)}
    return replace(ctx, network=network, oracle=_open_oracle(manifest), encoder_runners=runners)


def _open_oracle(manifest: Manifest) -> Network | None:
    """Load the oracle of `verify.suite` where it is the folder of a model. None where there is none, or where it is a
    file of figures."""
    from editc.backends import networks

    if manifest.suite is None or manifest.suite.oracle is None:
        return None
    folder = Path(manifest.source.name).parent / manifest.suite.oracle
    return networks.load(folder) if folder.is_dir() else None


def _require_norm(network: Network, family: Family, place: str) -> None:
    """Raise E206 if the loaded model has a norm between MLP and residual stream and its family has none, or the
    reverse."""
    if (network.multiplier is None) != family.normed:
        how = "with" if family.normed else "without"
        message = f"this model differs from {family.title}, whose MLPs write to the residual stream {how} a norm"
        raise fail("E206", message, place=place, help="docs/reference/families.md lists the supported models")


def require_folder(manifest: Manifest, model: Model) -> None:
    """Raise E205 if a language model is not a whole folder: weights alone, or no configuration, or no tokenizer.

    Looks for files and reads none.
    """
    help_text = "give the model's whole folder: config.json, the tokenizer's files and *.safetensors"
    with pointing_at(manifest, "model"):
        if model.layout != "folder":
            raise fail(
                "E205", "a language model needs its whole folder, but this is only a weights file", help=help_text
            )
        present = {path.name for path in model.path.iterdir()}
        if not any(present.issuperset(names) for names in TOKENIZER_FILES):
            named = " or ".join(" with ".join(f"`{name}`" for name in names) for names in TOKENIZER_FILES)
            message = f"the model's folder has no tokenizer ({named})"
            raise fail("E205", message, place=str(model.path), help=help_text)
        if "config.json" not in present:
            raise fail("E205", "the model's folder has no `config.json`", place=str(model.path), help=help_text)


def with_earlier(ctx: Context, opened: OpenedManifest) -> Context:
    """Add `ctx.earlier`, what each delta under `after` asks of later edits, and `ctx.ledger`, the same of every delta
    in the model."""
    from editc.verbs.earlier import find_earlier_edits, find_ledger

    earlier = find_earlier_edits(opened)
    return replace(ctx, earlier=earlier, ledger=find_ledger(opened, earlier))


def locate_pass() -> Pass:
    """The pass locate: Manifest -> Plan."""
    from editc.passes.language.locate.locate import LocateLanguage

    return LocateLanguage()


def passes(corpus: Sequence[str]) -> tuple[Pass, ...]:
    """The passes derive, solve and verify: Plan -> Rewrites -> Solution -> Verified.

    `corpus` is not used: no prompts are preserved by default, because the model itself is asked what must stay.
    """
    from editc.passes.language.keys.derive import DeriveLanguage
    from editc.passes.language.solve.rounds import SolveInRounds
    from editc.passes.language.verify.verify import VerifyLanguage

    return (DeriveLanguage(), SolveInRounds(), VerifyLanguage())


def record_edits(solution: Solution) -> Iterator[Mapping[str, Any]]:
    """The record of each edit that a delta keeps, in the order of the manifest."""
    from editc.passes.language.solve.record import record_edits

    return record_edits(solution)


def recorded_stages(manifest: Manifest, family: Family, sites: int) -> tuple[Stage, ...]:
    """The stages of a recorded delta's plan, for measuring it again."""
    from editc.passes.language.locate.stages import stages_of_delta

    return stages_of_delta(manifest, family, sites)


def derive_again(plan: Plan, ctx: Context, corpus: Sequence[str]) -> Problem:
    """The problem of a delta again, to measure its claims. Learned values are left out: the delta's factors contain
    them."""
    from editc.passes.language.keys.problem import build_problem

    return build_problem(plan, ctx)


def problem_of_part(problem: Problem, part: Delta, linked: Delta) -> Problem:
    """The problem of `part`, changed for measuring it inside `linked`.

    What a language model says depends on every change, so all sites of `linked` are measured. The concepts that other
    parts edit go into `others`, apart from the part's own.
    """
    from editc.core.language_problem import LanguageProblem

    assert isinstance(problem, LanguageProblem)
    sites = tuple(record.site for record in linked.sites)
    own = {edit["concept"] for edit in part.edits}
    others = tuple(edit["concept"] for edit in linked.edits if edit["concept"] not in own)
    return replace(problem, plan=replace(problem.plan, sites=sites), others=others)


def verify_pass(others: Sequence[str]) -> Pass:
    """The pass verify: Solution -> Verified. `others` is not used: the problem already has the names that other deltas
    edit."""
    from editc.passes.language.verify.verify import VerifyLanguage

    return VerifyLanguage()


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound."""
    from editc.passes.language.verify.warnings import failures

    return failures(verified)


def warnings(verified: Verified) -> tuple[Diagnostic, ...]:
    """Warnings about what the report cannot prove."""
    from editc.passes.language.verify.warnings import warnings

    return tuple(warnings(verified))


def _no_contexts(folder: Path) -> tuple[str, ...]:
    """No sentences: a language model has no contexts of its own."""
    return ()


LANGUAGE = ModelKind(
    name="language",
    own_contexts=_no_contexts,
    edited_part=lambda opened, ctx: ctx,
    with_adapters=lambda ctx, manifest: ctx,
    adapter_warnings=lambda ctx, manifest: (),
    missing_parts=missing_parts,
    open_ports=open_ports,
    with_earlier=with_earlier,
    locate_pass=locate_pass,
    passes=passes,
    record_edits=record_edits,
    recorded_stages=recorded_stages,
    derive_again=derive_again,
    problem_of_part=problem_of_part,
    verify_pass=verify_pass,
    attack=lambda solution, ctx: ((), (), ()),
    failures=failures,
    warnings=warnings,
)
"""The kind of language models."""
