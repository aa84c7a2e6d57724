"""The subjects of a training: which names are other things, and which prompts stay."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import train_cases
from train_cases import SUBJECT

from editc.core.manifest import Request
from editc.core.ports import Diffusion
from editc.core.text import Attribute
from editc.passes.images.schemes.feeds.conditions import concept_conditions
from editc.passes.images.train import subjects
from editc.passes.images.train.subjects import sift

model = train_cases.model


def test_a_name_with_the_concept_in_it_is_no_other_name(model: Diffusion) -> None:
    """The demo model paints a fish for `animal`: its answers would leave nothing of the fish that is its own."""
    prompts = ("a red animal", "a trout on sand", "a boat")
    subject = replace(SUBJECT, others=("animal", "trout", "boat"), preserved=prompts)
    found = sift(model, subject, frozenset())
    assert (found.others, found.preserved) == (("boat",), ("a boat",))
    found = sift(model, subject, frozenset({"animal"}))
    assert (found.others, found.preserved) == (("animal", "boat"), ("a red animal", "a boat"))


def test_a_thing_that_looks_like_the_concept_is_another_thing(model: Diffusion) -> None:
    """A flower is nearer to a house than a boat is, and stays away from it as the noise falls; `photo` has every thing
    in it. A prompt that mentions a word of the contexts stays all the same."""
    prompts = ("a cottage", "a flower on sand", "a photo of a cat")
    subject = replace(
        SUBJECT,
        concept="house",
        names=("house",),
        target="boat",
        others=("cottage", "flower", "photo"),
        contexts=("a {} on grass", "a photo of a {}", "this is a {}"),
        preserved=prompts,
        steps=25,
    )
    found = sift(model, subject, frozenset())
    assert (found.others, found.preserved) == (("flower",), ("a flower on sand", "a photo of a cat"))


def test_names_take_the_sentences_in_turn_or_each_has_them_all(model: Diffusion) -> None:
    subject = replace(SUBJECT, names=("fish", "trout"))
    first, second = subject.sentences(2)
    told = concept_conditions(model, subject, 2).prompts
    assert told["own"] == [first.format("fish"), second.format("trout")]
    told = concept_conditions(model, subject, 2, each=True).prompts
    assert told["own"] == [one.format(name) for name in ("fish", "trout") for one in (first, second)]
    assert told["target"] == [first.format("arrow"), second.format("arrow")] * 2 and told["empty"] == [""] * 4


def test_an_attribute_must_stay_with_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    """`{erase: red, from: circle}`: other names are things like a circle, with the attribute, and sentences of them
    stay."""
    made = Request(kind="erase", concept="red circle", to="circle", attribute=Attribute("red", "circle", ("red {}",)))
    asked: list[Any] = []

    def candidates(plan: Any, ctx: Any, request: Request, edited: Any, prompts: Any) -> tuple[str, ...]:
        asked.extend([request.concept, *edited])
        return ("square", "star")

    monkeypatch.setattr(subjects, "find_candidates", candidates)
    nothing: Any = None
    own = subjects._own_names(made)
    assert own == ("red circle",) and subjects._own_names(replace(made, attribute=None)) == ("red circle", "circle")
    others = [*subjects._find_others(nothing, nothing, made, own, ())]
    assert (others, asked) == (["red square", "red star"], ["circle", "red circle", "circle", "red"])
    plan: Any = SimpleNamespace(contexts=lambda request: ("a {}", "a photo of a {}"))
    assert set(subjects._say_of_others(plan, made, others)) == {
        "a red square",
        "a photo of a red square",
        "a red star",
        "a photo of a red star",
    }
    assert [*subjects._say_of_others(plan, replace(made, attribute=None), others)] == []
