"""Shares found by measuring: the loop alone, then whole solves with a painter whose response to a pull is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from verify_cases import FAMILY, NoWeights

from editc.core.delta import Array, Site
from editc.core.diagnostics import EditcError
from editc.core.image_check import ImageCheck
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Block, PreservedRows, Problem, System
from editc.core.solution import Solution
from editc.manifests.decode import decode
from editc.passes.images.painting import pictures
from editc.passes.images.solve import moderate
from editc.passes.images.solve.moderate import PATIENCE, search
from editc.passes.images.solve.solve import Solve
from editc.passes.images.verify.verify import Verify, failures

WIDTH = 8
NAMES = ("red", "blue")
SITE = "block.0.to_k.weight"
few = settings(max_examples=60, deadline=None)


def counted(share: Array, pictures: int) -> Array:
    return np.round(np.clip(share, 0, 1) * pictures) / pictures


@few
@given(
    wanted=st.lists(st.floats(0.1, 0.45), min_size=1, max_size=2),
    slope=st.floats(0.15, 3.0),
    cross=st.floats(-0.3, 0.3),
)
def test_a_response_that_rises_with_the_pull_is_brought_to_the_wanted_shares(
    wanted: list[float], slope: float, cross: float
) -> None:
    """Even where whole steps would overshoot (slope above 2), and where one pull also moves the other share."""
    size = len(wanted)
    matrix = slope * (np.eye(size) + cross * (1 - np.eye(size)))
    found = search(lambda pulls: counted(0.05 + matrix @ pulls, 200), np.array(wanted), np.full(size, 0.05), range(60))
    assert found.stopped == "reached" and found.best == len(found.rounds) - 1
    assert (np.abs(found.rounds[found.best][1] - wanted) <= 0.05 + 1e-9).all()


def test_a_whole_step_would_overshoot_for_ever() -> None:
    """The control of the test above: a steep response that whole steps never meet, and halved ones do."""
    pull, gaps = 0.0, list[float]()
    for _ in range(60):
        gap = 0.5 - float(counted(np.array(2.5 * pull), 200))
        pull, gaps = pull + gap, [*gaps, abs(gap)]
    assert min(gaps) == 0.5
    found = search(lambda pulls: counted(2.5 * pulls, 200), np.array([0.5]), np.array([0.05]), range(9))
    assert found.stopped == "reached"


def test_a_share_within_its_tolerance_is_let_be() -> None:
    found = search(lambda pulls: np.array([0.2, 0.45]), np.array([0.5, 0.5]), np.full(2, 0.1), range(9))
    assert found.stopped == "stalled" and all(pulls[1] == 0 for pulls, _ in found.rounds)


def test_a_response_that_cannot_be_moved_stops_and_takes_no_pull() -> None:
    found = search(lambda pulls: np.array([0.2]), np.array([0.5]), np.array([0.05]), range(100))
    assert (found.stopped, found.best, len(found.rounds)) == ("stalled", 0, PATIENCE + 1)
    pulled = [float(pulls[0]) for pulls, _ in found.rounds]
    assert all(later > earlier for earlier, later in pairwise(pulled)), "it tried further each time"


def test_no_pull_where_the_shares_are_there_already() -> None:
    found = search(lambda pulls: np.array([0.46, 0.54]), np.array([0.5, 0.5]), np.full(2, 0.05), range(9))
    assert (found.stopped, len(found.rounds)) == ("reached", 1) and not found.rounds[0][0].any()


def test_the_best_round_is_kept_and_not_the_last() -> None:
    answers = iter([0.1, 0.3, 0.9, 0.2, 0.8])
    found = search(lambda pulls: np.array([next(answers)]), np.array([0.5]), np.array([0.01]), range(5))
    assert (found.stopped, found.best, len(found.rounds)) == ("rounds", 1, 5)


@dataclass
class Easel:
    """A painter who shows concept k in as many pictures as base + slope (W' c - W c)_k says, a seed its own threshold.

    `calls` records prompts and seeds.
    """

    base: tuple[float, float] = (0.1, 0.1)
    slope: float = 0.5
    calls: list[tuple[tuple[str, ...], tuple[int, ...]]] = field(default_factory=list)

    reads_rows = False

    def paint(
        self, prompts: Sequence[str], seeds: Sequence[int], changed: Mapping[str, Array] | None = None
    ) -> NDArray[np.uint8]:
        self.calls.append((tuple(prompts), tuple(seeds)))
        pull = np.zeros(2) if changed is None else (changed[SITE] - np.eye(WIDTH))[1:3, 0]
        shares = np.array(self.base) + self.slope * pull
        found = np.zeros((len(seeds), 2, 2, 3), np.uint8)
        order = np.argsort(np.argsort(seeds)) / len(seeds)
        found[..., :2] = (255 * (order[:, None] < shares))[:, None, None, :]
        return found

    def paint_rows(
        self, rows: Array, seeds: Sequence[int], changed: Mapping[str, Array] | None = None
    ) -> NDArray[np.uint8]:
        raise NotImplementedError


class Looker:
    def knows(self, concept: str) -> bool:
        return concept in (*NAMES, "thing", "other")

    def concepts(self) -> tuple[str, ...]:
        return ()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray(pictures[:, 0, 0, NAMES.index(concept) if concept in NAMES else 2] > 0)


TEXT = """editc: 1
model: tiny
seed: 3
contexts: ["{}", "a {}", "one {} here"]
edits:
  - moderate: {concept: thing, toward: {red: 0.4, blue: 0.3}, shares: {pictures: 40, rounds: 20, tolerance: 0.05}}
verify:
  images: {detector: editc:demo, prompts_per_concept: 20, share_gap_at_most: 0.1}
"""
OTHER = "  - {erase: other, to: else}\n"


def manifest(text: str = TEXT) -> Manifest:
    found, said = decode(Source("m.yaml", text))
    assert found is not None, said
    return found


def problem(asked: Manifest) -> Problem:
    """One site W = 1; each edit's key is a basis vector, and the pulls of `thing` are two others."""
    eye = np.eye(WIDTH)
    blocks = []
    for index, request in enumerate(asked.image_edits):
        key = eye[:, [0 if request.toward else 3 + index]]
        pulls = np.stack([eye[:, [1]], eye[:, [2]]])[: len(request.toward)]
        target = key + np.tensordot([share for _, share in request.toward], pulls, 1) if request.toward else eye[:, [7]]
        blocks.append(Block(request, key, target, np.ones(1), ("row",), pulls=pulls))
    kept = PreservedRows(1e-3 * np.eye(WIDTH), eye, eye[:, :2], ("kept",) * WIDTH)
    plan = Plan(asked, FAMILY, "tiny", (Site("unet", SITE, (WIDTH, WIDTH), "F32", "k"),), {})
    return Problem(plan, {"text": System(tuple(blocks), kept, [np.eye(WIDTH)], 1e-6)}, "e" * 64, "8 prompts")


def context(easel: Easel | None = None) -> Context:
    return Context(NoWeights(), painter=easel or Easel(), detector=Looker())


def solved(text: str = TEXT, easel: Easel | None = None) -> Solution:
    return Solve()(problem(manifest(text)), context(easel))


def stopped(text: str = TEXT, easel: Easel | None = None) -> EditcError:
    with pytest.raises(EditcError) as caught:
        solved(text, easel)
    return caught.value


def test_a_build_finds_the_pulls_that_the_painter_needs() -> None:
    """base + slope pull = wanted has one solution, and the delta's own weights show it."""
    (found,) = solved().pull_searches
    assert found.stopped == "reached" and found.gap <= 0.05
    assert found.rounds[0] == replace(found.rounds[0], pulls=(0.0, 0.0), shown=(0.1, 0.1))
    np.testing.assert_allclose(found.pulls, ((0.4 - 0.1) / 0.5, (0.3 - 0.1) / 0.5), atol=0.05 / 0.5)


def test_every_round_starts_from_the_original_weights() -> None:
    """So a manifest that gives these pulls as shares makes the same edit, to the bit."""
    found = solved()
    pulls = dict(zip(NAMES, found.pull_searches[0].pulls, strict=True))
    given_ = TEXT.split("toward")[0] + f"toward: {{red: {pulls['red']!r}, blue: {pulls['blue']!r}}}}}\n"
    plain = Solve()(problem(manifest(given_)), Context(NoWeights()))
    for one, other in zip(found.edits["text"].left, plain.edits["text"].left, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.edits["text"].right[0], plain.edits["text"].right[0])


def test_other_edits_are_solved_with_it_and_held() -> None:
    found = solved(TEXT.replace("verify:", OTHER + "verify:"))
    (balance,) = found.pull_searches
    assert balance.index == 0 and balance.stopped == "reached"
    before, after = (
        problem(found.problem.plan.manifest).systems["text"].blocks[1],
        found.problem.systems["text"].blocks[1],
    )
    np.testing.assert_array_equal(before.targets, after.targets)
    edit = found.edits["text"]
    moved = np.eye(WIDTH) + edit.left[0] @ edit.right[0]
    np.testing.assert_allclose(moved @ after.keys, after.targets, atol=0.01)


def test_two_searches_in_one_manifest_share_their_rounds() -> None:
    two = "  - moderate: {concept: other, toward: {red: 0.9}, shares: {pictures: 10, tolerance: 0.8, rounds: 1}}\n"
    one, other = solved(TEXT.replace("verify:", two + "verify:")).pull_searches
    assert (one.index, other.index) == (0, 1) and len(one.rounds) == len(other.rounds)
    assert one.gap <= 0.05 and len(other.pulls) == 1


def test_the_search_paints_with_none_of_the_seeds_of_verify() -> None:
    """Otherwise the claim would be fitted to its own test; the contexts are the same."""
    easel = Easel()
    found = solved(easel=easel)
    searched, count = {seed for _, seeds in easel.calls for seed in seeds}, len(easel.calls)
    assert len({call for call in easel.calls}) == 1 and len(searched) == 40, "every round paints the same"
    Verify()(found, context(easel))
    verified = {seed for _, seeds in easel.calls[count:] for seed in seeds}
    assert len(verified) == 20 and not searched & verified
    assert {p for p, _ in easel.calls[:1]} and set(easel.calls[0][0]) == {p for c in easel.calls[count:] for p in c[0]}
    many = replace(found.problem.plan.manifest.images or ImageCheck(detector=""), prompts_per_concept=5000)
    plan = replace(found.problem.plan, manifest=replace(found.problem.plan.manifest, images=many))
    assert not searched & {shot.seed for shot in pictures.plan_pictures(plan, Looker())}


def test_the_same_seed_gives_the_same_bytes_and_another_other_pictures() -> None:
    easels = Easel(), Easel(), Easel()
    texts = TEXT, TEXT, TEXT.replace("seed: 3", "seed: 4")
    one, same, other = (solved(text, easel) for text, easel in zip(texts, easels, strict=True))
    assert one.pull_searches == same.pull_searches and easels[0].calls == easels[1].calls
    assert one.edits["text"].left[0].tobytes() == same.edits["text"].left[0].tobytes()
    assert other.problem.plan.manifest.seed == 4 and easels[0].calls != easels[2].calls


def test_what_is_shown_already_needs_no_edit() -> None:
    error = stopped(easel=Easel(base=(0.4, 0.325)))
    (one,) = error.diagnostics
    assert one.code == "E440" and one.span is not None and "`red` 0.4 (wanted 0.4)" in one.message


def test_what_cannot_be_moved_says_what_was_tried() -> None:
    (one,) = stopped(easel=Easel(slope=0.0)).diagnostics
    assert one.code == "E441" and one.notes[0] == f"stopped after {PATIENCE} edits: none was better"
    assert len(one.notes) == 1 + PATIENCE


def test_with_another_edit_what_cannot_be_moved_breaks_its_bound_and_leaves_a_report() -> None:
    text = TEXT.replace("verify:", OTHER + "verify:")
    found = solved(text, Easel(slope=0.0))
    assert (found.pull_searches[0].stopped, found.pull_searches[0].pulls) == ("stalled", (0.0, 0.0))
    broken = failures(Verify()(found, context(Easel(slope=0.0))))
    assert [one.code for one in broken] == ["E501", "E501"]
    assert broken[0].message.startswith("toward_fitted of `thing` is 0.3, above 0.05")
    assert broken[1].message.startswith("toward_gap of `thing` is 0.3, above 0.1")
    assert broken[0].span == found.problem.plan.manifest.image_edits[0].shares.at("tolerance")  # type: ignore[union-attr]


def test_rounds_that_do_not_suffice_break_the_bound() -> None:
    found = solved(TEXT.replace("rounds: 20", "rounds: 1"))
    assert found.pull_searches[0].stopped == "rounds" and len(found.pull_searches[0].rounds) == 2
    (claim,) = moderate.claims(found)
    assert not claim.holds and claim.value == found.pull_searches[0].gap > 0.05


def test_the_wanted_shares_are_held_against_pictures_of_their_own() -> None:
    report = Verify()(solved(), context()).report
    (claim,) = [one for one in report.claims if one.name == "toward_gap"]
    after = [one.value for one in report.claims if one.name == "toward_after"]
    assert claim.bound == 0.1 and claim.holds
    assert claim.value == pytest.approx(max(abs(after[0] - 0.4), abs(after[1] - 0.3)))


def test_without_a_painter_or_a_detector_that_knows_the_concepts() -> None:
    with pytest.raises(EditcError, match="E442"):
        Solve()(problem(manifest()), Context(NoWeights()))
    assert [one.code for one in stopped(TEXT.replace("blue: 0.3", "pale: 0.3")).diagnostics] == ["E504"]


def test_a_search_comes_back_from_a_delta_as_it_was() -> None:
    (found,) = solved().pull_searches
    assert moderate.from_json(0, json.loads(json.dumps(moderate.as_json(found)))) == found


def test_a_word_stands_for_the_defaults() -> None:
    text = TEXT.replace("{pictures: 40, rounds: 20, tolerance: 0.05}", "measured")
    shares = manifest(text).image_edits[0].shares
    assert shares is not None and (shares.pictures, shares.rounds, shares.tolerance) == (40, 12, 0.05)
    assert shares.at("tolerance") is not None
