"""Edited knowledge asked for in other forms (ORT, arXiv 2506.07795; RWKU, arXiv 2406.10890) and a step away (Sleek)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from editc.core.network import Cloze
from editc.core.text import fold_name
from editc.passes.language.questions import Change, Question, question_about

FORMS = ("cloze", "question", "chat", "multiple choice", "reversed")
"""The forms of one question, over which the spread is taken."""
STEPS = ("direct", "indirect", "implied")
"""How far a prompt is from the edited one; `direct` is that itself."""

QUESTION = 'Question: Which words complete "{prompt}"?\nAnswer:'
CHAT = "Complete this sentence: {prompt}"
CHOICE = "{prompt}\nA) {first}\nB) {second}\nThe right answer is"
BLANK = "____"
REVERSED = "Fill in the blank: {sentence}\nThe blank stands for"
INDIRECT = 'A friend who knows all about {subject} was asked to end the sentence "{prompt}". The friend said:'
LETTER = 'The word that completes "{prompt}" begins with the letter'
LETTERS = ("A", "B")


def forms(change: Change, chat: bool) -> Iterator[Question]:
    """The change as a question, in a chat where there are chats, as a choice, reversed, and one and two steps away."""
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
    """At most so many: the first of every edit, then the second of each; of many edits, those at even steps."""
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
    """In both orders: small models like one letter better whatever it stands for."""
    for right, wrong in (LETTERS, LETTERS[::-1]):
        shown = dict(zip((right, wrong), (change.new, change.old), strict=True))
        prompt = CHOICE.format(prompt=change.prompt, first=shown["A"], second=shown["B"])
        yield Question(change.edit, "form", "multiple choice", Cloze(prompt, right), Cloze(prompt, wrong))


def _reversed_question(change: Change) -> Question:
    """The subject after the new answer, which is to be likelier than the subject after the old one."""
    sentences = (f"{change.template.replace('{}', BLANK)} {answer}." for answer in (change.new, change.old))
    new, old = (Cloze(REVERSED.format(sentence=sentence), change.subject) for sentence in sentences)
    return Question(change.edit, "form", "reversed", new, old, change.lost)


def _letters(change: Change) -> Iterator[Question]:
    new, old = (_initial(answer) for answer in (change.new, change.old))
    if fold_name(new) != fold_name(old):
        prompt = LETTER.format(prompt=change.prompt)
        yield Question(change.edit, "form", "implied", Cloze(prompt, new), Cloze(prompt, old), change.lost)


def _initial(answer: str) -> str:
    return next((one.upper() for one in answer if one.isalnum()), answer[:1])
