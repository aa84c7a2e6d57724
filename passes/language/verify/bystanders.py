"""Measure the bystanders of a language model's edits: questions that the manifest does not name and that the unedited
model is sure of. A bystander is lost if the model's answer to it changes; the model's own answer is the standard, right
or wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from editc.core.delta import Array
from editc.core.language_edits import Fact
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Bystander, Claim
from editc.core.prompts import Prompt
from editc.core.text import fold_name
from editc.passes.language import candidates as kinds
from editc.passes.language.candidates import Candidate, UneditedNames, candidates
from editc.passes.language.questions import Change, first_word, titles
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.continuations import is_readable, is_repetitive

DEFAULT_BOUND = 0.1
"""The share of bystanders that an edit may lose if the manifest gives no bound. Chosen by hand;
docs/measurements/bystanders-language.md has the shares of many edits."""
LEAST_PROBABILITY = 0.2
"""The least probability of the first word of an answer that the model counts as sure of. Below it another word is
nearly as likely, so that a change says little. Chosen by hand."""
AROUND_TITLE = "around {}"
"""The name of a claim about the bystanders that are not about the edited name itself."""
WORD_TOKENS, LOOP_TOKENS = 6, 24
"""The number of tokens in which a word is complete, and in which a model that repeats itself is seen to. Chosen by
hand."""
MOST_PER_EDIT, MOST_PER_MANIFEST = 48, 192
"""The most bystanders of one edit, and of a manifest. Chosen by hand: they bound the time of a build."""
MOST_EDITS = 16
"""The most edits of a manifest that have bystanders, at even steps of all. Chosen by hand, as above."""
FIRST_OF_KIND = {
    kinds.SAME_LAST_WORD: 14,
    kinds.SAME_RELATION: 14,
    kinds.OTHER_FACT: 10,
    kinds.ABOUT_TARGET: 6,
    kinds.OTHER_LANGUAGE: 6,
    kinds.NAME_AT_START: 4,
    kinds.LOOPS: 8,
}
"""Kind -> how many bystanders of it are taken first. The rest of MOST_PER_EDIT is filled in the order of the
candidates. Chosen by hand: every kind that the model knows something of is then measured."""


@dataclass(frozen=True)
class ConfidentAnswer:
    """A bystander with the answer that the unedited model is sure of."""

    candidate: Candidate
    """The question."""
    answer: str
    """The first word of the model's continuation; '' if only loops count for the question."""
    said: str
    """The whole continuation."""


@dataclass(frozen=True)
class BystanderOutcome:
    """A bystander that was asked before and after the edit."""

    candidate: Candidate
    """The question."""
    said: tuple[str, str]
    """The continuations before and after the edit."""
    unchanged: bool
    """True if the answer stayed the same. If only loops count: True if the model does not repeat itself."""

    @property
    def finding(self) -> Bystander:
        """The bystander as the report lists it."""
        one = self.candidate
        return Bystander(one.prompt, one.kind, 1.0, float(self.unchanged), 1, self.said)


