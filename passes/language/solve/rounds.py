"""Solve in rounds: the phrasings in which the edits hold worst are added to their contexts, and all is solved again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from editc.core.language_edits import Fact, LanguageEdit, Redirect
from editc.core.manifest import Manifest
from editc.core.ports import Context, announce
from editc.core.problem import Problem
from editc.core.solution import Solution, WorstRound
from editc.passes.language import questions, sentences
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.keys.key_spots import reading_rule
from editc.passes.language.questions import Change
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.language.verify import ask, forms, worst
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.worst import Phrasing
from editc.passes.stored import edited_sites

ASKED = 6
"""The most edited prompts that are put into the phrasings, as verify asks."""


@dataclass(frozen=True)
class SolveInRounds:
    """The pass LanguageProblem -> Solution. It solves once, and once more for each round of `verify.worst.rounds` as
    long as some phrasing fails. A round whose worst is worse than before is not taken, and ends the rounds."""

    name: ClassVar[str] = "solve"
    """The pass's name, in progress and errors."""

    def __call__(self, problem: Problem, ctx: Context) -> Solution:
        """Raises what `SolveLanguage` and `DeriveLanguage` raise."""
        found = SolveLanguage()(problem, ctx)
        manifest = problem.plan.manifest
        if not manifest.worst_rounds:
            return found
        asked = _asked(manifest, ctx)
        ranked, fed, rounds = _rank(found, asked, ctx), tuple[str, ...](), list[WorstRound]()
        for _ in range(manifest.worst_rounds):
            fresh = tuple(one.template for one in ranked[: manifest.worst] if one.template not in fed)
            if not fresh or _mean(ranked)[0] == 1:
                break
            fed += fresh
            announce(ctx.progress, "solving again with the worst phrasings")
            again = _solve_with(problem, fed, ctx)
            now = _rank(again, asked, ctx)
            rounds.append(_round(ranked, now, fresh, fed, manifest.worst))
            if not rounds[-1].taken:
                break
            found, ranked = again, now
        return replace(found, worst_rounds=tuple(rounds))


def _asked(manifest: Manifest, ctx: Context) -> Sequence[Change]:
    """The edited prompts that are put into the phrasings: those that verify asks in detail."""
    base = _base(ctx)
    answers = ask.ask_first_words(base, questions.prompts_without_answer(manifest))
    return forms.choose_changes(questions.changes(manifest, answers), ASKED)


def _rank(solution: Solution, asked: Sequence[Change], ctx: Context) -> tuple[Phrasing, ...]:
    """Every phrasing with the weights as they will be stored, worst first."""
    after = {one.site.name: one.after for one in edited_sites(solution, ctx.weights) if one.elements}
    return worst.rank_phrasings(_base(ctx), asked, after)


def _base(ctx: Context) -> BaseModel:
    """The unedited model with its cache."""
    assert ctx.network is not None
    return BaseModel(ctx.network, ctx.cache, ctx.network.fingerprint())


def _solve_with(problem: Problem, phrasings: Sequence[str], ctx: Context) -> Solution:
    """Derive and solve from the unedited weights, with the phrasings among the contexts of every edit."""
    plan = problem.plan
    methods = {index: stage.method for stage in plan.stages for index in stage.edits}
    edits = tuple(
        add_contexts(edit, phrasings, methods[index], plan.manifest)
        for index, edit in enumerate(plan.manifest.language_edits)
    )
    again = replace(plan, manifest=replace(plan.manifest, edits=edits))
    return SolveLanguage()(DeriveLanguage()(again, ctx), ctx)


def add_contexts(edit: LanguageEdit, phrasings: Sequence[str], method: str, manifest: Manifest) -> LanguageEdit:
    """An edit with phrasings of its prompts among its contexts. Edits without contexts stay as they are.

    A fact's contexts take its prompt, so that a phrasing is one as it stands. A concept's take its name: each of its
    relations is put into the phrasing and, where keys are read at the name, cut behind it.
    """
    if isinstance(edit, Fact):
        return replace(edit, contexts=_join(sentences.fact_contexts(edit, manifest), phrasings))
    if not isinstance(edit, Redirect):
        return edit
    by_name = reading_rule(method) == "name"
    read = sentences.redirect_sentences if by_name else sentences.whole_sentences
    told = [sentences.fill(text, one.prompt) for text in phrasings for one in edit.relations]
    fresh = [sentences.cut_after_name(one) for one in told] if by_name else told
    return replace(edit, contexts=_join(next(read(edit, manifest)).templates, fresh))


def _join(own: Sequence[str], fresh: Sequence[str]) -> tuple[str, ...]:
    """The contexts of an edit and those that are new, each once."""
    return tuple(dict.fromkeys((*own, *fresh)))


def _round(
    old: Sequence[Phrasing], new: Sequence[Phrasing], fresh: tuple[str, ...], fed: Sequence[str], count: int
) -> WorstRound:
    """What a round came to. `old`, `new`: every phrasing before and after it, worst first. `fed`: all that were ever
    fed back."""
    share_before, margin_before = _mean(old[:count])
    share_after, margin_after = _mean(new[:count])
    others_before, others_after = (_mean([one for one in some if one.template not in fed])[0] for some in (old, new))
    better = (share_after, margin_after) >= (share_before, margin_before)
    return WorstRound(
        fresh, share_before, share_after, margin_before, margin_after, others_before, others_after, better
    )


def _mean(some: Sequence[Phrasing]) -> tuple[float, float]:
    """The mean share that holds and the mean margin over phrasings; 1 and 0 of none."""
    if not some:
        return 1.0, 0.0
    return float(np.mean([one.share for one in some])), float(np.mean([one.margin for one in some]))
