"""Solve a stage whose method works on the gradients of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from editc.core.delta import Site
from editc.core.language_edits import Fact
from editc.core.language_problem import AnswerGradients, LanguageProblem
from editc.core.plan import Stage
from editc.core.ports import Context
from editc.passes.language.sentences import answer_clozes
from editc.passes.language.solve.edited_model import EditedModel


def solve_gradients(
    stage: Stage, method: Any, problem: LanguageProblem, state: EditedModel, sites: Sequence[Site], ctx: Context
) -> None:
    """Solve all matrices of a stage from one forward and one backward run of its facts, and one of those that earlier
    deltas wrote, in the model as the stages before left it."""
    manifest = problem.plan.manifest
    facts = [fact for i in stage.edits if isinstance(fact := manifest.language_edits[i], Fact)]
    asked = [(fact, cloze) for fact in facts for cloze in answer_clozes(fact, manifest)]
    strengths = np.array([fact.strength for fact, _ in asked])
    names, running = [site.name for site in sites], dict(state.weights_now)
    own = state.network.answer_gradients(names, [cloze for _, cloze in asked], running)
    before = tuple(cloze for one in ctx.earlier.values() for cloze in one.asked)
    earlier = state.network.answer_gradients(names, before, running) if before else {}
    for site in sites:
        keys, gradients, answers = own[site.name]
        none = (np.zeros((site.shape[1], 0)), np.zeros((site.shape[0], 0)))
        old_keys, old_gradients = earlier[site.name][:2] if earlier else none
        given = AnswerGradients(keys, gradients, old_keys, old_gradients, strengths[answers])
        state.add(site, method(given))
