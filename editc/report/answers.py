"""What the HTML report shows of a language model: the prompts of each edit by purpose, with answers before and
after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.report.words import percent

CASE_TITLES: Mapping[str, str] = {
    "form": "Form of the question",
    "step": "Distance from the edited prompt",
    "said": "Answer that continuations name first",
}
"""Claim -> the title of its table, for claims whose subject is a case, such as a form, and not an edit."""
IMPLIED_FORMS = frozenset({"", "plain", "cloze", "paraphrase"})
"""Forms that need no label, because the purpose implies them."""
UNLIKELY = 0.1
"""The probability below which an answer that holds is marked as unlikely. Chosen by hand."""
MAX_UNFOLDED = 8
"""Up to this many edits, all are unfolded. With more, only those on which something failed. Chosen by hand."""


@dataclass(frozen=True)
class Purpose:
    """How the page shows the prompts of one purpose."""

    title: str
    """The heading above its prompts."""
    wanted: str = "Wanted"
    """The heading of the answer that should be likelier."""
    other: str = "Other"
    """The heading of the other answer."""
    about: str = ""
    """What these prompts ask. Empty where the title says it."""
    many: str = ""
    """The title in the head of the page, where all edits are counted together. Empty: `title`."""


PURPOSES: Mapping[str, Purpose] = {
    "efficacy": Purpose("The edited prompt", "New answer", "Old answer", many="Edited prompts"),
    "paraphrase": Purpose("Paraphrases", "New answer", "Old answer", "the same question in other words"),
    "relation": Purpose("Relations", "New answer", "Old answer", "sentences about the concept"),
    "form": Purpose(
        "Other forms", "New answer", "Old answer", "the same as a question, as multiple choice, or in a chat"
    ),
    "neighbour": Purpose(
        "Neighbours", "Own answer", "Wrong answer", "prompts about something else, whose answers must stay"
    ),
    "retain": Purpose("Retained", "Own answer", "Wrong answer", "what must stay as it was"),
}
"""Purpose -> how the page shows it, in the order of the page."""


@dataclass(frozen=True)
class AnswerChance:
    """An answer and how likely the model finds it."""

    text: str
    """The answer."""
    before: Any
    """Its probability before the edit. Text such as `nan` where it is not finite."""
    after: Any
    """Its probability after the edit; text as above."""

    @property
    def bars(self) -> tuple[float, float]:
        """Return both probabilities in per cent, as widths of bars. Text or None gives an empty bar."""
        before, after = (0.0 if isinstance(p, str) or p is None else min(max(p, 0.0), 1.0) for p in self.both)
        return round(100 * before, 2), round(100 * after, 2)

    @property
    def both(self) -> tuple[Any, Any]:
        """Return the probabilities before and after."""
        return self.before, self.after


@dataclass(frozen=True)
class PromptRow:
    """One prompt with its answers."""

    prompt: str
    """The prompt."""
    tags: tuple[str, ...]
    """Labels: the form in which it was asked, and what that form requires."""
    wanted: AnswerChance | None
    """The answer that should be likelier. None where there is none."""
    other: AnswerChance | None
    """The other answer. None where there is none."""
    said: tuple[str, str] | None
    """The text with which the model continued before and after the edit. None where no text was generated."""
    holds: bool
    """True where the model answers as it should."""

    @property
    def unlikely(self) -> bool:
        """True where the prompt holds and its answer is still unlikely: only more likely than the other one."""
        after = self.wanted.after if self.wanted else 1.0
        return self.holds and not isinstance(after, str) and after < UNLIKELY


@dataclass(frozen=True)
class PurposeGroup:
    """The prompts of one purpose."""

    purpose: Purpose
    """How the page shows them."""
    rows: tuple[PromptRow, ...]
    """The prompts, in the order in which verify asked."""
    forms: tuple[tuple[str, int, int], ...]
    """For each form: its label, how many prompts hold, how many there are. Empty where all prompts have one form."""

    @property
    def hold_count(self) -> int:
        """How many prompts hold."""
        return sum(row.holds for row in self.rows)

    @property
    def has_answers(self) -> bool:
        """True where some prompt has an answer with a probability. False where all only generated text."""
        return any(row.wanted or row.other for row in self.rows)


@dataclass(frozen=True)
class EditAnswers:
    """One edit with its prompts."""

    edit: Mapping[str, Any] | None
    """The edit's entry in report.json. None for the prompts that belong to no edit."""
    was: str
    """The old answer. Empty where nobody knows it."""
    groups: tuple[PurposeGroup, ...]
    """Its prompts, by purpose."""
    claims: tuple[Mapping[str, Any], ...]
    """The claims about this edit alone."""
    unfolded: bool
    """True where the page shows it open."""


@dataclass(frozen=True)
class CaseTable:
    """Claims of one name side by side, one for each case."""

    title: str
    """The title of the table."""
    note: str
    """The spread over the cases. Empty where it was not measured."""
    claims: tuple[Mapping[str, Any], ...]
    """The claims."""


@dataclass(frozen=True)
class PurposeCount:
    """How many prompts of one purpose hold, over all edits."""

    title: str
    """The title of the purpose."""
    hold_count: int
    """How many hold."""
    total: int
    """How many there are."""


