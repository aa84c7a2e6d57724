"""Bystanders of a language model's edits: questions that nobody named, chosen by what the unedited model is sure of,
and whether its answers stayed. The standard is what it says itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from editc.core.delta import Array
from editc.core.manifest import Constraints, Fact, Manifest
from editc.core.measurements import Bystander, Claim
from editc.core.network import Prompt
from editc.core.text import fold_name
from editc.passes.language import candidates as made
from editc.passes.language.candidates import Around, Candidate, candidates
from editc.passes.language.questions import Change, first_word, titles
from editc.passes.language.verify.base_model import BaseModel
from editc.passes.language.verify.continuations import is_circling, is_readable

LOSS = 0.1
"""The share of bystanders whose answer may change, where the manifest gives no bound."""
SURE = 0.2
"""The probability from which on a word is the model's answer: below it another word is nearly as likely, and its change
would tell nothing."""
AROUND = "around {}"
"""What a claim about everything but the edited name itself is called."""
WORD, LONG = 6, 24
"""Tokens in which a word is complete, and in which a model that goes round in circles is seen to."""
EACH, MOST = 48, 192
"""Bystanders of one edit, and of a manifest."""
EDITS = 16
"""Edits that have bystanders, at even steps of those of a manifest."""
QUOTA = {
    made.LAST: 14,
    made.RELATION: 14,
    made.FACTS: 10,
    made.TARGET: 6,
    made.TONGUE: 6,
    made.START: 4,
    made.LOOP: 8,
}
"""How many of each kind are taken first; the rest of EACH is filled up in the order in which they were made."""


@dataclass(frozen=True)
class ConfidentAnswer:
    """A bystander with the answer that the unedited model is sure of."""

    candidate: Candidate
    """The question."""
    answer: str
    """The first word that the model says; '' for a question that is asked for loops alone."""
    said: str
    """The whole continuation."""


@dataclass(frozen=True)
class BystanderOutcome:
    """A bystander that was asked before and after the edit."""

    candidate: Candidate
    """The question."""
    said: tuple[str, str]
    """The continuations before and after the edit."""
    kept: bool
    """True if the answer stayed; of a question for loops, if the model does not go round in circles."""

    @property
    def finding(self) -> Bystander:
        """The bystander in the form that the report lists."""
        one = self.candidate
        return Bystander(one.prompt, one.kind, 1.0, float(self.kept), 1, self.said)


def measure_bystanders(
    manifest: Manifest,
    seed: int,
    changes: Sequence[Change],
    before: BaseModel,
    changed: Mapping[str, Array],
    others: Sequence[str] = (),
) -> tuple[BystanderOutcome, ...]:
    """The bystanders of every edit in the order in which they were made; none where the model is sure of nothing."""
    around = Around(manifest, seed, tuple(others))
    numbers = _evenly(len(manifest.language_edits), EDITS)
    asked = tuple(dict.fromkeys(one for index in numbers for one in candidates(around, index)))
    known = _confident_answers(asked, before, BarredAnswers(manifest, changes))
    chosen = _take_quotas(known, min(EACH, MOST // max(len(numbers), 1)))
    return tuple(_ask_again(chosen, before, changed))


def claims(found: Sequence[BystanderOutcome], manifest: Manifest, asked: Constraints) -> Iterator[Claim]:
    """`bystander_loss`: the share whose answer changed, of each edit twice: of what it asks about the edited name
    itself, and of what lies around it. Each answers to the bound: what is wrecked in one is not made good by others."""
    bound = LOSS if asked.bystander_loss is None else asked.bystander_loss
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        span = asked.at("bystander_loss") or edit.at()
        mine = [one for one in found if one.candidate.edit == index]
        own = [one for one in mine if one.candidate.kind in made.OWN]
        around = [one for one in mine if one.candidate.kind not in made.OWN]
        for subject, those in ((title, own), (AROUND.format(title), around)):
            if those:
                share = sum(not one.kept for one in those) / len(those)
                yield Claim("bystander_loss", share, bound, subject, span, "share", of=len(those))


def findings(found: Sequence[BystanderOutcome]) -> tuple[Bystander, ...]:
    """What the report lists, worst first."""
    return tuple(one.finding for one in sorted(found, key=lambda one: one.kept))


def _evenly(count: int, most: int) -> list[int]:
    some = min(count, most)
    return [i * count // some for i in range(some)]


@dataclass(frozen=True)
class BarredAnswers:
    """Answers that a bystander may not have, because they would tell nothing or follow the edit."""

    manifest: Manifest
    """The manifest with the edits."""
    changes: Sequence[Change]
    """The answers that the edits change."""

    @cached_property
    def taken(self) -> tuple[frozenset[str], ...]:
        """By edit: of a concept its names, which such a question asks for backwards; of a fact the new answer, for what
        has it already cannot be led to it."""
        found = [{fold_name(name) for name in edit.names} for edit in self.manifest.language_edits]
        for one in self.changes:
            if isinstance(self.manifest.language_edits[one.edit], Fact):
                found[one.edit] |= {fold_name(one.new), fold_name(first_word(one.new))}
        return tuple(frozenset(some - {""}) for some in found)

    @cached_property
    def old(self) -> tuple[frozenset[str], ...]:
        """By edit of a fact the old answer: where the subject has it, the fact was asked for in other words."""
        found = [set[str]() for _ in self.manifest.language_edits]
        for one in self.changes:
            found[one.edit] |= {fold_name(one.old), fold_name(first_word(one.old))}
        return tuple(frozenset(some - {""}) for some in found)

    def fit(self, one: Candidate, said: str) -> bool:
        """True for an answer in words that a bystander may have."""
        answer = fold_name(first_word(said))
        told = f" {answer} "
        barred = self.taken[one.edit] | (self.old[one.edit] if one.kind in made.OWN else frozenset())
        return any(map(str.isalnum, answer)) and is_readable(said) and not any(f" {name} " in told for name in barred)


def is_running_text(said: str) -> bool:
    """True where a continuation is text, and does not go round in circles."""
    return bool(said) and is_readable(said) and not is_circling(said)


def _confident_answers(
    asked: Sequence[Candidate], before: BaseModel, answers: BarredAnswers
) -> tuple[ConfidentAnswer, ...]:
    """Those that the unedited model has an answer to, and those where it goes on in text and not in circles."""
    plain, going = ([one for one in asked if one.loops == loops] for loops in (False, True))
    spoken = before.speak([Prompt(one.prompt) for one in plain], WORD) if plain else ()
    found = [
        ConfidentAnswer(one, first_word(said.text), said.text)
        for one, said in zip(plain, spoken, strict=True)
        if answers.fit(one, said.text) and said.likelihood(first_word(said.text)) >= SURE
    ]
    told = before.generate([Prompt(one.prompt) for one in going], LONG) if going else ()
    found += [ConfidentAnswer(one, "", said) for one, said in zip(going, told, strict=True) if is_running_text(said)]
    return tuple(found)


def _take_quotas(known: Sequence[ConfidentAnswer], most: int) -> tuple[ConfidentAnswer, ...]:
    """At most so many of each edit: of each kind its quota, and then whatever comes next."""
    found: list[ConfidentAnswer] = []
    for index in dict.fromkeys(one.candidate.edit for one in known):
        mine = [one for one in known if one.candidate.edit == index]
        taken: dict[str, int] = {}
        first, rest = list[ConfidentAnswer](), list[ConfidentAnswer]()
        for one in mine:
            kind = one.candidate.kind
            taken[kind] = taken.get(kind, 0) + 1
            (first if taken[kind] <= QUOTA.get(kind, 0) * most // EACH else rest).append(one)
        found += [*first, *rest][:most]
    return tuple(found)


def _ask_again(
    chosen: Sequence[ConfidentAnswer], before: BaseModel, changed: Mapping[str, Array]
) -> Iterator[BystanderOutcome]:
    """Each asked of the model as changed."""
    for loops, tokens in ((False, WORD), (True, LONG)):
        those = [one for one in chosen if one.candidate.loops == loops]
        prompts = [Prompt(one.candidate.prompt) for one in those]
        told = before.network.generate(prompts, tokens, changed) if prompts else ()
        for one, text in zip(those, told, strict=True):
            kept = not is_circling(text) if loops else fold_name(first_word(text)) == fold_name(one.answer)
            yield BystanderOutcome(one.candidate, (one.said, text), kept)
