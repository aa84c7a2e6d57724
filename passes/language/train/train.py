"""Train a stage of a language model: low-rank factors beside its matrices, and the edits that they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import nan
from typing import Any

from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import OnRows
from editc.core.plan import Plan, Stage
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.core.solution import Edit, Stats, Training
from editc.passes.language.schemes.ask import Ask
from editc.passes.language.schemes.model import Trainable
from editc.passes.language.schemes.subject import NOTHING, Beside, Subject, make_subject
from editc.passes.language.train.free import find_free
from editc.passes.training.checkpoint import Checkpoints
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import MakeAsk, Progressed, make_optimizer, save_period, train
from editc.passes.training.scheme import Scheme, State, Term


def train_stage(
    problem: Problem, stage: Stage, method: Any, network: Trainable, ctx: Context
) -> tuple[Mapping[str, Edit], Training]:
    """Train the factors of a stage's matrices. Returns site name -> its edit, and how the training went.

    Raises E126 for a row that is a single token, and E410 where the retain set leaves no direction free.
    """
    plan = problem.plan
    sites = [plan.sites[index] for index in stage.sites]
    subjects = tuple(make_subjects(plan, stage, network, method.beside()))
    scheme = _without_idle_terms(method.scheme(), subjects)
    retained = [row for one in subjects for row in one.retain]
    free = find_free(network, sites, retained, method.energy, plan.manifest) if scheme.free else {}
    with attach_factors(network, sites, scheme.rank, plan.manifest.seed, free=free) as factors:
        training = _run(network, method, scheme, subjects, factors, problem, ctx)
        return {site.name: edit_of(factors, site.name) for site in sites}, training


def _without_idle_terms(scheme: Scheme, subjects: Sequence[Subject]) -> Scheme:
    """The scheme without the terms whose rows no subject has, as the first slice of a stack has none before it."""
    terms = tuple(one for one in scheme.terms if any(subject.rows(one.feed.of) for subject in subjects))
    return replace(scheme, terms=terms)


def make_subjects(plan: Plan, stage: Stage, network: Trainable, beside: Beside = NOTHING) -> Iterator[Subject]:
    """One subject for each edit of a stage, with what its method asks for beside the rows."""
    manifest = plan.manifest
    for index in stage.edits:
        edit = manifest.language_edits[index]
        assert isinstance(edit, OnRows)
        try:
            yield make_subject(edit, manifest.chat, network, manifest.seed, beside)
        except LookupError as error:
            help_ = "remove the row, or write more of its answer"
            raise EditcError(
                Diagnostic("E126", str(error), edit.at(f"{edit.kind}.file"), manifest.source, help_)
            ) from error


def edit_of(factors: Factors, name: str) -> Edit:
    """The edit of one matrix: its factors in half precision."""
    left, right = factors.rounded(name)
    return Edit("low-rank", (left,), (right,), Stats(nan, nan, len(right)))


def _run(
    network: Trainable,
    method: Any,
    scheme: Scheme,
    subjects: Sequence[Subject],
    factors: Factors,
    problem: Problem,
    ctx: Context,
) -> Training:
    """Train `factors`, going on from a checkpoint where the cache has one."""
    import torch

    generator = torch.Generator().manual_seed(problem.plan.manifest.seed)
    begun = Progressed(factors, make_optimizer(scheme.optimiser, factors), generator, [{} for _ in subjects])
    save = None
    if ctx.cache is not None:
        points = Checkpoints(ctx.cache, identity(method, scheme, subjects, problem))
        points.resume(begun, save_period(scheme, len(subjects)), scheme.steps * len(subjects))
        save = points.save
    return train(scheme, subjects, begun, ask_rows(network, begun), ctx.progress, save)


def ask_rows(network: Trainable, begun: Progressed) -> MakeAsk:
    """What draws the rows that a term asks about."""
    return partial(_ask, network, begun)


def _ask(network: Trainable, begun: Progressed, term: Term, subject: Subject, state: State) -> Ask:
    """Rows of a term's feed, about which both models can be asked."""
    pool, index = term.feed.draw(subject, term.latents, begun.generator)
    return Ask(network, begun.factors, pool, index, begun.generator, state)


def identity(method: Any, scheme: Scheme, subjects: Sequence[Subject], problem: Problem) -> str:
    """Everything that decides what is trained, and where: a checkpoint of another training is never taken up."""
    import torch

    sites: Sequence[Site] = problem.plan.sites
    seed, threads = problem.plan.manifest.seed, torch.get_num_threads()
    names = [site.name for site in sites]
    options = sorted(vars(method).items())
    parts = repr(scheme), repr(options), repr(subjects), problem.encoder, repr(names), f"{seed} {threads}"
    return "\0".join(parts)
