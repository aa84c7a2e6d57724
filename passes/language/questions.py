"""What a language model is asked about its edits: a manifest as questions, each with what is right now and what not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from editc.core.edited import EditedPrompts
from editc.core.manifest import Ablation, Fact, Manifest, PromptAnswer, Redirect
from editc.core.network import Cloze
from editc.core.text import fold_name

BaseAnswers = Mapping[str, str]
"""Prompt -> the word that the unedited model goes on with, '' for none."""
ARTICLES = frozenset({"a", "an", "the"})
EDGES = ".,;:!?\"'()[]{}*`\u2018\u2019\u201c\u201d\u3001\u3002"


@dataclass(frozen=True)
class Question:
    """One prompt that is put to the model, and the answers that are right and wrong now."""

    edit: int
    """The number of the edit in the manifest, from 0."""
    purpose: str
    """What the answer is counted for: `efficacy`, `relation`, `paraphrase`, `neighbour` or `form`."""
    form: str
    """How it is asked, such as `cloze` or `multiple choice`."""
    wanted: Cloze | None
    """The right answer. None: only losing the wrong one counts."""
    other: Cloze | None
    """The wrong answer. None: nothing is wrong, and the right one must be the first choice. With both, the likelier
    counts."""
    lost: bool = False
    """True if it is enough that the wrong answer becomes unlikely, as nothing may have taken its place."""
    continued: bool = False
    """True if the model's own continuation is recorded as well."""

    @property
    def asked(self) -> Cloze:
        """One of the two: both have one prompt, but for the reversed form."""
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
    """What stands at the `{}`."""
    new: str
    """The answer after the edit; '' if there is none, as for a concept that leads to noise."""
    old: str
    """The answer before the edit; '' if the model gives the new one already."""
    lost: bool = False
    """True if it is enough that the old answer is gone."""

    @property
    def prompt(self) -> str:
        """The template with the subject in it."""
        return self.template.replace("{}", self.subject)


def titles(manifest: Manifest) -> tuple[str, ...]:
    """What each edit is called in claims: its subject or concept, or its whole prompt where another is called so."""
    short = [edit.names[0] for edit in manifest.language_edits]
    return tuple(
        edit.prompt if isinstance(edit, Fact) and short.count(name) > 1 else name
        for edit, name in zip(manifest.language_edits, short, strict=True)
    )


def open_prompts(manifest: Manifest) -> tuple[str, ...]:
    """The prompts whose answers only the model can tell, each once."""
    found: list[str] = []
    for edit in manifest.language_edits:
        if isinstance(edit, Fact):
            found += [edit.prompt] * (edit.was is None) + [one.prompt for one in edit.implied]
        elif isinstance(edit, Redirect):
            found += [one.prompt.replace("{}", edit.concept) for one in edit.relations if one.answer is None]
            found += [one.prompt.replace("{}", edit.to) for one in edit.relations if edit.to is not None]
        if not isinstance(edit, Ablation):
            found += [one.prompt for one in edit.neighbours if one.answer is None]
    return tuple(dict.fromkeys(found))


def first_word(text: str) -> str:
    """The word that a continuation begins with, with an article before it; '' where it begins with a new line."""
    words = text.lstrip(" ").partition("\n")[0].split()
    count = next((i for i, one in enumerate(words) if one.lower() not in ARTICLES), len(words) - 1) + 1
    return " ".join(words[:count]).strip(EDGES)


def changes(manifest: Manifest, said: BaseAnswers) -> tuple[Change, ...]:
    """Every answer that is to change, in the order of the edits: of a redirected concept, under each of its names."""
    return tuple(change for i, edit in enumerate(manifest.language_edits) for change in _changes(i, edit, said))


def _changes(index: int, edit: Fact | Redirect | Ablation, said: BaseAnswers) -> Iterator[Change]:
    if isinstance(edit, Fact):
        old = said.get(edit.prompt, "") if edit.was is None else edit.was
        yield Change(index, edit.template, edit.subject, edit.answer, _unlike(old, edit.answer))
    elif isinstance(edit, Redirect):
        for relation in edit.relations:
            old = relation.answer or said.get(relation.prompt.replace("{}", edit.concept), "")
            new = "" if edit.to is None else _unlike(said.get(relation.prompt.replace("{}", edit.to), ""), old)
            if old:
                yield from (Change(index, relation.prompt, name, new, old, lost=True) for name in edit.names)


def _unlike(text: str, other: str) -> str:
    return "" if fold_name(text) == fold_name(other) else text


def efficacy_question(change: Change, continued: bool = False) -> Question:
    """The prompt itself, of a fact or of a relation."""
    purpose = "relation" if change.lost else "efficacy"
    return question_about(change, purpose, "cloze", change.prompt, continued=continued)


def paraphrase_questions(manifest: Manifest, every: Sequence[Change]) -> Iterator[Question]:
    """The paraphrases of the facts as questions."""
    for change in every:
        edit = manifest.language_edits[change.edit]
        for prompt in edit.paraphrases if isinstance(edit, Fact) else ():
            yield question_about(change, "paraphrase", "paraphrase", prompt)


def neighbour_questions(manifest: Manifest, every: Sequence[Change], said: BaseAnswers) -> Iterator[Question]:
    """The neighbours that are not themselves edited: their own answer against the new one of a fact, as CounterFact
    has it; beside a redirected concept, which has many new ones, against nothing."""
    edited = EditedPrompts(manifest)
    for index, edit in enumerate(manifest.language_edits):
        new = next((one.new for one in every if one.edit == index and not one.lost), "")
        for one in () if isinstance(edit, Ablation) else edit.neighbours:
            own = one.answer or said.get(one.prompt, "")
            if own and not edited.holds(one.prompt):
                other = Cloze(one.prompt, new) if _unlike(new, own) else None
                yield Question(index, "neighbour", "cloze", Cloze(one.prompt, own), other)


def implied_questions(manifest: Manifest, said: BaseAnswers) -> Iterator[Question]:
    """The manifest's own prompts that need a fact and a further step."""
    for index, edit in enumerate(manifest.language_edits):
        for one in edit.implied if isinstance(edit, Fact) else ():
            yield from _implied_question(index, one, said.get(one.prompt, ""))


def _implied_question(index: int, one: PromptAnswer, old: str) -> Iterator[Question]:
    right = one.answer or ""
    wrong = _unlike(old, right)
    if right or wrong:
        wanted, other = (Cloze(one.prompt, text) if text else None for text in (right, wrong))
        yield Question(index, "form", "implied", wanted, other, lost=not right)


def question_about(
    change: Change, purpose: str, form: str, prompt: str, chat: bool = False, continued: bool = False
) -> Question:
    """A question about a change, whose answers are the change's own."""
    wanted, other = (Cloze(prompt, text, chat) if text else None for text in (change.new, change.old))
    return Question(change.edit, purpose, form, wanted, other, change.lost, continued)
