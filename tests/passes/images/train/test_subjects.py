"""The subjects of a training: which names are other things, and which prompts stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import train_cases
from train_cases import SUBJECT

from editc.core.manifest import Request
from editc.core.ports import Diffusion
from editc.core.text import Attribute
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


def test_an_attribute_must_stay_with_other_things_and_its_thing_must_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """`{erase: red, from: circle}`: other names are things with it and by themselves, and prompts of circles stay."""
    made = Request(kind="erase", concept="red circle", to="circle", attribute=Attribute("red", "circle", ("red {}",)))
    found: list[str] = []

    def candidates(plan: Any, ctx: Any, request: Request, edited: Any, prompts: Any) -> tuple[str, ...]:
        found.extend(edited)
        return ("square", "red")

    monkeypatch.setattr(subjects, "find_candidates", candidates)
    nothing: Any = None
    others = [*subjects._find_others(nothing, nothing, made, subjects._own_names(made), ())]
    assert others == ["red square", "square", "red"]
    assert found == ["red circle", "circle"] and subjects._own_names(made) == ("red circle",)
    plain = replace(made, attribute=None)
    assert subjects._own_names(plain) == ("red circle", "circle")
