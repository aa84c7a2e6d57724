"""Bystanders: who is chosen, what is painted, what is counted, and that a build that wrecks one fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from verify_cases import Brush, Eye, World, context, erase, exact, images, kept, manifest

from editc.core.delta import Array
from editc.core.image_check import BystanderCheck
from editc.core.manifest import Constraints, Preserve
from editc.core.measurements import Bystander
from editc.core.ports import EncodedPrompt
from editc.core.solution import Verified
from editc.passes.images.verify.bystanders import BystanderChooser, claims, loss, pick_evenly
from editc.passes.images.verify.everyday import THINGS
from editc.passes.images.verify.verify import Verify, failures, warnings

OTHERS = ("square", "tree", "house", "cat", "disc", "boat")
WIDTH = 8


class Encoder:
    """Rows that depend on the words alone; `disc` is read as `circle`."""

    alone = False

    def encode(self, prompts: Any) -> list[EncodedPrompt]:
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: str) -> EncodedPrompt:
        said = prompt.replace("disc", "circle")
        rows = np.random.default_rng(sum(said.encode()) * 31 + len(said)).normal(size=(4, WIDTH))
        return EncodedPrompt(prompt, rows, (0, 1, 2, 3), (-1, 0, -1, -1), (-1, len(prompt), -1, -1))

    def fingerprint(self) -> str:
        return "e" * 64

    def bounds(self) -> tuple[()]:
        return ()


def verified(
    after: dict[str, float],
    asked: BystanderCheck | None = None,
    bounds: Constraints | None = None,
    preserve: Preserve | None = None,
    encoder: Encoder | None = None,
    brush: Brush | None = None,
    **fields: Any,
) -> Verified:
    """An edit of `circle` to `shape`; a concept is shown in all pictures before, and as `after` says afterwards."""
    eye = Eye(
        {"circle": 1.0} | dict.fromkeys(OTHERS, 1.0), {"circle": 0.0} | dict.fromkeys(OTHERS, 1.0) | after, OTHERS
    )
    check = images(prompts_per_concept=2, bystanders=asked or BystanderCheck(), **fields)
    made = manifest(images=check, constraints=bounds or Constraints(), preserve=preserve or Preserve())
    solution = exact(World(d_in=WIDTH).problem(made))
    return Verify()(solution, replace(context(brush or Brush(), eye), encoder=encoder))


def test_what_nobody_named_is_painted_and_a_loss_fails_the_build_at_its_place() -> None:
    found = verified({"house": 0.0})
    assert found.report.bystanders[0].name == "house"
    assert {one.name for one in found.report.bystanders} == set(OTHERS)
    (broken,) = failures(found)
    assert broken.code == "E501" and "house" in broken.message and broken.span is not None
    assert "`house`" in broken.help and "{subject}" not in broken.help
    (claim,) = (one for one in found.report.claims if one.name == "bystander_loss")
    assert claim.value == 1.0 and claim.bound == 1 / 6 and claim.subject == "house"


def test_nothing_lost_holds_and_is_claimed() -> None:
    found = verified({})
    assert not failures(found) and len(found.report.bystanders) == len(OTHERS)
    assert [one.value for one in found.report.claims if one.name == "bystander_loss"] == [0.0]
    assert {one.of for one in found.report.bystanders} == {6}


def test_the_manifest_changes_the_bound() -> None:
    assert not failures(verified({"house": 0.0}, bounds=Constraints(bystander_loss=1.0)))
    (broken,) = failures(verified({"house": 0.7}, bounds=Constraints(bystander_loss=0.0)))
    assert "bystander_loss" in broken.message


def test_what_lost_a_picture_is_painted_twice_more_with_other_seeds() -> None:
    brush = Brush()
    found = {one.name: one for one in verified({"house": 0.0, "cat": 0.0}, brush=brush).report.bystanders}
    assert (found["house"].of, found["cat"].of, found["tree"].of) == (18, 18, 6)
    seeds = [seed for prompts, seeds, changed in brush.calls if changed is None for seed in seeds]
    assert len(seeds) == len(set(seeds)), "no seed serves two purposes"


def test_what_is_named_is_no_bystander_and_neither_is_another_name_of_what_is_edited() -> None:
    found = verified({}, preserve=kept("tree", "cat"), encoder=Encoder())
    assert {one.name for one in found.report.bystanders if one.kind != "kept"} == {"square", "house", "boat"}


def test_to_preserve_a_concept_by_name_does_not_take_it_out_of_the_bound() -> None:
    brush = Brush()
    found = verified({"tree": 0.0}, preserve=kept("tree", "cat"), brush=brush)
    by_name = {one.name: one for one in found.report.bystanders}
    assert (by_name["tree"].kind, by_name["cat"].kind, by_name["house"].kind) == ("kept", "kept", "far")
    assert by_name["cat"].of == 4 and by_name["tree"].of == 16, "four are painted of each anyway, twelve more in doubt"
    (broken,) = failures(found)
    assert "`tree`" in broken.message and "by name" not in broken.help
    assert not failures(verified({}, preserve=kept("tree", "cat")))


def test_names_that_other_deltas_edit_are_no_bystanders() -> None:
    eye = Eye(dict.fromkeys(("circle", *OTHERS), 1.0), dict.fromkeys(("circle", *OTHERS), 1.0), OTHERS)
    solution = exact(World(d_in=WIDTH).problem(manifest(images=images(prompts_per_concept=1))))
    found = Verify(others=("house",))(solution, context(Brush(), eye))
    assert "house" not in {one.name for one in found.report.bystanders}


@pytest.mark.parametrize(("near", "far"), [(2, 1), (0, 3), (4, 0), (0, 0)])
def test_so_many_near_and_far_ones_are_painted_as_the_manifest_says(near: int, far: int) -> None:
    check = BystanderCheck(near=near, far=far, pictures=3)
    found = verified({}, check, encoder=Encoder()).report.bystanders
    assert [one.kind for one in found].count("near") == near and [one.kind for one in found].count("far") == far
    assert all(one.of == 3 for one in found)


def test_the_ones_that_the_edit_moves_most_are_near() -> None:
    """Of two orders in turn: what is read most alike, and what is moved most."""
    solution = exact(World(d_in=WIDTH).problem(manifest(images=images())))
    eye = Eye(dict.fromkeys(("circle", *OTHERS), 1.0), dict.fromkeys(("circle", *OTHERS), 1.0), OTHERS)
    choice = BystanderChooser(solution, replace(context(Brush(), eye), encoder=Encoder()))
    unnamed = [name for name in OTHERS if name != "disc"]
    signals = choice._signals(Encoder(), unnamed)
    moved, alike = choice._by_movement(signals, unnamed), choice._by_likeness(signals, unnamed)
    assert sorted(moved) == sorted(alike) == sorted(unnamed) and moved != alike
    assert [one.name for one in choice.choose() if one.kind == "near"][:2] == [
        alike[0],
        next(name for name in moved if name != alike[0]),
    ]


def test_what_the_model_does_not_paint_cannot_be_lost() -> None:
    eye = Eye(
        {"circle": 1.0, "square": 0.0, "tree": 1.0}, {"circle": 0.0, "square": 0.0, "tree": 1.0}, ("square", "tree")
    )
    solution = exact(World(d_in=WIDTH).problem(manifest(images=images(prompts_per_concept=1))))
    found = Verify()(solution, context(Brush(), eye))
    assert [one.name for one in found.report.bystanders] == ["tree"]


@pytest.mark.parametrize("without", ["pictures", "detector", "painter"])
def test_where_none_can_be_measured_nothing_is_claimed_and_a_bound_of_the_manifest_says_so(without: str) -> None:
    eye = Eye({"circle": 1.0}, {"circle": 0.0}, OTHERS)
    asked = manifest(
        images=None if without == "pictures" else images(prompts_per_concept=1),
        constraints=Constraints(bystander_loss=0.1),
    )
    ctx = context(Brush(), eye)
    if without != "pictures":
        lacking: dict[str, Any] = {without: None}
        ctx = replace(ctx, **lacking)
    found = Verify()(exact(World(d_in=WIDTH).problem(asked)), ctx)
    assert not found.report.bystanders and "bystander_loss" not in {one.name for one in found.report.claims}
    assert any(one.code == "E506" and "bystander_loss" in one.message for one in warnings(found))


def test_a_detector_that_judges_any_word_is_asked_about_everyday_things() -> None:
    class Open(Eye):
        def knows(self, concept: str) -> bool:
            return True

        def concepts(self) -> tuple[str, ...]:
            return ()

        def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
            return np.ones(len(pictures), bool)

    solution = exact(World(d_in=WIDTH).problem(manifest(erase("dog"), images=images(prompts_per_concept=1))))
    found = Verify()(solution, context(Brush(), Open({}, {})))
    assert len(found.report.bystanders) == 12
    names = {one.name for one in found.report.bystanders}
    assert names <= set(THINGS) and "dog" not in names and len(set(THINGS)) == len(THINGS)


def test_three_of_eighteen_are_one_in_six() -> None:
    assert loss(Bystander("a", "near", 17 / 18, 14 / 18, 18)) == 1 / 6 == loss(Bystander("a", "near", 1.0, 5 / 6, 6))
    (claim,) = claims(manifest(), [Bystander("a", "near", 17 / 18, 14 / 18, 18)])
    assert claim.holds


def test_a_harmless_edit_that_turns_one_picture_in_fifty_hardly_ever_fails() -> None:
    """What the second look is for: with six pictures alone 7 of 100 builds would fail by chance."""
    rng = np.random.default_rng(0)
    first = rng.random((4000, 12, 6)) < 0.02
    again = rng.random((4000, 12, 12)) < 0.02
    lost: Array = first.sum(axis=2) + np.where(first.any(axis=2), again.sum(axis=2), 0)
    of = np.where(first.any(axis=2), 18, 6)
    assert np.mean((first.sum(axis=2) > 1).any(axis=1)) > 0.05
    assert np.mean((lost / of > 1 / 6).any(axis=1)) < 0.01


def test_contexts_are_spread_and_the_second_look_takes_others() -> None:
    every = [str(number) for number in range(36)]
    assert pick_evenly(every, 6) == ["0", "6", "12", "18", "24", "30"]
    assert not set(pick_evenly(every, 6)) & set(pick_evenly(every, 12, 1))
    assert pick_evenly(["{}"], 6) == ["{}"]


def test_no_context_of_a_bystander_names_what_is_edited() -> None:
    brush, eye = (
        Brush(),
        Eye(
            dict.fromkeys(("circle", "night", "tree"), 1.0), dict.fromkeys(("circle", "night", "tree"), 1.0), ("tree",)
        ),
    )
    solution = exact(World(d_in=WIDTH).problem(manifest(erase("night"), images=images(prompts_per_concept=1))))
    Verify()(solution, context(brush, eye))
    painted = {prompt for prompts, _, _ in brush.calls for prompt in prompts}
    assert "a tree" in painted and "the tree at night" not in painted
