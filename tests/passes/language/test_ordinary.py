"""Ordinary questions: in the form of the rows, about names of which no row speaks, with what the model says."""

from __future__ import annotations

from dataclasses import replace

import language_pass_cases
import pytest

from editc.backends.networks import CausalNetwork
from editc.core.language_edits import DataSet, Forget, PromptAnswer
from editc.core.prompts import Prompt
from editc.passes.language import well_known
from editc.passes.language.candidates import UNRELATED_KINDS
from editc.passes.language.schemes.ordinary import COUNT, KINDS, frame, ordinary_rows
from editc.passes.language.schemes.subject import Beside, make_subject
from editc.registry.methods import METHODS

folder = language_pass_cases.folder
ports = language_pass_cases.ports
network = language_pass_cases.causal
ROWS = (
    PromptAnswer("Question: Where is Rome?\nAnswer:", "In Italy.", "Rome"),
    PromptAnswer("Question: Who was Isaac Newton?\nAnswer:", "A quiet man.", "Isaac Newton"),
)
EDIT = Forget(concept="x", data=DataSet("x", "", ROWS))


@pytest.mark.parametrize(
    ("prompts", "found"),
    [
        (["Question: Where?\nAnswer:", "Question: Whom?\nAnswer:"], ("Question: ", "?\nAnswer:")),
        (["Where is it?", "Who is it?"], ("", "?")),
        (["The home of Ada is", "The home of Bo is"], ("The home of ", "")),
        (["The home of Ada is"], ("", "")),
        ([], ("", "")),
    ],
)
def test_the_frame_is_what_all_prompts_share(prompts: list[str], found: tuple[str, str]) -> None:
    assert frame(prompts) == found


def test_questions_have_the_form_of_the_rows_and_none_of_their_names(network: CausalNetwork) -> None:
    rows = list(ordinary_rows(EDIT, False, network, 0))
    assert 0 < len(rows) <= COUNT and len({row.prompt for row in rows}) == len(rows)
    assert all(row.prompt.startswith("Question: What is ") and row.prompt.endswith("?\nAnswer:") for row in rows)
    assert not any("Newton" in row.prompt for row in rows) and any("Einstein" in row.prompt for row in rows)
    assert rows == list(ordinary_rows(EDIT, False, network, 0)) != list(ordinary_rows(EDIT, False, network, 1))


def test_answers_are_what_the_model_says(network: CausalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(_: object, prompts: list[Prompt], *__: object) -> tuple[tuple[str, ...], ...]:
        return tuple((" a thing." if i else " ",) for i, _ in enumerate(prompts))

    monkeypatch.setattr(type(network), "sample", sample)
    plain = replace(EDIT, data=DataSet("x", "", (PromptAnswer("Rome is", "big"), PromptAnswer("Bonn is", "small"))))
    rows = list(ordinary_rows(plain, False, network, 0))
    assert len(rows) == COUNT - 1, "a question to which nothing is said is left out"
    assert {row.answer for row in rows} == {"a thing."} and all(row.prompt.endswith(" is") for row in rows)


def test_verification_asks_about_other_kinds_of_names() -> None:
    assert not set(KINDS) & set(UNRELATED_KINDS) and set(KINDS) <= set(well_known.names())


@pytest.mark.parametrize("method", ["npo", "undial", "pdu", "cir", "stack"])
def test_they_are_asked_where_they_weigh_something(method: str, network: CausalNetwork) -> None:
    for weight, wanted in ((0.0, []), (2.0, [2.0])):
        made = METHODS.resolve(method)(ordinary=weight)
        terms = [one for one in made.terms() if one.name == "ordinary"]
        assert [one.weight for one in terms] == wanted and all(one.side == "keep" for one in terms)
        subject = make_subject(EDIT, False, network, 0, made.beside())
        assert bool(subject.ordinary) == bool(weight) and subject.rows("ordinary") == subject.ordinary
    with pytest.raises(ValueError, match="ordinary"):
        METHODS.resolve(method)(ordinary=-1.0)


def test_most_methods_ask_for_nothing_beside_the_rows() -> None:
    assert METHODS.resolve("npo")().beside() == Beside()
    assert METHODS.resolve("strangers")().beside() == Beside(strangers=True)
    assert METHODS.resolve("altpo")(alternatives=2, ordinary=0).beside() == Beside(alternatives=2)
