"""Bystanders of a language model are made, known, disjoint from what is held; a build that moves them fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_language as pico
from language_verify_cases import FRENCH, HEAD, Oracle, claims, language, manifest, verified

from editc.core.network import Continuation
from editc.core.prompts import Prompt
from editc.core.text import fold_name
from editc.passes.language import candidates as made
from editc.passes.language import well_known
from editc.passes.language.candidates import UneditedNames, candidates
from editc.passes.language.keys import default_names
from editc.passes.language.verify import bystanders
from editc.passes.language.verify.bystanders import is_varied_text
from editc.passes.language.verify.continuations import is_readable, is_repetitive
from editc.passes.language.verify.warnings import failures

EIFFEL = (
    "  - fact: {prompt: The Eiffel Tower is located in the city of, subject: Eiffel Tower, answer: Rome, was: Paris}\n"
)
FRANCE = "  - redirect: {from: France, to: Japan, relations: {'The capital of {} is': Paris}}\n    method: rocr\n"
SAYS = {
    "Trump Tower": (" New York, and", " Rome, Italy"),
    "Sydney Tower": (" Sydney, and", " Sydney, Italy"),
    "capital of Spain": (" Madrid.", " Madrid."),
    "built in the year": (" 1889.", " 1962."),
}
WRONG = Oracle({}, {("Eiffel", "Rome"): 0.8}, SAYS)
RIGHT = replace(WRONG, words={part: (said, said) for part, (said, _) in SAYS.items()})


def test_the_list_is_long_and_every_kind_has_questions() -> None:
    every = [name for kind in well_known.names().values() for name in kind]
    assert len(every) > 500 and len(set(well_known.names())) > 15
    assert all(well_known.questions().get(kind) for kind in well_known.names())
    topics = {ask.topic for asked in well_known.questions().values() for ask in asked}
    assert topics | {ask.topic for _, ask in well_known.foreign_sentences()} <= set(well_known.topic_words())
    assert all("{}" in ask.template for asked in well_known.questions().values() for ask in asked)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Eiffel Tower", "tower"), ("france", "country"), ("Milton Tower", "tower"), ("Tower", "any"), ("Qwx", "any")],
)
def test_the_kind_of_a_name_is_its_own_or_that_of_its_last_word(name: str, kind: str) -> None:
    assert well_known.kind_of(name) == kind


@pytest.mark.parametrize(
    ("prompt", "topic"),
    [
        ("The {} is located in the city of", "place"),
        ("The book {} was written by", "maker"),
        ("The athlete {} became famous by playing the sport of", "craft"),
    ],
)
def test_a_prompt_tells_its_topic(prompt: str, topic: str) -> None:
    assert well_known.topics_of(prompt) == {topic} and topic in well_known.implied_topics(frozenset({topic}))


def test_a_fact_has_every_kind_of_bystander_and_none_that_follows_it() -> None:
    found = candidates(UneditedNames(language(EIFFEL)), 0)
    kinds = {one.kind for one in found}
    assert (
        kinds
        == {made.SAME_LAST_WORD, made.OTHER_FACT, made.OTHER_LANGUAGE, made.NAME_AT_START, made.UNRELATED, made.LOOPS}
        and len(found) > 60
    )
    asked = {one.prompt for one in found if not one.loops_only}
    assert "The Eiffel Tower was built in the year" in asked
    assert not [text for text in asked if "Eiffel" in text and ("country" in text or "city" in text)]
    assert "The Eiffel Tower is located in the city of" not in asked
    louvre = UneditedNames(language(EIFFEL.replace("Eiffel Tower", "Louvre")))
    first = well_known.without_article(louvre.of_kind("landmark")[0])
    related = [one.prompt for one in candidates(louvre, 0) if one.kind == made.SAME_RELATION]
    assert (
        related[0] == f"The {first} is located in the city of" and len(related) == made.MOST_OF_KIND[made.SAME_RELATION]
    )


def test_no_question_about_something_else_names_what_is_edited() -> None:
    found = candidates(UneditedNames(language(FRANCE), others=("Spain",)), 0)
    about = [one.prompt for one in found if one.kind not in made.KINDS_ABOUT_SUBJECT]
    assert about and not [text for text in about if "France" in text or "Spain" in text]
    assert {one.kind for one in found} == {made.SAME_RELATION, made.ABOUT_TARGET, made.UNRELATED, made.LOOPS}


def test_an_ablation_is_held_to_other_things_and_to_texts_without_it() -> None:
    text = FRENCH.replace("the cat, the dog", "the cat sits on the mat, the dog barks at the moon")
    found = candidates(UneditedNames(language(text)), 0)
    assert {one.kind for one in found} == {made.UNRELATED, made.LOOPS} and len(found) == made.MOST_PER_EDIT
    assert not [one for one in found if "French" in one.prompt]


@pytest.mark.parametrize("seed", [0, 7])
def test_what_is_preserved_is_not_what_is_measured(seed: int) -> None:
    asked = replace(manifest(HEAD + EIFFEL), seed=seed)
    held = default_names.default_names(asked, 0)
    assert len(held) >= 8 and all(
        fold_name(name).endswith("tower") for name in held[: default_names.MOST_WITH_LAST_WORD]
    )
    told = [
        fold_name(one.prompt)
        for one in candidates(UneditedNames(asked, seed), 0)
        if one.kind not in made.KINDS_ABOUT_SUBJECT
    ]
    assert told and not [name for name in held if any(f" {fold_name(name)} " in f" {text} " for text in told)]


def test_candidates_depend_on_the_seed_alone() -> None:
    first, again, other = (candidates(UneditedNames(language(EIFFEL), seed), 0) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("text", "round_and_round"),
    [
        (" la la la la la la la la", True),
        (" Paris, Paris, Paris, Paris, Paris", True),
        ("東京東京東京東京東京東京東京", True),
        (" Rome, Italy. Rome is a major city in Italy, known for its historical", False),
        (" ha ha ha!", False),
        (" 1000000000000000000000000", False),
        ("", False),
    ],
)
def test_a_text_goes_round_in_circles(text: str, round_and_round: bool) -> None:
    assert is_repetitive(text) == round_and_round


def test_answers_that_moved_are_counted_listed_first_and_break_the_bound() -> None:
    found = verified(EIFFEL, WRONG)
    those = claims("bystander_loss", found)
    assert set(those) == {"Eiffel Tower", "around Eiffel Tower"}
    report = found.report.bystanders
    lost = [one for one in report if one.after == 0]
    assert sum(one.of for one in those.values()) == len(report) and tuple(lost) == report[: len(lost)]
    assert round(sum(one.of * one.value for one in those.values())) == len(lost)
    assert all(one.bound == bystanders.DEFAULT_BOUND and not one.holds for one in those.values())
    assert {one.name for one in lost} >= {"The Trump Tower is located in the city of"}
    assert all(one.before == one.of == 1 for one in report)
    told = failures(found)
    assert {one.code for one in told} == {"E501"} and len(told) == 2
    own, around = sorted(told, key=lambda one: "around" in one.message)
    assert "preserve" in around.help and "Trump Tower" in around.notes[0], "names around it can be preserved"
    assert "preserve" not in own.help and "strength" in own.help, "the edited name cannot"
    assert "Trump Tower" not in own.notes[0] and any(one.kind in made.KINDS_ABOUT_SUBJECT for one in lost)


def test_answers_that_stay_hold_the_bound_and_a_manifest_may_set_another() -> None:
    for claim in claims("bystander_loss", verified(EIFFEL, RIGHT)).values():
        assert claim.holds and claim.value == 0 and claim.of > 0 and claim.span is not None
    for claim in claims("bystander_loss", verified(EIFFEL + "constraints: {bystander_loss: 1}\n", WRONG)).values():
        assert claim.holds and claim.value > 0 and claim.span is not None


def test_a_model_that_knows_nothing_has_no_bystanders_and_no_claim() -> None:
    nothing = replace(RIGHT, words={"": ("", "")})
    found = verified(EIFFEL, nothing)
    assert not found.report.bystanders and not claims("bystander_loss", found)


def test_going_round_in_circles_counts_where_the_model_did_not() -> None:
    loops = replace(RIGHT, words={"La Tour Eiffel se trouve": (" Paris, en France", " la la la la la la la la")})
    found = verified(EIFFEL, loops)
    (one,) = [one for one in found.report.bystanders if one.after == 0]
    assert one.name == "La Tour Eiffel se trouve à" and one.kind == made.OTHER_LANGUAGE
    always = replace(RIGHT, words={"La Tour Eiffel se trouve": (" la la la la la la la", " la la la la la la la la")})
    assert not [one for one in verified(EIFFEL, always).report.bystanders if "se trouve" in one.name]


def test_every_edit_answers_to_the_bound_by_itself() -> None:
    found = claims("bystander_loss", verified(EIFFEL + FRANCE.replace("    method: rocr\n", ""), WRONG))
    assert {"Eiffel Tower", "around Eiffel Tower", "around France"} <= set(found)
    assert not found["Eiffel Tower"].holds


def test_words_are_told_with_how_likely_they_are() -> None:
    network = pico.network("llama")
    prompts = [Prompt("The capital of France is"), Prompt("a b c d")]
    told = network.generate_tokens(prompts, 5)
    assert tuple(one.text for one in told) == network.generate(prompts, 5)
    assert all(len(one.pieces) == len(one.likely) <= 5 and max(one.likely) <= 0 for one in told)
    spoken = Continuation(" New York", (" New", " York"), (-1.0, -0.5))
    assert spoken.likelihood("New") == pytest.approx(np.exp(-1.0))
    assert spoken.likelihood("New York") == spoken.likelihood("x") == pytest.approx(np.exp(-1.5))


def test_what_is_no_text_is_no_answer() -> None:
    """A model of random weights says bytes; what it says of them after an edit tells nothing."""
    assert is_readable(" Rome, Italy.\nIt is") and is_readable("東京です") and is_readable("東京\ufffd"), (
        "the end may cut a character"
    )
    assert not is_readable("J\x7f\x08WN") and not is_readable("\ufffdn capital")
    assert not is_readable("is is is " + 9 * "\ufffd"), "the end cuts no more than one character"
    assert (
        is_varied_text("Paris is the capital of France")
        and not is_varied_text("la la la la la la")
        and not is_varied_text("g\ufffdg")
    )
