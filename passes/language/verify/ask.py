"""Ask a language model the questions of its edits before and after: how likely the answers are, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Answer
from editc.core.network import AnswerScores, Network
from editc.core.prompts import Cloze, Prompt, Spot
from editc.passes.language.questions import BaseAnswers, Question, first_word
from editc.passes.language.verify.base_model import BaseModel

LOST_RATIO = 0.25
"""An old answer is lost when its probability is at most this share of what it was. Chosen by hand."""
FIRST_WORD_TOKENS = 6
"""The number of tokens in which the first word of a continuation is complete. Chosen by hand: words take fewer."""
Probabilities: TypeAlias = tuple[float, float]
"""The probabilities of the right and of the wrong answer."""
ClozeFigures: TypeAlias = Mapping[Cloze, tuple[float, bool, int]]
"""Answer -> its probability, whether its first token is the likeliest of all tokens, and the likeliest token's id."""


@dataclass(frozen=True)
class Reply:
    """The answer to one question before and after the edit, and which answers were the model's first choice."""

    answer: Answer
    """The answer with its probabilities, as the report shows it."""
    known: bool
    """True if the wrong answer was the model's first choice before the edit."""
    first_choice: bool
    """True if the right answer is the model's first choice after the edit. For a neighbour: True if the first choice is
    the same as before."""


def has_chat_template(network: Network) -> bool:
    """True if the model has a chat template."""
    try:
        network.positions([Spot("a", chat=True)])
    except LookupError:
        return False
    return True


def ask_first_words(base: BaseModel, prompts: Sequence[str]) -> BaseAnswers:
    """Prompt -> the first word of the unedited model's continuation."""
    continued = base.generate([Prompt(prompt) for prompt in prompts], FIRST_WORD_TOKENS) if prompts else ()
    return {prompt: first_word(text) for prompt, text in zip(prompts, continued, strict=True)}


def ask_questions(
    base: BaseModel,
    questions: Sequence[Question],
    changed: Mapping[str, Array],
    tokens: int = 20,
) -> tuple[Reply, ...]:
    """Ask the model each question before and after the edit; the replies are in the order of the questions.

    `changed`: matrix name -> edited weight, as stored. `tokens`: the length of a continuation, for questions that have
    one.
    """
    cloze = tuple(dict.fromkeys(part for one in questions for part in (one.wanted, one.other) if part is not None))
    if not cloze:
        return ()
    before = _figures(cloze, base.score(cloze))
    after = _figures(cloze, base.network.score(cloze, changed))
    words = continue_prompts(base, questions, changed, tokens)
    return _join_both_orders([_judge_answer(one, before, after, words.get(one, ("", ""))) for one in questions])


def continue_prompts(
    base: BaseModel, questions: Sequence[Question], changed: Mapping[str, Array], tokens: int
) -> Mapping[Question, tuple[str, str]]:
    """Question -> the model's continuations before and after the edit, for the questions that are continued."""
    those = [one for one in questions if one.continued] if tokens else []
    prompts = [Prompt(one.cloze.prompt, one.cloze.chat) for one in those]
    if not prompts:
        return {}
    both = base.network.generate_both(prompts, tokens, changed)
    return dict(zip(those, zip(*both, strict=True), strict=True))


def _figures(cloze: Sequence[Cloze], found: AnswerScores) -> ClozeFigures:
    """The scores of answers by the answer."""
    figures = zip(np.exp(found.total).tolist(), found.top.tolist(), found.best.tolist(), strict=True)
    return dict(zip(cloze, figures, strict=True))


def answer_holds(question: Question, before: Probabilities, after: Probabilities, chosen: bool) -> bool:
    """True if the edit holds for a question: the right answer is likelier than the wrong one, or the wrong one is lost
    and that is enough. Without a wrong answer the right one must be the first choice; without a right answer the wrong
    one must be lost.

    `chosen`: the right answer is the first choice after the edit.
    """
    lost = after[1] <= LOST_RATIO * before[1]
    if question.wanted is None:
        return lost
    if question.other is None:
        return chosen
    return after[0] > after[1] or (question.loss_is_enough and lost)


def _judge_answer(
    one: Question,
    before: ClozeFigures,
    after: ClozeFigures,
    said: tuple[str, str],
) -> Reply:
    """The reply to a question. `said`: the continuations before and after the edit, '' if there are none."""
    old, new = _right_and_wrong(one, before), _right_and_wrong(one, after)
    first_choice = after[one.wanted][1] if one.wanted else False
    if one.purpose == "neighbour":
        first_choice = before[one.cloze][2] == after[one.cloze][2]
    wanted, other = (part.answer if part else "" for part in (one.wanted, one.other))
    answer = Answer(
        one.edit,
        one.purpose,
        one.form,
        one.cloze.prompt,
        one.cloze.chat,
        wanted,
        other,
        old,
        new,
        answer_holds(one, old, new, first_choice),
        said,
    )
    return Reply(answer, before[one.other][1] if one.other else False, first_choice)


def _right_and_wrong(one: Question, figures: ClozeFigures) -> Probabilities:
    """The probabilities of a question's right and wrong answer; 0 for an answer that it does not have."""
    right, wrong = (figures[part][0] if part else 0.0 for part in (one.wanted, one.other))
    return right, wrong


def _join_both_orders(found: Sequence[Reply]) -> tuple[Reply, ...]:
    """Count the two orders of a multiple choice, which follow each other, as one question: it holds if the right answer
    is likelier over both orders together."""
    made = list(found)
    choices = [i for i, one in enumerate(made) if one.answer.form == "multiple choice"]
    for i, j in zip(choices[::2], choices[1::2], strict=True):
        right, wrong = np.sum([made[i].answer.after, made[j].answer.after], axis=0)
        for k in (i, j):
            made[k] = replace(made[k], answer=replace(made[k].answer, holds=bool(right > wrong)))
    return tuple(made)
