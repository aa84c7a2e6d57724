"""Pictures that a detector sorts, and `geom`, which learns from both kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import train_cases
from train_cases import SUBJECT, ask, stir

from editc.core.diagnostics import EditcError
from editc.core.ports import Diffusion
from editc.passes.images.diffusion.sampling import goal_of_noise
from editc.passes.images.schemes.feeds.judged import Judged, sort_pictures
from editc.passes.images.schemes.objectives.denoising import Denoising
from editc.passes.images.schemes.subject import Subject
from editc.passes.training.factors import Factors
from editc.registry.methods import METHODS

model, sites, factors = train_cases.model, train_cases.sites, train_cases.factors


def test_each_feed_gives_only_pictures_of_its_kind(model: Diffusion, factors: Factors) -> None:
    without = Judged(False, 8)
    both = {False: without, True: Judged(True, 8, without.painted)}
    for shown, feed in both.items():
        pool = ask(model, factors, feed, 12).pool
        assert {int(one) % 2 == 0 for one in pool.sentence} == {shown}
    assert list(without.painted) == [SUBJECT.concept], "the pictures are painted once for both"


def test_the_judge_sees_the_pictures_of_the_sentences(model: Diffusion) -> None:
    seen: list[Any] = []

    def judge(pictures: Any) -> Any:
        seen.append(pictures)
        return train_cases.every_other(pictures)

    found = sort_pictures(model, replace(SUBJECT, judge=judge), 8)
    np.testing.assert_array_equal(np.concatenate(seen), model.decode(found.clean))
    assert set(found.told.prompts["own"]) == {"a fish", "a red fish"}
    assert list(found.told.prompts["written"]) == [f"{one}, boat" for one in found.told.prompts["own"]]


def test_denoising_is_its_formula(model: Diffusion, factors: Factors) -> None:
    stir(factors)
    one = ask(model, factors, Judged(True, 8), 3)
    pool = one.pool
    goal = goal_of_noise(model, pool.clean, pool.times, pool.noise)
    for condition in ("own", "written"):
        wanted = (one.edited(condition) - goal).square().mean()
        torch.testing.assert_close(Denoising(condition).loss(one), wanted)


def test_geom_tells_sentences_at_pictures_without_and_writes_the_label_at_those_with() -> None:
    without, shown, kept = METHODS.resolve("geom")(written=0.5, keep=3.0).scheme().terms
    assert (without.feed.shown, without.objective, without.weight) == (False, Denoising("own"), 1.0)
    assert (shown.feed.shown, shown.objective, shown.weight) == (True, Denoising("written"), 0.5)
    assert shown.feed.painted is without.feed.painted
    assert (kept.side, kept.weight) == ("keep", 3.0)


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        (replace(SUBJECT, judge=None), "no detector that knows it judges its pictures"),
        (replace(SUBJECT, judge=lambda pictures: np.zeros(len(pictures), bool)), "sees it in 0 of 8 pictures"),
        (replace(SUBJECT, judge=lambda pictures: np.ones(len(pictures), bool)), "sees it in 8 of 8 pictures"),
    ],
)
def test_pictures_of_one_kind_teach_nothing(model: Diffusion, subject: Subject, why: str) -> None:
    with pytest.raises(EditcError, match=rf"E249.*`boat` of `fish`.*{why}"):
        sort_pictures(model, subject, 8)


def test_geom_leaves_out_what_weighs_nothing() -> None:
    assert [one.name for one in METHODS.resolve("geom")(written=0.0).scheme().terms] == ["without", "preserved"]


def test_who_judged_belongs_to_what_is_trained() -> None:
    assert repr(replace(SUBJECT, judged_by="a")) != repr(replace(SUBJECT, judged_by="b")), "checkpoints are told apart"
    assert repr(replace(SUBJECT, judge=None)) == repr(SUBJECT), "a function has another address each time"