def edit_answers(record: Mapping[str, Any]) -> tuple[EditAnswers, ...]:
    """Return each edit with its prompts, in the order of the manifest, then the prompts that belong to no edit."""
    edits, answers = record["edits"], record["answers"]
    few = len(edits) <= MAX_UNFOLDED
    mine = [[one for one in answers if one["edit"] == index] for index in range(len(edits))]
    rest = [one for one in answers if not 0 <= one["edit"] < len(edits)]
    found = [
        EditAnswers(
            edit,
            _old_answer(edit, asked),
            _group_by_purpose(asked),
            _claims_of(record["claims"], edit),
            few or _any_fails(asked),
        )
        for edit, asked in zip(edits, mine, strict=True)
    ]
    return (
        (*found, EditAnswers(None, "", _group_by_purpose(rest), (), few or _any_fails(rest))) if rest else tuple(found)
    )


def case_tables(record: Mapping[str, Any]) -> Iterator[CaseTable]:
    """Yield a table for each claim of CASE_TITLES that the record has."""
    claims = record["claims"]
    spread = next((claim["value"] for claim in claims if claim["name"] == "spread"), None)
    for name, title in CASE_TITLES.items():
        if mine := tuple(claim for claim in claims if claim["name"] == name):
            note = "" if spread is None or name != "form" else f"spread {percent(spread)}"
            yield CaseTable(title, note, mine)


def is_shown_elsewhere(record: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """True for a claim that needs no row of its own: it has no bound, and its edit or its case shows it."""
    if "bound" in claim or "answers" not in record:
        return False
    return claim["name"] in (*CASE_TITLES, "suite") or any(_is_about(edit, claim) for edit in record["edits"])


def purpose_counts(record: Mapping[str, Any]) -> Iterator[PurposeCount]:
    """Yield the count of each purpose that has answers, for the head of the page."""
    for group in _group_by_purpose(record["answers"]):
        if group.has_answers:
            yield PurposeCount(group.purpose.many or group.purpose.title, group.hold_count, len(group.rows))


def _group_by_purpose(answers: Sequence[Mapping[str, Any]]) -> tuple[PurposeGroup, ...]:
    """Group prompts by purpose: first the purposes that editc knows, in its order, then others."""
    present = dict.fromkeys(one["purpose"] for one in answers)
    names = [*(name for name in PURPOSES if name in present), *(name for name in present if name not in PURPOSES)]
    return tuple(_make_group(name, [one for one in answers if one["purpose"] == name]) for name in names)


def _make_group(name: str, answers: Sequence[Mapping[str, Any]]) -> PurposeGroup:
    """Make the group of one purpose. An unknown purpose gets its name as title."""
    by_form: dict[str, list[bool]] = {}
    for one in answers:
        by_form.setdefault(_form_label(one), []).append(one["holds"])
    forms = tuple((form, sum(holds), len(holds)) for form, holds in by_form.items())
    purpose = PURPOSES.get(name) or Purpose(name.replace("_", " ").capitalize())
    return PurposeGroup(purpose, tuple(_prompt_row(one) for one in answers), forms if len(forms) > 1 else ())


def _prompt_row(one: Mapping[str, Any]) -> PromptRow:
    """Make the row of one prompt from its entry in report.json."""
    wanted, other = (
        AnswerChance(text, one["before"][index], one["after"][index]) if text else None
        for index, text in enumerate(_answer_texts(one))
    )
    before, after = (text.strip() for text in one["said"])
    tags = tuple(filter(None, (_form_label(one), "both orders must hold" * (one["form"] == "multiple choice"))))
    return PromptRow(one["prompt"], tags, wanted, other, (before, after) if before or after else None, one["holds"])


def _answer_texts(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return the texts of both answers.

    A reversed prompt has one answer, the subject. It is asked behind each of the edit's answers, and the texts say
    which.
    """
    wanted, other = one["wanted"], one["other"]
    return (
        (f"{wanted}, given the new answer", f"{other}, given the old answer")
        if wanted == other != ""
        else (wanted, other)
    )


def _form_label(one: Mapping[str, Any]) -> str:
    """Return a label such as `question, chat`; empty for plain text that the model continues."""
    form = "" if one["form"] in IMPLIED_FORMS else str(one["form"])
    return ", ".join(filter(None, (form, "chat" * (one["chat"] and form != "chat"))))


def _old_answer(edit: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> str:
    """Return the old answer: the one in the manifest, else the one that the model gave."""
    found = (one["other"] for one in asked if one["purpose"] == "efficacy")
    return str(edit.get("was") or next(found, ""))


def _claims_of(claims: Sequence[Mapping[str, Any]], edit: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the claims about one edit."""
    return tuple(claim for claim in claims if _is_about(edit, claim))


def _is_about(edit: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """True for a claim about this edit. Claims name an edit by its title."""
    return bool(claim["name"] not in CASE_TITLES and claim.get("subject") == edit["title"])


def _any_fails(asked: Sequence[Mapping[str, Any]]) -> bool:
    """True where some prompt does not hold."""
    return not all(one["holds"] for one in asked)
