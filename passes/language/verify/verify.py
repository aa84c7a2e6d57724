"""Verify, for language models: run the model with its weights as they will be stored, and measure its answers against
the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from editc.core.language_problem import LanguageProblem
from editc.core.manifest import Manifest
from editc.core.measurements import Claim, Report
from editc.core.network import Network
from editc.core.ports import Context, announce
from editc.core.solution import Solution, Verified
from editc.judging import conclude
from editc.passes.claims import claims_of_solve, no_change
from editc.passes.language import questions as prompts
from editc.passes.language.verify import (
    ask,
    bystanders,
    claims,
    column_trace,
    earlier,
    first_words,
    forgotten,
    forms,
    side_effects,
    worst,
)
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.column_trace import ColumnTrace
from editc.passes.sites import layer_of
from editc.passes.stored import EditedSite, as_in_file, edited_sites


@dataclass(frozen=True)
class VerifyLanguage:
    """The pass Solution -> Verified. It asks the model every prompt of the manifest and of editc's own templates,
    before and after the edit."""

    in_detail: int = 6
    """The most edited prompts that are also asked in other forms and continued. Chosen by hand: these cost the most
    time."""
    tokens: int = 16
    """The length of a continuation, in tokens. Chosen by hand, as is the next number."""
    sentences: int = 24
    """The number of editc's own sentences that are compared if the manifest has no `retain`."""
    name: ClassVar[str] = "verify"
    """The pass's name, in progress and errors."""

    def __call__(self, solution: Solution, ctx: Context) -> Verified:
        """The solution with its report. Raises E502 if no stored value changes, E503 if a value does not
        fit the stored dtype. A broken bound does not raise: see `warnings.failures`."""
        manifest = solution.problem.plan.manifest
        network = ctx.network
        assert network is not None
        measured, after = trace_sites(solution, ctx)
        if not after:
            differs = "what is asked for is not what the model says already"
            raise no_change(manifest.language_edits[0], manifest, len(measured), differs)
        base = BaseModel(network, ctx.cache, solution.problem.encoder)
        answers = ask.ask_first_words(base, prompts.prompts_without_answer(manifest))
        changes = prompts.changes(manifest, answers)
        in_detail = forms.choose_changes(changes, self.in_detail)
        questions = _all_questions(manifest, changes, in_detail, answers, ask.has_chat_template(network))
        replies = ask.ask_questions(base, questions, after, self.tokens)
        titles, constraints = prompts.titles(manifest), manifest.constraints
        others = solution.problem.others if isinstance(solution.problem, LanguageProblem) else ()
        rows_asked = forgotten.ask_rows(manifest, base, after, self.tokens)
        outcomes = bystanders.measure_bystanders(manifest, manifest.seed, changes, base, after, others)
        measurements = (
            *claims.claims(replies, in_detail, titles, constraints),
            *forgotten.claims(rows_asked, titles, manifest),
            *bystanders.claims(outcomes, manifest, constraints),
            *side_effects.claims(side_effects.choose_texts(manifest, self.sentences), titles, base, after, constraints),
            *side_effects.at_start_claims(manifest, titles, network, after),
            *first_words.claims(manifest, network),
            *worst.claims(worst.find_worst(base, in_detail, after, manifest.worst) if manifest.worst else ()),
            *claims_of_solve(solution, sum(one.changed.elements > 0 for one in measured)),
            *_trace_claims(measured, network),
        )
        suite_claims, suite = _measure_suite(manifest, after, ctx)
        said = (*(one.answer for one in replies), *(one.answer for one in rows_asked))
        moved = bystanders.findings(outcomes)
        rows = tuple(map(_report_row, measured))
        every = (*measurements, *suite_claims)
        before = tuple(earlier.measure_earlier(solution.problem.plan.sites, base, after, ctx))
        return conclude(solution, Report(every, rows, answers=said, bystanders=moved, suite=suite, earlier=before))


def _measure_suite(
    manifest: Manifest, after: Mapping[str, Any], ctx: Context
) -> tuple[tuple[Claim, ...], Mapping[str, Any]]:
    """The claims and the record of `verify.suite`; empty where the manifest asks for none."""
    if manifest.suite is None or ctx.network is None:
        return (), {}
    from editc.passes.language.verify.suite import measure_suite

    announce(ctx.progress, "asking the suite")
    folder = Path(manifest.source.name).parent
    return measure_suite(manifest.suite, ctx.network, after, folder, manifest.seed, ctx.oracle, ctx.cache)


@dataclass(frozen=True)
class TracedSite:
    """One edited matrix and how far its columns moved."""

    changed: EditedSite
    """The site, how far it changed, and its values after the edit."""
    trace: ColumnTrace | None
    """How far its columns moved. None if no column moved."""


def trace_sites(solution: Solution, ctx: Context) -> tuple[tuple[TracedSite, ...], Mapping[str, Any]]:
    """Measure every edited site. Also returns site name -> weight as it will be stored, for the sites that differ from
    the base at all."""
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


def _all_questions(
    manifest: Manifest,
    changes: Sequence[prompts.Change],
    in_detail: Sequence[prompts.Change],
    base_answers: prompts.BaseAnswers,
    chat: bool,
) -> tuple[prompts.Question, ...]:
    """All questions of a manifest. Only the changes `in_detail` are continued and asked in other forms. `chat`: the
    model has a chat template."""
    continued = set(in_detail)
    return (
        *(prompts.efficacy_question(one, one in continued) for one in changes),
        *prompts.paraphrase_questions(manifest, changes),
        *prompts.neighbour_questions(manifest, changes, base_answers),
        *(question for one in in_detail for question in forms.forms(one, chat)),
        *prompts.implied_questions(manifest, base_answers),
    )


def _trace_claims(measured: Sequence[TracedSite], network: Network) -> Iterator[Claim]:
    """The claims about the trace in the weights, and in the tokens that columns raise."""
    traces = [(one.changed.site.name, one.trace) for one in measured if one.trace is not None]
    yield from column_trace.claims(traces)
    yield from column_trace.overlaps(traces, network)


def _report_row(one: TracedSite) -> Mapping[str, Any]:
    """A site's row in report.json."""
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
