"""Verify of a language model: run it as it will be stored, and hold what it says against the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.language_problem import LanguageProblem
from editc.core.manifest import Manifest
from editc.core.measurements import Claim, Report
from editc.core.network import Network
from editc.core.ports import Context
from editc.core.solution import Solution, Verified
from editc.judging import conclude
from editc.passes.claims import claims_of_solve, no_change
from editc.passes.language import questions as prompts
from editc.passes.language.verify import (
    ask,
    bystanders,
    claims,
    column_trace,
    first_words,
    forms,
    side_effects,
)
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.column_trace import ColumnTrace
from editc.passes.sites import layer_of
from editc.passes.stored import EditedSite, as_in_file, edited_sites


@dataclass(frozen=True)
class VerifyLanguage:
    """Asks the model as it was and as it will be every prompt of the manifest and of editc's own templates."""

    closely: int = 6
    """The number of edited prompts that are also asked in other forms and continued, which costs the most."""
    tokens: int = 16
    """The length of a continuation, in tokens."""
    sentences: int = 24
    """The number of editc's own sentences that are compared where the manifest has no `retain`."""
    name: ClassVar[str] = "verify"

    def __call__(self, solution: Solution, ctx: Context) -> Verified:
        """The solution with its report; raises E502 or E503. A broken bound does not raise: see `verify`."""
        manifest = solution.problem.plan.manifest
        network = ctx.network
        assert network is not None
        measured, after = trace_sites(solution, ctx)
        if not after:
            differs = "what is asked for is not what the model says already"
            raise no_change(manifest.language_edits[0], manifest, len(measured), differs)
        before = BaseModel(network, ctx.cache, solution.problem.encoder)
        said = ask.ask_first_words(before, prompts.open_prompts(manifest))
        every = prompts.changes(manifest, said)
        closely = forms.choose_changes(every, self.closely)
        questions = _questions(manifest, every, closely, said, ask.has_chat_template(network))
        found = ask.ask_questions(before, questions, after, self.tokens)
        titles, asked = prompts.titles(manifest), manifest.constraints
        others = solution.problem.others if isinstance(solution.problem, LanguageProblem) else ()
        around = bystanders.measure_bystanders(manifest, manifest.seed, every, before, after, others)
        made = (
            *claims.claims(found, closely, titles, asked),
            *bystanders.claims(around, manifest, asked),
            *side_effects.claims(side_effects.texts(manifest, self.sentences), titles, before, after, asked),
            *side_effects.at_start(manifest, titles, network, after),
            *first_words.claims(manifest, network),
            *claims_of_solve(solution, sum(one.changed.elements > 0 for one in measured)),
            *_trace_claims(measured, network),
        )
        answers, moved = tuple(one.answer for one in found), bystanders.findings(around)
        return conclude(solution, Report(made, tuple(map(_row, measured)), answers=answers, bystanders=moved))


@dataclass(frozen=True)
class TracedSite:
    """One edited matrix and how far its columns moved."""

    changed: EditedSite
    """The site and how far it changed; `changed.after` holds the values."""
    trace: ColumnTrace | None
    """The trace in its columns. None: no column moved."""


def trace_sites(solution: Solution, ctx: Context) -> tuple[tuple[TracedSite, ...], Mapping[str, Any]]:
    """Every edited site without its values, and by name the values of those that differ."""
    measured, after = [], {}
    sites = solution.problem.plan.sites
    watched = ctx.progress("verify", sites) if ctx.progress else sites
    for _, one in zip(watched, edited_sites(solution, ctx.weights), strict=True):
        W = ctx.weights.read(one.site.name)
        measured.append(
            TracedSite(one, column_trace.measure_trace(as_in_file(one.site, W), as_in_file(one.site, one.after)))
        )
        if one.elements:
            after[one.site.name] = one.after
    return tuple(measured), after


def _questions(
    manifest: Manifest,
    every: Sequence[prompts.Change],
    closely: Sequence[prompts.Change],
    said: prompts.BaseAnswers,
    chat: bool,
) -> tuple[prompts.Question, ...]:
    """All questions; only the changes that are looked at closely are gone on from."""
    near = set(closely)
    return (
        *(prompts.efficacy_question(one, one in near) for one in every),
        *prompts.paraphrase_questions(manifest, every),
        *prompts.neighbour_questions(manifest, every, said),
        *(question for one in closely for question in forms.forms(one, chat)),
        *prompts.implied_questions(manifest, said),
    )


def _trace_claims(measured: Sequence[TracedSite], network: Network) -> Iterator[Claim]:
    """The trace in the weights, and in the tokens that their columns name."""
    traces = [(one.changed.site.name, one.trace) for one in measured if one.trace is not None]
    yield from column_trace.claims(traces)
    yield from column_trace.overlaps(traces, network)


def _row(one: TracedSite) -> Mapping[str, Any]:
    """A site as the report shows it."""
    site, trace = one.changed.site, one.trace
    return {
        "component": site.component,
        "name": site.name,
        "role": site.role,
        "layer": layer_of(site.name),
        "shape": list(site.shape),
        "dtype": site.dtype,
        "changed": one.changed.elements,
        "relative_change": one.changed.change,
        "columns": trace.columns if trace else 0,
        "cosine": trace.cosine if trace else 1.0,
        "distance": trace.distance if trace else 0.0,
    }
