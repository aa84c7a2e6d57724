"""What verify asks of a language model: prompts with what is right and what is wrong, and their forms."""

from __future__ import annotations

import pytest
from language_verify_cases import HEAD, TOWER, language

from editc.core.edited import EditedPrompts
from editc.core.places import Source
from editc.core.prompts import Cloze
from editc.manifests.decode import decode
from editc.passes.language import questions
from editc.passes.language.verify import forms


def test_every_prompt_has_what_is_right_and_what_is_wrong() -> None:
    told = language(TOWER)
    (change,) = questions.changes(told, {})
    assert (change.prompt, change.new, change.old) == ("The tower stands in", "Rome", "Paris")
    (paraphrase,) = questions.paraphrase_questions(told, [change])
    assert paraphrase.wanted == Cloze("Where one sees the tower is", "Rome")
    assert paraphrase.other == Cloze("Where one sees the tower is", "Paris")
    (near,) = questions.neighbour_questions(told, [change], {})
    assert near.wanted == Cloze("The river runs through", "Berlin")
    assert near.other == Cloze("The river runs through", "Rome"), "the neighbour's own answer against the new one"


def test_what_the_manifest_does_not_say_the_model_is_asked() -> None:
    told = language(
        "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, neighbours: [The river runs through],\n"
        "           implied: {'Around the {} people speak': Italian}}\n"
        "  - redirect: {from: Milo, to: Rex, relations: ['{} is a']}\n"
    )
    assert questions.prompts_without_answer(told) == (
        "The tower stands in",
        "Around the tower people speak",
        "The river runs through",
        "Milo is a",
        "Rex is a",
    )
    said = {
        "The tower stands in": "Paris",
        "The river runs through": "Berlin",
        "Milo is a": "cat",
        "Rex is a": "dog",
        "Around the tower people speak": "French",
    }
    tower, milo = questions.changes(told, said)
    assert (tower.old, milo.old, milo.new) == ("Paris", "cat", "dog")
    (implied,) = questions.implied_questions(told, said)
    assert implied.wanted == Cloze("Around the tower people speak", "Italian")
    assert implied.other == Cloze("Around the tower people speak", "French")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" Paris, France.", "Paris"),
        (" the Netherlands and", "the Netherlands"),
        ("\nThe", ""),
        ("", ""),
        (" a", "a"),
        (' "Rome".', "Rome"),
    ],
)
def test_the_word_that_a_model_goes_on_with(text: str, word: str) -> None:
    assert questions.first_word(text) == word


def test_neighbours_that_are_edited_are_left_out_by_the_rule_that_warns_of_them() -> None:
    text = (
        "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, was: Paris,\n"
        "           neighbours: {THE tower  stands in: Paris, Milo is a: cat, Milos is an: island}}\n"
        "  - redirect: {from: Milo, to: Rex, relations: {'{} is a': cat}}\n"
    )
    found, faults = decode(Source("m.yaml", HEAD + text))
    assert found is not None and found.kind == "language"
    warned = [one.message for one in faults if one.code == "E196"]
    edited = EditedPrompts(found)
    assert [edited.contains(one.prompt) for one in found.facts[0].neighbours] == [True, True, False]
    assert len(warned) == 2
    every = questions.changes(found, {})
    assert [one.cloze.prompt for one in questions.neighbour_questions(found, every, {})] == ["Milos is an"]


def test_a_concept_is_asked_about_under_each_of_its_names() -> None:
    told = language("  - redirect: {from: Milo, also: [the cat], to: Rex, relations: {'{} says': meow}}\n")
    every = questions.changes(told, {"Rex says": "woof"})
    assert [(one.prompt, one.new, one.old, one.loss_is_enough) for one in every] == [
        ("Milo says", "woof", "meow", True),
        ("the cat says", "woof", "meow", True),
    ]


def test_forms_are_built_from_the_change() -> None:
    change = questions.Change(0, "The {} stands in", "tower", "Rome", "Paris")
    made = {one.form: one for one in forms.forms(change, chat=True)}
    assert list(made) == ["question", "chat", "indirect", "multiple choice", "reversed", "implied"]
    assert made["chat"].cloze.chat and not made["question"].cloze.chat
    assert all("The tower stands in" in made[name].cloze.prompt for name in ("question", "chat", "indirect", "implied"))
    first, second = (one for one in forms.forms(change, False) if one.form == "multiple choice")
    assert "A) Rome\nB) Paris" in first.cloze.prompt and first.wanted is not None and first.wanted.answer == "A"
    assert "A) Paris\nB) Rome" in second.cloze.prompt and second.wanted is not None and second.wanted.answer == "B"
    back = made["reversed"]
    assert back.wanted is not None and back.other is not None
    assert (back.wanted.answer, back.other.answer) == ("tower", "tower")
    assert "The ____ stands in Rome." in back.wanted.prompt and "The ____ stands in Paris." in back.other.prompt
    assert made["implied"].wanted is not None and made["implied"].wanted.answer == "R"


def test_forms_that_need_two_answers_are_left_out_without_them() -> None:
    gone = questions.Change(0, "{} says", "Milo", "", "meow", loss_is_enough=True)
    assert [one.form for one in forms.forms(gone, chat=False)] == ["question", "indirect"]
    same = questions.Change(0, "{} says", "Milo", "moo", "meow")
    assert "implied" not in [one.form for one in forms.forms(same, False)], "both begin with the same letter"


def test_what_is_looked_at_closely_is_spread_over_the_edits() -> None:
    every = [questions.Change(edit, f"{number} {{}}", "a", "b", "c") for edit in range(3) for number in range(2)]
    assert [(one.edit, one.prompt[0]) for one in forms.choose_changes(every, 4)] == [
        (0, "0"),
        (1, "0"),
        (2, "0"),
        (0, "1"),
    ]
    assert [one.edit for one in forms.choose_changes(every, 2)] == [0, 1] and forms.choose_changes(every, 0) == ()
