"""What the HTML report shows of a language model: for each edit its prompts by purpose, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.report.words import percent

CASE_TITLES: Mapping[str, str] = {
    "form": "How it is asked",
    "step": "How far from the edited prompt",
    "said": "What it goes on with now",
}
"""Claims whose subject is no edit but a case, with the title of their table."""
IMPLIED_FORMS = frozenset({"", "plain", "cloze", "paraphrase"})
"""Forms that the purpose says already."""
UNLIKELY = 0.1
"""The probability of an answer below which "holds" is not all that there is to say."""
MAX_UNFOLDED = 8
"""So many edits are unfolded; of more, those on which something failed."""


@dataclass(frozen=True)
class Purpose:
    """How one kind of prompt is shown: its title, what its two answers are, what it asks, and the title of many."""

    title: str
    wanted: str = "Wanted"
    other: str = "Other"
    about: str = ""
    many: str = ""


PURPOSES: Mapping[str, Purpose] = {
    "efficacy": Purpose("The edited prompt", "New answer", "Old answer", many="Edited prompts"),
    "paraphrase": Purpose("Paraphrases", "New answer", "Old answer", "the same asked in other words"),
    "relation": Purpose("Relations", "New answer", "Old answer", "what is said of the concept"),
    "form": Purpose("Other forms", "New answer", "Old answer", "the same asked as a question, a choice, in a chat"),
    "neighbour": Purpose("Neighbours", "Its answer", "Wrong here", "prompts nearby, whose answers must stay"),
    "retain": Purpose("Kept", "Its answer", "Wrong here", "what must stay as it was"),
}


@dataclass(frozen=True)
class AnswerChance:
    """An answer and how likely the model finds it; `before` and `after` are None where there is no such answer."""

    text: str
    before: Any
    after: Any

    @property
    def bars(self) -> tuple[float, float]:
        """Both in per cent of the whole bar; no number is an empty one."""
        before, after = (0.0 if isinstance(p, str) or p is None else min(max(p, 0.0), 1.0) for p in self.both)
        return round(100 * before, 2), round(100 * after, 2)

    @property
    def both(self) -> tuple[Any, Any]:
        """Before and after."""
        return self.before, self.after


@dataclass(frozen=True)
class PromptRow:
    """One prompt; `tags` say in which form it was put, `said` what followed before and after, where it was written."""

    prompt: str
    tags: tuple[str, ...]
    wanted: AnswerChance | None
    other: AnswerChance | None
    said: tuple[str, str] | None
    holds: bool

    @property
    def unlikely(self) -> bool:
        """True where it holds and is still hardly ever said: the new answer is likelier than the old, and unlikely."""
        after = self.wanted.after if self.wanted else 1.0
        return self.holds and not isinstance(after, str) and after < UNLIKELY


@dataclass(frozen=True)
class PurposeGroup:
    """The prompts of one purpose; `held` of them count as they should; by form too, where there are several."""

    purpose: Purpose
    rows: tuple[PromptRow, ...]
    forms: tuple[tuple[str, int, int], ...]

    @property
    def holding(self) -> int:
        """How many hold."""
        return sum(row.holds for row in self.rows)

    @property
    def has_answers(self) -> bool:
        """False where nothing but text was asked for."""
        return any(row.wanted or row.other for row in self.rows)


@dataclass(frozen=True)
class EditAnswers:
    """One edit with its prompts: `edit` is its record, None for prompts that belong to none; `was` is the old answer;
    `claims` are those of this edit alone."""

    edit: Mapping[str, Any] | None
    was: str
    groups: tuple[PurposeGroup, ...]
    claims: tuple[Mapping[str, Any], ...]
    unfolded: bool


@dataclass(frozen=True)
class CaseTable:
    """Claims of one name side by side: `note` is their spread, where it was measured."""

    title: str
    note: str
    claims: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class PurposeCount:
    """Of all edits together, how many prompts of one purpose hold."""

    title: str
    holding: int
    total: int


def edit_answers(record: Mapping[str, Any]) -> tuple[EditAnswers, ...]:
    """Every edit with every prompt, in the order of the manifest; then the prompts that belong to no edit."""
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
    """The claims of `APART`."""
    claims = record["claims"]
    spread = next((claim["value"] for claim in claims if claim["name"] == "spread"), None)
    for name, title in CASE_TITLES.items():
        if mine := tuple(claim for claim in claims if claim["name"] == name):
            note = "" if spread is None or name != "form" else f"spread {percent(spread)}"
            yield CaseTable(title, note, mine)


def is_shown_elsewhere(record: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """True for a claim without a bound that is shown with its edit or its case and needs no row of its own."""
    if "bound" in claim or "answers" not in record:
        return False
    return claim["name"] in CASE_TITLES or any(_is_about(edit, claim) for edit in record["edits"])


def purpose_counts(record: Mapping[str, Any]) -> Iterator[PurposeCount]:
    """For the head of the page."""
    for group in _group_by_purpose(record["answers"]):
        if group.has_answers:
            yield PurposeCount(group.purpose.many or group.purpose.title, group.holding, len(group.rows))


def _group_by_purpose(answers: Sequence[Mapping[str, Any]]) -> tuple[PurposeGroup, ...]:
    """By purpose, those that editc knows first."""
    present = dict.fromkeys(one["purpose"] for one in answers)
    names = [*(name for name in PURPOSES if name in present), *(name for name in present if name not in PURPOSES)]
    return tuple(_make_group(name, [one for one in answers if one["purpose"] == name]) for name in names)


def _make_group(name: str, answers: Sequence[Mapping[str, Any]]) -> PurposeGroup:
    by_form: dict[str, list[bool]] = {}
    for one in answers:
        by_form.setdefault(_form_label(one), []).append(one["holds"])
    forms = tuple((form, sum(holds), len(holds)) for form, holds in by_form.items())
    purpose = PURPOSES.get(name) or Purpose(name.replace("_", " ").capitalize())
    return PurposeGroup(purpose, tuple(_prompt_row(one) for one in answers), forms if len(forms) > 1 else ())


def _prompt_row(one: Mapping[str, Any]) -> PromptRow:
    wanted, other = (
        AnswerChance(text, one["before"][index], one["after"][index]) if text else None
        for index, text in enumerate(_answer_texts(one))
    )
    before, after = (text.strip() for text in one["said"])
    tags = tuple(filter(None, (_form_label(one), "both orders must hold" * (one["form"] == "multiple choice"))))
    return PromptRow(one["prompt"], tags, wanted, other, (before, after) if before or after else None, one["holds"])


def _answer_texts(one: Mapping[str, Any]) -> tuple[str, str]:
    """Both answers. A reversed prompt has one, the subject, which stands once behind each answer of the edit."""
    wanted, other = one["wanted"], one["other"]
    return (f"{wanted}, by the new answer", f"{other}, by the old one") if wanted == other != "" else (wanted, other)


def _form_label(one: Mapping[str, Any]) -> str:
    """`question in a chat`; nothing for plain text that is gone on with."""
    form = "" if one["form"] in IMPLIED_FORMS else str(one["form"])
    return ", ".join(filter(None, (form, "chat" * (one["chat"] and form != "chat"))))


def _old_answer(edit: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> str:
    """What the model said before: as the manifest has it, else as it was found by asking."""
    found = (one["other"] for one in asked if one["purpose"] == "efficacy")
    return str(edit.get("was") or next(found, ""))


def _claims_of(claims: Sequence[Mapping[str, Any]], edit: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(claim for claim in claims if _is_about(edit, claim))


def _is_about(edit: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Claims call an edit by its title alone."""
    return bool(claim["name"] not in CASE_TITLES and claim.get("subject") == edit["title"])


def _any_fails(asked: Sequence[Mapping[str, Any]]) -> bool:
    return not all(one["holds"] for one in asked)
