"""The phrasings in which an edit holds worst."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from editc.core.network import AnswerScores
from editc.core.prompts import Cloze
from editc.passes.language.questions import Change
from editc.passes.language.verify import worst
from editc.passes.language.verify.base_model import BaseModel

FACT = Change(0, "The {} is in", "Louvre", "Rome", "Paris")
LOST = Change(1, "{} is in", "Nara", "", "Japan", loss_is_enough=True)
BAD = "According to the encyclopedia, {}"


@dataclass
class Told:
    """A model that gives Rome 0.9 and Paris 0.1 after the edit, except in one sentence, where it is the reverse."""

    asked: list[Cloze] = field(default_factory=list)

    def score(self, asked: Any, changed: Any = None) -> AnswerScores:
        self.asked += asked
        p = [self._likely(one, changed is not None) for one in asked]
        nothing = np.zeros(len(p), np.int64)
        return AnswerScores(np.log(p), np.log(p), nothing > 0, nothing, nothing)

    def _likely(self, one: Cloze, edited: bool) -> float:
        right = edited and not one.prompt.startswith("According")
        return {"Rome": 0.9, "Paris": 0.1, "Japan": 0.01}[one.answer] if right else 0.8 if one.answer != "Rome" else 0.2


def test_the_sentence_in_which_the_edit_fails_is_found_first() -> None:
    found = worst.find_worst(BaseModel(Told()), [FACT], {}, 3)  # type: ignore[arg-type]
    assert len(found) == 3 and found[0].template == BAD and found[0].share == 0 and found[1].share == 1
    assert found[0].margin == pytest.approx(np.log(0.2 / 0.8)) and found[1].margin == pytest.approx(np.log(9))


def test_an_edit_without_a_new_answer_holds_where_the_old_one_is_lost() -> None:
    found = worst.find_worst(BaseModel(Told()), [LOST], {}, 2)  # type: ignore[arg-type]
    assert [one.share for one in found] == [0, 1] and found[0].margin == pytest.approx(0)


def test_claims_are_shares_with_the_sentence_as_subject_and_nothing_without_old_answers() -> None:
    found = worst.find_worst(BaseModel(Told()), [FACT], {}, 2)  # type: ignore[arg-type]
    told = list(worst.claims(found))
    assert [(one.name, one.subject, one.value) for one in told[:2]] == [
        ("worst_phrasing", "", 0.5),
        ("phrasing", BAD, 0),
    ]
    nothing = worst.find_worst(BaseModel(Told()), [Change(0, "{}", "a", "b", "")], {}, 2)  # type: ignore[arg-type]
    assert nothing == () and list(worst.claims(())) == []


def test_every_phrasing_has_one_place_for_the_prompt_at_its_end() -> None:
    assert len(set(worst.phrasings())) == 24
    assert all(one.count("{}") == 1 and one.endswith("{}") for one in worst.phrasings())
