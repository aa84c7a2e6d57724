"""Turn the edits of a manifest into questions to a language model, each with its right and its wrong answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editc.core.edited import EditedPrompts
from editc.core.language_edits import Ablation, Fact, LanguageEdit, OnRows, PromptAnswer, Redirect
from editc.core.manifest import Manifest
from editc.core.prompts import Cloze
from editc.core.text import fold_name

BaseAnswers = Mapping[str, str]
"""Prompt -> the first word of the unedited model's continuation; '' if there is none."""
ARTICLES = frozenset({"a", "an", "the"})
"""Words that do not count as the first word of an answer: the next word is taken along."""
PUNCTUATION = ".,;:!?\"'()[]{}*`\u2018\u2019\u201c\u201d\u3001\u3002"
"""Characters that are cut off both ends of an answer."""


@dataclass(frozen=True)
class Question:
    """One prompt for the model, with the answers that are right and wrong after the edit."""

    edit: int
    """The number of the edit in the manifest, from 0."""
    purpose: str
    """Which measurement counts the answer: `efficacy`, `relation`, `paraphrase`, `neighbour` or `form`."""
    form: str
    """How the question is put, such as `cloze` or `multiple choice`."""
    wanted: Cloze | None
    """The prompt with the right answer. None: it only counts that the wrong answer is lost."""
    other: Cloze | None
    """The prompt with the wrong answer. None: no answer is wrong, and the right one must be the model's first choice.
    If both are given, the likelier one counts."""
    loss_is_enough: bool = False
    """True if the edit holds as soon as the wrong answer becomes unlikely: the edit may put no answer in its place."""
    continued: bool = False
    """True if the model's own continuation of the prompt is recorded as well."""

    @property
    def cloze(self) -> Cloze:
        """The prompt with one of its answers, the right one if there is one. Both answers have the same prompt, except
        in the reversed form."""
        found = self.wanted or self.other
        assert found is not None
        return found


@dataclass(frozen=True)
class Change:
    """One answer that an edit changes."""

    edit: int
    """The number of the edit in the manifest, from 0."""
    template: str
    """The prompt, with `{}` for the subject."""
    subject: str
    """The name that is put in place of the `{}`."""
    new: str
    """The answer after the edit; '' if there is none, as for a concept that leads to noise."""
    old: str
    """The answer before the edit; '' if the model gives the new one already."""
    loss_is_enough: bool = False
    """True if the edit holds as soon as the old answer becomes unlikely."""

    @property
    def prompt(self) -> str:
        """The template with the subject in it."""
        return self.template.replace("{}", self.subject)


def titles(manifest: Manifest) -> tuple[str, ...]:
    """The name of each edit in claims: its subject or concept. A fact whose subject has several edits is named by its
    whole prompt."""
    short = [edit.names[0] for edit in manifest.language_edits]
    return tuple(
        edit.prompt if isinstance(edit, Fact) and short.count(name) > 1 else name
        for edit, name in zip(manifest.language_edits, short, strict=True)
    )


def prompts_without_answer(manifest: Manifest) -> tuple[str, ...]:
    """The prompts, each once, whose old or target's answer the manifest does not give: the unedited model is asked for
    it."""
    found: list[str] = []
    for edit in manifest.language_edits:
        if isinstance(edit, Fact):
            found += [edit.prompt] * (edit.was is None) + [one.prompt for one in edit.implied]
        elif isinstance(edit, Redirect):
            found += [one.prompt.replace("{}", edit.concept) for one in edit.relations if one.answer is None]
            found += [one.prompt.replace("{}", edit.to) for one in edit.relations if edit.to is not None]
        if not isinstance(edit, Ablation | OnRows):
            found += [one.prompt for one in edit.neighbours if one.answer is None]
    return tuple(dict.fromkeys(found))


def first_word(text: str) -> str:
    """The first word of a continuation, together with an article before it; '' if the first line is empty."""
    words = text.lstrip(" ").partition("\n")[0].split()
    count = next((i for i, one in enumerate(words) if one.lower() not in ARTICLES), len(words) - 1) + 1
    return " ".join(words[:count]).strip(PUNCTUATION)


