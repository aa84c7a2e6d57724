"""Ask for an edited answer in other forms (ORT, arXiv 2506.07795; RWKU, arXiv 2406.10890), and for what follows from it
one or two steps away (Sleek)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from editc.core.prompts import Cloze
from editc.core.text import fold_name
from editc.passes.language.questions import Change, Question, question_about

FORMS = ("cloze", "question", "chat", "multiple choice", "reversed")
"""The forms of one question, over which the spread is taken."""
STEPS = ("direct", "indirect", "implied")
"""How far a prompt is from the edited one: `direct` is the edited prompt, `indirect` leads to it, `implied` needs a
further step."""

# The prompts of the forms are chosen by hand, so that small models answer them.
QUESTION = 'Question: Which words complete "{prompt}"?\nAnswer:'
CHAT = "Complete this sentence: {prompt}"
CHOICE = "{prompt}\nA) {first}\nB) {second}\nThe right answer is"
BLANK = "____"
REVERSED = "Fill in the blank: {sentence}\nThe blank stands for"
INDIRECT = 'A friend who knows all about {subject} was asked to end the sentence "{prompt}". The friend said:'
LETTER = 'The word that completes "{prompt}" begins with the letter'
LETTERS = ("A", "B")


def forms(change: Change, chat: bool) -> Iterator[Question]:
    """Ask for a change as a question, in a chat if the model has a chat template, as a multiple choice, reversed, and
    one and two steps away. Without an old or a new answer there is no choice, reversed form or second step."""
    prompt, subject = change.prompt, change.subject
    yield question_about(change, "form", "question", QUESTION.format(prompt=prompt))
    if chat:
        yield question_about(change, "form", "chat", CHAT.format(prompt=prompt), chat=True, continued=True)
    yield question_about(change, "form", "indirect", INDIRECT.format(prompt=prompt, subject=subject))
    if change.new and change.old:
        yield from _choices(change)
        yield _reversed_question(change)
        yield from _letters(change)


def choose_changes(changes: Sequence[Change], most: int) -> tuple[Change, ...]:
    """At most `most` of the changes: the first of every edit, then the second of each, and so on. If there are more
    than `most` edits, the first changes at even steps."""
    turns: dict[int, int] = {}
    ranked = []
    for change in changes:
        turns[change.edit] = turns.get(change.edit, -1) + 1
        ranked.append((turns[change.edit], change))
    ranked.sort(key=lambda one: one[0])
    firsts = [change for turn, change in ranked if turn == 0]
    if len(firsts) > most:
        return tuple(firsts[i * len(firsts) // most] for i in range(most))
    return tuple(change for _, change in ranked[:most])


def _choices(change: Change) -> Iterator[Question]:
    """Ask a multiple choice in both orders, because small models prefer one letter whatever it stands for."""
    for right, wrong in (LETTERS, LETTERS[::-1]):
        shown = dict(zip((right, wrong), (change.new, change.old), strict=True))
        prompt = CHOICE.format(prompt=change.prompt, first=shown["A"], second=shown["B"])
        yield Question(change.edit, "form", "multiple choice", Cloze(prompt, right), Cloze(prompt, wrong))


def _reversed_question(change: Change) -> Question:
    """Ask for the subject behind the answer. The subject must be likelier behind the new answer than behind the old
    one."""
    sentences = (f"{change.template.replace('{}', BLANK)} {answer}." for answer in (change.new, change.old))
    new, old = (Cloze(REVERSED.format(sentence=sentence), change.subject) for sentence in sentences)
    return Question(change.edit, "form", "reversed", new, old, change.loss_is_enough)


def _letters(change: Change) -> Iterator[Question]:
    """Ask for the first letter of the answer; nothing if the new and the old answer begin with the same letter."""
    new, old = (_initial(answer) for answer in (change.new, change.old))
    if fold_name(new) != fold_name(old):
        prompt = LETTER.format(prompt=change.prompt)
        yield Question(change.edit, "form", "implied", Cloze(prompt, new), Cloze(prompt, old), change.loss_is_enough)


def _initial(answer: str) -> str:
    """The first letter or digit of an answer, as a capital."""
    return next((one.upper() for one in answer if one.isalnum()), answer[:1])
