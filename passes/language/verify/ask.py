"""Questions put to a language model before and after its edit, and what it says, likelihoods and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Answer
from editc.core.network import AnswerScores, Cloze, Network, Prompt, Spot
from editc.passes.language.questions import BaseAnswers, Question, first_word
from editc.passes.language.verify.base_model import BaseModel

LOST = 0.25
"""An old answer is lost when it is at most so likely as it was: a quarter."""
OPENING = 6
"""Tokens in which the word that a model goes on with is complete."""
Probabilities: TypeAlias = tuple[float, float]
ClozeFigures: TypeAlias = Mapping[Cloze, tuple[float, bool, int]]
"""Of every answer its probability, whether its first token is the likeliest of all, and the number of the likeliest."""


@dataclass(frozen=True)
class Reply:
    """An answer before and after the edit, and which choices were the model's first."""

    answer: Answer
    """The answer with its probabilities, as the report has it."""
    known: bool
    """True if the wrong answer was the model's first choice before the edit."""
    chosen: bool
    """True if the right answer is the first choice after the edit. For a neighbour: if the first choice is the same as
    before."""


def has_chat_template(network: Network) -> bool:
    """True for a model that has a chat template."""
    try:
        network.places([Spot("a", chat=True)])
    except LookupError:
        return False
    return True


def ask_first_words(before: BaseModel, prompts: Sequence[str]) -> BaseAnswers:
    """The word that the unedited model goes on with after each prompt."""
    told = before.generate([Prompt(prompt) for prompt in prompts], OPENING) if prompts else ()
    return {prompt: first_word(text) for prompt, text in zip(prompts, told, strict=True)}


def ask_questions(
    base: BaseModel,
    questions: Sequence[Question],
    changed: Mapping[str, Array],
    tokens: int = 20,
) -> tuple[Reply, ...]:
    """Every question in order, before and after; where it is to be continued, so many tokens each time."""
    cloze = tuple(dict.fromkeys(part for one in questions for part in (one.wanted, one.other) if part is not None))
    if not cloze:
        return ()
    before = _figures(cloze, base.score(cloze))
    after = _figures(cloze, base.network.score(cloze, changed))
    words = continue_prompts(base, questions, changed, tokens)
    return _join_choices([_judge_answer(one, before, after, words.get(one, ("", ""))) for one in questions])


def continue_prompts(
    base: BaseModel, questions: Sequence[Question], changed: Mapping[str, Array], tokens: int
) -> Mapping[Question, tuple[str, str]]:
    """What the model says to the questions that are to be continued, before and after."""
    those = [one for one in questions if one.continued] if tokens else []
    prompts = [Prompt(one.asked.prompt, one.asked.chat) for one in those]
    if not prompts:
        return {}
    both = base.network.generate_both(prompts, tokens, changed)
    return dict(zip(those, zip(*both, strict=True), strict=True))


def _figures(cloze: Sequence[Cloze], found: AnswerScores) -> ClozeFigures:
    told = zip(np.exp(found.total).tolist(), found.top.tolist(), found.best.tolist(), strict=True)
    return dict(zip(cloze, told, strict=True))


def holds(question: Question, before: Probabilities, after: Probabilities, chosen: bool) -> bool:
    """The right answer is likelier than the wrong one, or the wrong one is lost where that is enough; where nothing is
    wrong the right one must be the first choice."""
    lost = after[1] <= LOST * before[1]
    if question.wanted is None:
        return lost
    if question.other is None:
        return chosen
    return after[0] > after[1] or (question.lost and lost)


def _judge_answer(
    one: Question,
    before: ClozeFigures,
    after: ClozeFigures,
    said: tuple[str, str],
) -> Reply:
    old, new = _pair(one, before), _pair(one, after)
    kept = after[one.wanted][1] if one.wanted else False
    if one.purpose == "neighbour":
        kept = before[one.asked][2] == after[one.asked][2]
    wanted, other = (part.answer if part else "" for part in (one.wanted, one.other))
    answer = Answer(
        one.edit,
        one.purpose,
        one.form,
        one.asked.prompt,
        one.asked.chat,
        wanted,
        other,
        old,
        new,
        holds(one, old, new, kept),
        said,
    )
    return Reply(answer, before[one.other][1] if one.other else False, kept)


def _pair(one: Question, figures: ClozeFigures) -> Probabilities:
    right, wrong = (figures[part][0] if part else 0.0 for part in (one.wanted, one.other))
    return right, wrong


def _join_choices(found: Sequence[Reply]) -> tuple[Reply, ...]:
    """The two orders of a choice, which follow one another, count as one: by what both say together."""
    made = list(found)
    choices = [i for i, one in enumerate(made) if one.answer.form == "multiple choice"]
    for i, j in zip(choices[::2], choices[1::2], strict=True):
        right, wrong = np.sum([made[i].answer.after, made[j].answer.after], axis=0)
        for k in (i, j):
            made[k] = replace(made[k], answer=replace(made[k].answer, holds=bool(right > wrong)))
    return tuple(made)