def changes(manifest: Manifest, base_answers: BaseAnswers) -> tuple[Change, ...]:
    """Every answer that the edits change, in the order of the edits. A redirected concept has one change for each of
    its relations under each of its names."""
    return tuple(change for i, edit in enumerate(manifest.language_edits) for change in _changes(i, edit, base_answers))


def _changes(index: int, edit: LanguageEdit, answers: BaseAnswers) -> Iterator[Change]:
    """The changes of one edit. Relations without an old answer are left out. Ablations and sets that are
    forgotten have none."""
    if isinstance(edit, Fact):
        old = answers.get(edit.prompt, "") if edit.was is None else edit.was
        yield Change(index, edit.template, edit.subject, edit.answer, _unless_equal(old, edit.answer))
    elif isinstance(edit, Redirect):
        for relation in edit.relations:
            old = relation.answer or answers.get(relation.prompt.replace("{}", edit.concept), "")
            new = "" if edit.to is None else _unless_equal(answers.get(relation.prompt.replace("{}", edit.to), ""), old)
            if old:
                yield from (Change(index, relation.prompt, name, new, old, loss_is_enough=True) for name in edit.names)


def _unless_equal(text: str, other: str) -> str:
    """`text`, or '' if it says the same as `other`."""
    return "" if fold_name(text) == fold_name(other) else text


def efficacy_question(change: Change, continued: bool = False) -> Question:
    """Ask for a change by its own prompt, that of the fact or of the relation."""
    purpose = "relation" if change.loss_is_enough else "efficacy"
    return question_about(change, purpose, "cloze", change.prompt, continued=continued)


def paraphrase_questions(manifest: Manifest, changes: Sequence[Change]) -> Iterator[Question]:
    """Ask for each fact by each of its `paraphrases`."""
    for change in changes:
        edit = manifest.language_edits[change.edit]
        for prompt in edit.paraphrases if isinstance(edit, Fact) else ():
            yield question_about(change, "paraphrase", "paraphrase", prompt)


def neighbour_questions(manifest: Manifest, changes: Sequence[Change], base_answers: BaseAnswers) -> Iterator[Question]:
    """Ask the `neighbours` of each edit that are not edited themselves. Right is their own answer. Wrong is the new
    answer of the fact, as in CounterFact; a redirected concept has many new answers, so none counts as wrong."""
    edited = EditedPrompts(manifest)
    for index, edit in enumerate(manifest.language_edits):
        new = next((one.new for one in changes if one.edit == index and not one.loss_is_enough), "")
        for one in () if isinstance(edit, Ablation | OnRows) else edit.neighbours:
            own = one.answer or base_answers.get(one.prompt, "")
            if own and not edited.contains(one.prompt):
                other = Cloze(one.prompt, new) if _unless_equal(new, own) else None
                yield Question(index, "neighbour", "cloze", Cloze(one.prompt, own), other)


def implied_questions(manifest: Manifest, base_answers: BaseAnswers) -> Iterator[Question]:
    """Ask the facts' `implied` prompts, whose answer follows from the edited fact by a further step."""
    for index, edit in enumerate(manifest.language_edits):
        for one in edit.implied if isinstance(edit, Fact) else ():
            yield from _implied_question(index, one, base_answers.get(one.prompt, ""))


def _implied_question(index: int, one: PromptAnswer, old: str) -> Iterator[Question]:
    """The question for one implied prompt; none if it has neither a right nor a wrong answer. `old`: the unedited
    model's answer, which is wrong now."""
    right = one.answer or ""
    wrong = _unless_equal(old, right)
    if right or wrong:
        wanted, other = (Cloze(one.prompt, text) if text else None for text in (right, wrong))
        yield Question(index, "form", "implied", wanted, other, loss_is_enough=not right)


def question_about(
    change: Change, purpose: str, form: str, prompt: str, chat: bool = False, continued: bool = False
) -> Question:
    """A question whose right and wrong answers are the new and the old answer of a change."""
    wanted, other = (Cloze(prompt, text, chat) if text else None for text in (change.new, change.old))
    return Question(change.edit, purpose, form, wanted, other, change.loss_is_enough, continued)
