"""Measure the rows of sets that are forgotten or learned, and of their retain sets: how likely each answer is before
and after the edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.language_edits import DataSet, OnRows, PromptAnswer
from editc.core.manifest import Manifest
from editc.core.measurements import Answer, Claim
from editc.core.network import AnswerScores
from editc.core.prompts import Cloze, Prompt
from editc.passes.language.verify.ask import LOST_RATIO
from editc.passes.language.verify.base_model import BaseModel

MOST_ROWS = 256
"""The most rows of a set that are asked, at even steps. Chosen by hand: it bounds the time of a build."""
CONTINUED = 4
"""The rows of each set whose answers the model also gives in its own words, for the report. Chosen by hand."""
STAYED_RATIO = 0.8
"""A retained answer stays when a token of it has at least this share of its probability before. Chosen by hand."""
KNOWN = 0.5
"""A model knows an answer when a token of it has at least this probability. Chosen by hand."""
PURPOSES = ("efficacy", "retain")
"""The purposes of the answers about what is forgotten, and about what is retained."""


@dataclass(frozen=True)
class AskedRow:
    """One row that was asked before and after the edit."""

    answer: Answer
    """The answer, as the report shows it."""
    likely: tuple[float, float]
    """The probability of a token of the answer before and after, as the geometric mean over its tokens."""


def ask_rows(manifest: Manifest, base: BaseModel, changed: Mapping[str, Array], tokens: int) -> tuple[AskedRow, ...]:
    """Ask the rows of every set, of each at most MOST_ROWS. `tokens`: the length of a continuation.

    Raises E352 where a delta is measured again without the files of its sets.
    """
    return tuple(
        one
        for index, edit in enumerate(manifest.on_rows)
        for purpose, data in zip(PURPOSES, (edit.data, edit.retain), strict=True)
        if data is not None
        for one in _ask_set(_Wish(index, purpose, edit), _require_rows(data, manifest), manifest, base, changed, tokens)
    )


def _require_rows(data: DataSet, manifest: Manifest) -> Sequence[PromptAnswer]:
    """The rows to ask. Raises E352 if only their hash is known."""
    if not data.rows:
        message = f"the rows of `{data.file}` are not here: the delta records their sha256 ({data.sha256[:12]}) alone"
        help_ = "run it in the folder of the manifest, or put the file beside the delta"
        raise EditcError(Diagnostic("E352", message, manifest.at("edits"), manifest.source, help=help_))
    return (
        [data.rows[i * len(data.rows) // MOST_ROWS] for i in range(MOST_ROWS)]
        if len(data.rows) > MOST_ROWS
        else data.rows
    )


@dataclass(frozen=True)
class _Wish:
    """What is to become of the answers of a set."""

    index: int
    """The number of the edit."""
    purpose: str
    """One of PURPOSES."""
    edit: OnRows
    """The edit."""

    @property
    def lost(self) -> bool:
        """True where the answers are to be lost."""
        return self.purpose == "efficacy" and self.edit.kind == "forget"

    def holds(self, before: float, after: float) -> bool:
        """True where an answer became as it should, by the probability of a token before and after."""
        if self.lost:
            return after <= LOST_RATIO * before
        return after >= (KNOWN if self.purpose == "efficacy" else STAYED_RATIO * before)


def _ask_set(
    wish: _Wish,
    rows: Sequence[PromptAnswer],
    manifest: Manifest,
    base: BaseModel,
    changed: Mapping[str, Array],
    tokens: int,
) -> Iterator[AskedRow]:
    """Ask the rows of one set."""
    asked = [Cloze(row.prompt, str(row.answer), manifest.chat and bool(row.prompt)) for row in rows]
    before, after = base.score(asked), base.network.score(asked, changed)
    said = _continue(asked, base, changed, tokens)
    for i, one in enumerate(asked):
        likely = _per_token(before, i), _per_token(after, i)
        wanted, other = ("", one.answer) if wish.lost else (one.answer, "")
        chances = [(float(np.exp(scores.total[i])), 0.0) for scores in (before, after)]
        then, now = (pair[::-1] if wish.lost else pair for pair in chances)
        form = (wish.index, wish.purpose, "cloze", one.prompt, one.chat)
        answer = Answer(*form, wanted, other, then, now, wish.holds(*likely))
        yield AskedRow(replace(answer, said=said.get(i, ("", ""))), likely)


def _continue(
    asked: Sequence[Cloze], base: BaseModel, changed: Mapping[str, Array], tokens: int
) -> Mapping[int, tuple[str, str]]:
    """Number of a row -> how the model continues its prompt before and after, for at most CONTINUED rows with one."""
    prompted = [i for i, one in enumerate(asked) if one.prompt]
    some = [prompted[k * len(prompted) // CONTINUED] for k in range(CONTINUED)] if prompted else []
    chosen = list(dict.fromkeys(some))
    if not chosen or not tokens:
        return {}
    prompts = [Prompt(asked[i].prompt, asked[i].chat) for i in chosen]
    return dict(zip(chosen, zip(*base.network.generate_both(prompts, tokens, changed), strict=True), strict=True))


def _per_token(scores: AnswerScores, index: int) -> float:
    """The probability of a token of an answer, as the geometric mean over its tokens."""
    return float(np.exp(scores.total[index] / scores.tokens[index]))


def claims(asked: Sequence[AskedRow], titles: Sequence[str], manifest: Manifest) -> Iterator[Claim]:
    """Claims about the sets.

    `efficacy`: the share of the rows to forget whose answer is lost: the probability of a token, as the geometric mean
    over the answer, is at most LOST_RATIO of what it was; of the rows to learn, the share whose answer the model knows.
    For each set to forget `known`, the share that the unedited model knew. For each edit `forgotten_nll_before` and
    `forgotten_nll_after`, or `learned_nll_...`, the mean negative log-likelihood of a token of the answers, as the mean
    over rows; the same for `retained_nll`, and `retained`, the share of retained answers that stay.
    """
    forgotten = [one for one in asked if one.answer.purpose == "efficacy"]
    if not forgotten:
        return
    constraints = manifest.constraints
    bound, span = constraints.efficacy, constraints.at("efficacy")
    yield Claim("efficacy", _held(forgotten), bound, "", span, "share", least=True, of=len(forgotten))
    for index, title in enumerate(titles):
        mine = [one for one in asked if one.answer.edit == index]
        learned = manifest.on_rows[index].kind == "learn"
        for name, purpose in zip(("learned" if learned else "forgotten", "retained"), PURPOSES, strict=True):
            those = [one for one in mine if one.answer.purpose == purpose]
            if not those:
                continue
            if purpose == "retain":
                yield Claim("retained", _held(those), subject=title, unit="share", least=True, of=len(those))
            else:
                known = [one.likely[0] >= KNOWN for one in those]
                if len(titles) > 1:
                    yield Claim("efficacy", _held(those), subject=title, unit="share", least=True, of=len(those))
                if not learned:
                    yield Claim("known", sum(known) / len(known), subject=title, unit="share", of=len(those))
            for when, moment in enumerate(("before", "after")):
                nll = float(np.mean([-np.log(max(one.likely[when], 1e-30)) for one in those]))
                yield Claim(f"{name}_nll_{moment}", nll, subject=title, unit="nats")


def _held(those: Sequence[AskedRow]) -> float:
    """The share of the rows that hold."""
    return sum(one.answer.holds for one in those) / len(those)