def measure_bystanders(
    manifest: Manifest,
    seed: int,
    changes: Sequence[Change],
    base: BaseModel,
    changed: Mapping[str, Array],
    others: Sequence[str] = (),
) -> tuple[BystanderOutcome, ...]:
    """Choose the bystanders of every edit and ask the edited model for them; first those whose answer counts, then
    those of which only loops count. Empty if the unedited model is sure of no answer.

    `changed`: matrix name -> edited weight, as stored. `others`: names that other deltas edit, which are no bystanders.
    """
    unedited = UneditedNames(manifest, seed, tuple(others))
    numbers = _evenly(len(manifest.language_edits), MOST_EDITS)
    questions = tuple(dict.fromkeys(one for index in numbers for one in candidates(unedited, index)))
    known = _confident_answers(questions, base, BarredAnswers(manifest, changes))
    chosen = _take_quotas(known, min(MOST_PER_EDIT, MOST_PER_MANIFEST // max(len(numbers), 1)))
    return tuple(_ask_again(chosen, base, changed))


def claims(outcomes: Sequence[BystanderOutcome], manifest: Manifest, constraints: Constraints) -> Iterator[Claim]:
    """`bystander_loss`, the share of lost bystanders, twice for each edit: of the questions about the edited name
    itself, and of all others. Each share must meet the bound by itself, so that a large loss in one is not averaged
    away by the other."""
    bound = DEFAULT_BOUND if constraints.bystander_loss is None else constraints.bystander_loss
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        span = constraints.at("bystander_loss") or edit.at()
        mine = [one for one in outcomes if one.candidate.edit == index]
        own = [one for one in mine if one.candidate.kind in kinds.KINDS_ABOUT_SUBJECT]
        around = [one for one in mine if one.candidate.kind not in kinds.KINDS_ABOUT_SUBJECT]
        for subject, those in ((title, own), (AROUND_TITLE.format(title), around)):
            if those:
                share = sum(not one.unchanged for one in those) / len(those)
                yield Claim("bystander_loss", share, bound, subject, span, "share", of=len(those))


def findings(outcomes: Sequence[BystanderOutcome]) -> tuple[Bystander, ...]:
    """The bystanders as the report lists them, the lost ones first."""
    return tuple(one.finding for one in sorted(outcomes, key=lambda one: one.unchanged))


def _evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers from 0 to `count` - 1, at even steps."""
    some = min(count, most)
    return [i * count // some for i in range(some)]


@dataclass(frozen=True)
class BarredAnswers:
    """The answers that a bystander may not have, because it would show nothing or follow the edit."""

    manifest: Manifest
    """The manifest with the edits."""
    changes: Sequence[Change]
    """The answers that the edits change."""

    @cached_property
    def barred_for_all(self) -> tuple[frozenset[str], ...]:
        """Edit -> folded answers that none of its bystanders may have: the edited names, because such a question asks
        for the subject itself, and the new answer of a fact, because an answer that is the new one already cannot be
        drawn to it."""
        found = [{fold_name(name) for name in edit.names} for edit in self.manifest.language_edits]
        for one in self.changes:
            if isinstance(self.manifest.language_edits[one.edit], Fact):
                found[one.edit] |= {fold_name(one.new), fold_name(first_word(one.new))}
        return tuple(frozenset(some - {""}) for some in found)

    @cached_property
    def barred_about_subject(self) -> tuple[frozenset[str], ...]:
        """Edit -> folded old answers, which no question about the subject may have: such a question asks for the edited
        fact in other words."""
        found = [set[str]() for _ in self.manifest.language_edits]
        for one in self.changes:
            found[one.edit] |= {fold_name(one.old), fold_name(first_word(one.old))}
        return tuple(frozenset(some - {""}) for some in found)

    def allows(self, one: Candidate, said: str) -> bool:
        """True if the candidate may be a bystander with this continuation: its first word is a readable word and not a
        barred answer."""
        answer = fold_name(first_word(said))
        padded = f" {answer} "
        barred = self.barred_for_all[one.edit] | (
            self.barred_about_subject[one.edit] if one.kind in kinds.KINDS_ABOUT_SUBJECT else frozenset()
        )
        return any(map(str.isalnum, answer)) and is_readable(said) and not any(f" {name} " in padded for name in barred)


def is_varied_text(said: str) -> bool:
    """True for a continuation that is readable text and does not repeat itself."""
    return bool(said) and is_readable(said) and not is_repetitive(said)


def _confident_answers(
    questions: Sequence[Candidate], base: BaseModel, barred: BarredAnswers
) -> tuple[ConfidentAnswer, ...]:
    """The candidates that may be bystanders: those with an answer that the unedited model is sure of, then those for
    loops that it continues without repeating itself."""
    plain, going = ([one for one in questions if one.loops_only == loops] for loops in (False, True))
    spoken = base.generate_tokens([Prompt(one.prompt) for one in plain], WORD_TOKENS) if plain else ()
    found = [
        ConfidentAnswer(one, first_word(said.text), said.text)
        for one, said in zip(plain, spoken, strict=True)
        if barred.allows(one, said.text) and said.likelihood(first_word(said.text)) >= LEAST_PROBABILITY
    ]
    texts = base.generate([Prompt(one.prompt) for one in going], LOOP_TOKENS) if going else ()
    found += [ConfidentAnswer(one, "", said) for one, said in zip(going, texts, strict=True) if is_varied_text(said)]
    return tuple(found)


def _take_quotas(known: Sequence[ConfidentAnswer], most: int) -> tuple[ConfidentAnswer, ...]:
    """At most `most` bystanders of each edit: first those within the quota of their kind (FIRST_OF_KIND, scaled to
    `most`), then the others, both in their given order."""
    found: list[ConfidentAnswer] = []
    for index in dict.fromkeys(one.candidate.edit for one in known):
        mine = [one for one in known if one.candidate.edit == index]
        taken: dict[str, int] = {}
        first, rest = list[ConfidentAnswer](), list[ConfidentAnswer]()
        for one in mine:
            kind = one.candidate.kind
            taken[kind] = taken.get(kind, 0) + 1
            (first if taken[kind] <= FIRST_OF_KIND.get(kind, 0) * most // MOST_PER_EDIT else rest).append(one)
        found += [*first, *rest][:most]
    return tuple(found)


def _ask_again(
    chosen: Sequence[ConfidentAnswer], base: BaseModel, changed: Mapping[str, Array]
) -> Iterator[BystanderOutcome]:
    """Ask the changed model each bystander, and compare with the unedited model's answer."""
    for loops, tokens in ((False, WORD_TOKENS), (True, LOOP_TOKENS)):
        those = [one for one in chosen if one.candidate.loops_only == loops]
        prompts = [Prompt(one.candidate.prompt) for one in those]
        texts = base.network.generate(prompts, tokens, changed) if prompts else ()
        for one, text in zip(those, texts, strict=True):
            unchanged = not is_repetitive(text) if loops else fold_name(first_word(text)) == fold_name(one.answer)
            yield BystanderOutcome(one.candidate, (one.said, text), unchanged)
