"""What verify measures is what the definitions say, on the weights as they will be stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from verify_cases import (
    Brush,
    Eye,
    World,
    constraints,
    context,
    erase,
    exact,
    images,
    inverse,
    kept,
    manifest,
    place,
    solved,
)

from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.manifest import Request
from editc.core.measurements import Claim
from editc.core.places import Span
from editc.core.problem import NamedRows
from editc.core.solution import Verified
from editc.numerics.subspace import condense
from editc.passes.images.verify.verify import Verify, failures, warnings


def verified(solution: Any, ctx: Any = None) -> Verified:
    return Verify(batch=3)(solution, ctx or context())


def claims(name: str, of: Verified) -> list[Claim]:
    return [claim for claim in of.report.claims if claim.name == name]


def value(name: str, of: Verified) -> float:
    return claims(name, of)[0].value


def stopped(solution: Any, ctx: Any = None) -> EditcError:
    with pytest.raises(EditcError) as caught:
        verified(solution, ctx)
    return caught.value


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_an_exact_edit_leaves_one_minus_its_strength(strength: float) -> None:
    found = verified(exact(World().problem(manifest()), strength))
    assert value("erase_residual", found) == pytest.approx(1 - strength, abs=1e-6)


def test_an_edit_beside_the_keys_leaves_everything() -> None:
    problem = World().problem(manifest())
    beside = np.linalg.svd(problem.systems["text"].blocks[0].keys)[0][:, -1:]
    found = verified(solved(problem, beside, beside.T))
    assert value("erase_residual", found) == pytest.approx(1, abs=1e-6)


def test_each_request_has_its_own_residual() -> None:
    problem = World().problem(manifest(erase("circle"), erase("cat")))
    first, second = problem.systems["text"].blocks
    right = np.linalg.pinv(np.hstack([first.keys, second.keys]))[: first.keys.shape[1]]
    found = claims("erase_residual", verified(solved(problem, first.targets - first.keys, right)))
    assert [claim.subject for claim in found] == ["circle", "cat"]
    assert found[0].value < 0.9 < found[1].value


@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_figures_agree_with_a_dense_computation(form: Any, dtype: str) -> None:
    world = World(sites=4, dtype=dtype, size=0.3)
    problem, system = world.problem(manifest(), rows=50), world.problem(manifest(), rows=50).systems["text"]
    right = world.draw(2, world.d_in)
    shape = {"shared": (world.d_in, 2), "low-rank": (4, world.d_out, 2), "dense": (4, world.d_out, world.d_in)}[form]
    left = 0.05 * world.draw(*shape)
    found = verified(solved(problem, left, right, form))

    lefts = [left] * 4 if form == "shared" else list(left)
    after = [_dense(W, form, mine, right, dtype) for W, mine in zip(system.weights, lefts, strict=True)]
    both = list(zip(system.weights, after, strict=True))
    drifts = [_size((V - W) @ system.preserved.rows) / _size(W @ system.preserved.rows) for W, V in both]
    empties = [_size((V - W) @ system.preserved.empty) / _size(W @ system.preserved.empty) for W, V in both]
    block = system.blocks[0]
    C, T, root = block.keys, block.targets, np.sqrt(block.weights)
    left_over = sum(_size((V @ C - W @ T) * root) ** 2 for W, V in both)
    whole = sum(_size((W @ C - W @ T) * root) ** 2 for W, V in both)

    assert [row["drift"] for row in found.report.sites] == pytest.approx(drifts, rel=1e-9)
    assert value("preserve_drift", found) == pytest.approx(max(drifts), rel=1e-9)
    assert claims("preserve_drift", found)[0].subject == world.names[int(np.argmax(drifts))]
    assert value("unconditional_drift", found) == pytest.approx(max(empties), rel=1e-9)
    assert value("erase_residual", found) == pytest.approx((left_over / whole) ** 0.5, rel=1e-9)
    changes = [_size(V - W) / _size(W) for W, V in both]
    assert [row["relative_change"] for row in found.report.sites] == pytest.approx(changes, rel=1e-9)
    assert [row["changed"] for row in found.report.sites] == [int((V != W).sum()) for W, V in both]


def _size(array: Array) -> float:
    return float(np.sqrt((array**2).sum()))


def _dense(W: Array, form: str, left: Array, right: Array, dtype: str) -> Array:
    import torch

    left, right = left.astype(np.float32).astype(float), right.astype(np.float32).astype(float)
    delta = left if form == "dense" else (W @ left) @ right if form == "shared" else left @ right
    kind = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    return np.asarray(torch.from_numpy(W + delta).to(kind).double().numpy())


def test_condensing_keeps_every_norm() -> None:
    columns, W = World().draw(5, 40), World().draw(3, 5)
    assert condense(columns).shape == (5, 5)
    assert _size(W @ condense(columns)) == pytest.approx(_size(W @ columns), rel=1e-12)
    assert condense(columns[:, :3]) is not columns
    np.testing.assert_array_equal(condense(columns[:, :3]), columns[:, :3])


def test_rank_is_that_of_the_factors_and_stats_are_reported() -> None:
    problem = World().problem(manifest(constraints=constraints(rank=3)))
    keys = problem.systems["text"].blocks[0]
    right = inverse(keys.keys)
    found = verified(solved(problem, keys.targets - keys.keys, right, discarded=0.004, condition=70.0))
    assert value("rank", found) == 4
    assert (value("condition", found), value("discarded", found)) == (70.0, 0.004)
    assert [d.message for d in failures(found)] == ["rank is 4, above 3"]


# ---------------------------------------------------------------- what is stored


def test_an_edit_that_changes_nothing_is_refused() -> None:
    error = stopped(exact(World().problem(manifest()), 0.0))
    assert [(d.code, d.span) for d in error.diagnostics] == [("E502", Span(4, 5, 13))]


def test_a_change_lost_by_half_precision_is_nothing() -> None:
    asked = manifest()
    assert value("changed", verified(exact(World(dtype="F32").problem(asked), 1e-5))) == 3
    assert stopped(exact(World(dtype="F16").problem(asked), 1e-5)).diagnostics[0].code == "E502"


def test_sites_that_did_not_change_are_counted_and_marked() -> None:
    world = World()
    left = world.draw(3, world.d_out, 1)
    left[1] = 0
    found = verified(solved(world.problem(manifest()), left, world.draw(1, world.d_in), "low-rank"))
    assert value("changed", found) == 2
    assert [row["name"] for row in found.report.sites if not row["changed"]] == [world.names[1]]


def test_what_float16_cannot_hold_is_refused_by_name() -> None:
    world = World(dtype="F16", size=2.0**13)
    error = stopped(exact(world.problem(manifest()), 30.0))
    assert error.diagnostics[0].code == "E503"
    assert error.diagnostics[0].place == world.names[0]
    assert "do not fit into F16" in error.diagnostics[0].message
    assert verified(exact(World(dtype="BF16", size=2.0**13).problem(manifest()), 30.0))


def test_a_damaged_base_is_told_from_an_overflow() -> None:
    world = World()
    problem = world.problem(manifest())
    problem.systems["text"].weights[1][0, 0] = np.nan
    assert "before the edit" in stopped(exact(problem)).diagnostics[0].message


# ---------------------------------------------------------------- bounds


def test_each_broken_bound_underlines_its_own_line() -> None:
    bounds = {"erase_residual": 0.2, "preserve_drift": 0.1, "unconditional_drift": 0.02}
    found = verified(exact(World().problem(manifest(constraints=constraints(**bounds))), 0.5))
    broken = failures(found)
    assert [d.code for d in broken] == ["E501"] * 3
    assert [d.span for d in broken] == [place(name) for name in bounds]
    assert broken[0].message == "erase_residual of `circle` is 0.5, above 0.2"
    assert broken[1].message.endswith(f"(worst site: {claims('preserve_drift', found)[0].subject})")
    assert all(d.help and d.source is not None for d in broken)


def test_bounds_that_hold_give_no_diagnostic() -> None:
    loose = constraints(erase_residual=0.2, preserve_drift=100.0, rank=4)
    assert failures(verified(exact(World().problem(manifest(constraints=loose))))) == ()


def test_a_bound_missed_by_a_hair_still_reads_as_missed() -> None:
    found = verified(exact(World().problem(manifest()), 0.5))
    drift = value("preserve_drift", found)
    tight = manifest(constraints=constraints(preserve_drift=drift * (1 - 1e-9)))
    message = failures(verified(exact(World().problem(tight), 0.5)))[0].message
    measured, bound = message.removeprefix("preserve_drift is ").split(" (")[0].split(", above ")
    assert float(measured) > float(bound)


# ---------------------------------------------------------------- pictures

EYE = Eye({"circle": 1.0, "square": 1.0, "star": 0.75}, {"circle": 0.0, "square": 0.5, "star": 0.75})


def painted(asked: Any, eye: Eye = EYE) -> tuple[Verified, Brush]:
    brush = Brush()
    return verified(exact(World().problem(asked)), context(brush, eye)), brush


def test_rates_are_those_of_the_detector() -> None:
    check = images(prompts_per_concept=400, erased_at_most=0.1, kept_loss_at_most=0.2)
    found, _ = painted(manifest(images=check, preserve=kept("square", "star", "ghost")))
    assert (value("erased", found), value("shown_before", found)) == (0.0, 1.0)
    losses = {claim.subject: claim for claim in claims("kept_loss", found)}
    assert set(losses) == {"", "square", "star"}, "the detector does not know ghosts"
    assert losses["square"].value == pytest.approx(0.5, abs=0.08)
    assert losses["star"].value == 0
    assert losses[""].value == pytest.approx(np.mean([losses["square"].value, losses["star"].value]))
    together, alone = failures(found)
    assert together.span == place("kept_loss_at_most") and "`square`" in alone.message, "each stands under a bound too"
    assert losses["square"].bound is None
    assert warnings(found) == ()


def test_before_and_after_share_prompts_and_seeds_and_only_changed_weights_go_to_the_painter() -> None:
    world = World()
    left = world.draw(3, world.d_out, 1)
    left[1] = 0
    brush, asked = Brush(), manifest(images=images(prompts_per_concept=7), preserve=kept("square"))
    verified(solved(world.problem(asked), left, world.draw(1, world.d_in), "low-rank"), context(brush, EYE))
    pairs = list(zip(brush.calls[::2], brush.calls[1::2], strict=True))
    assert [len(before[0]) for before, _ in pairs] == [3, 3, 3, 2, *[3] * 4], "a kept concept that fell, again"
    assert all(before[:2] == after[:2] and before[2] is None for before, after in pairs)
    changed = pairs[0][1][2]
    assert changed is not None and sorted(changed) == [world.names[0], world.names[2]]
    expected = (world.weights[0] + left[0] @ world.draw(1, world.d_in)).astype(np.float32)
    np.testing.assert_array_equal(changed[world.names[0]], expected)


def test_every_name_is_painted_in_every_context_in_turn() -> None:
    asked = manifest(erase(also=("disc",)), images=images(prompts_per_concept=6))
    _, brush = painted(asked)
    prompts = [prompt for call in brush.calls[::2] for prompt in call[0]]
    assert prompts == ["a circle", "a disc", "the circle at night", "the disc at night", "circle", "disc"]
    few = manifest(erase(also=("disc", "ball"), contexts=("one {} here",)), images=images(prompts_per_concept=1))
    prompts = [prompt for call in painted(few)[1].calls[::2] for prompt in call[0]]
    assert prompts == ["one circle here", "one disc here", "one ball here"]


def test_seeds_depend_on_the_manifest_and_the_concept_alone() -> None:
    def seeds(asked: Any) -> dict[str, int]:
        return {p: s for call in painted(asked)[1].calls for p, s in zip(call[0], call[1], strict=True)}

    check = images(prompts_per_concept=3)
    alone, joined = seeds(manifest(images=check)), seeds(manifest(erase(), erase("square"), images=check))
    assert alone.items() <= joined.items()
    assert len(set(joined.values())) == len(joined)
    assert seeds(manifest(images=check, seed=1)).values() != alone.values()
    assert all(0 <= seed < 2**31 for seed in joined.values())


def test_a_concept_the_detector_does_not_know_is_underlined() -> None:
    asked = manifest(erase("ghost"), images=images())
    error = stopped(exact(World().problem(asked)), context(Brush(), EYE))
    assert [(d.code, d.span) for d in error.diagnostics] == [("E504", place("erase"))]


def test_moderation_reports_the_shares_before_and_after() -> None:
    toward = Request(kind="moderate", concept="doctor", toward=(("circle", 0.5), ("square", 0.5)))
    found, _ = painted(manifest(toward, images=images(prompts_per_concept=8, erased_at_most=0.0)))
    before = {claim.subject: claim.value for claim in claims("toward_before", found)}
    after = {claim.subject: claim.value for claim in claims("toward_after", found)}
    assert before == {"doctor: circle": 1.0, "doctor: square": 1.0}
    assert after["doctor: circle"] == 0 < after["doctor: square"] < 1
    assert claims("erased", found) == [] and failures(found) == ()


def test_a_concept_that_was_hardly_there_makes_a_warning() -> None:
    faint = Eye({"circle": 0.1}, {"circle": 0.0})
    found, _ = painted(manifest(images=images(prompts_per_concept=40, erased_at_most=0.1)), faint)
    assert [(d.code, d.severity, d.span) for d in warnings(found)] == [("E505", "warning", place("erase"))]
    assert failures(found) == ()


def test_bounds_that_no_picture_answered_make_a_warning() -> None:
    asked = manifest(images=images(erased_at_most=0.1, kept_loss_at_most=0.1))
    found = verified(exact(World().problem(asked)))
    assert [(d.code, d.span) for d in warnings(found)] == [
        ("E506", place("erased_at_most")),
        ("E506", place("kept_loss_at_most")),
    ]
    assert [d.span for d in warnings(painted(asked)[0])] == [place("kept_loss_at_most")]


def test_without_a_detector_everything_is_painted_and_nothing_judged() -> None:
    asked = manifest(images=images(prompts_per_concept=4, erased_at_most=0.1), preserve=kept("square", "ghost"))
    brush = Brush()
    found = verified(exact(World().problem(asked)), context(brush))
    shown = found.report.pictures
    assert [one.concept for one in shown] == ["circle"] * 4 + ["square"] * 4 + ["ghost"] * 4
    assert {(one.shown_before, one.shown_after) for one in shown} == {(None, None)}
    assert not [claim for claim in found.report.claims if claim.unit == "share" and "shown" in claim.name]
    assert not claims("erased", found) and not claims("kept_loss", found)
    assert [(d.code, d.span) for d in warnings(found)] == [("E506", place("erased_at_most"))]


def test_the_same_input_gives_the_same_report() -> None:
    asked = manifest(images=images(prompts_per_concept=5), preserve=kept("square"))
    one, other = painted(asked)[0].report, painted(asked)[0].report
    assert (one.claims, one.sites) == (other.claims, other.sites)
    for first, second in zip(one.pictures, other.pictures, strict=True):
        assert (first.prompt, first.seed, first.erased) == (second.prompt, second.seed, second.erased)
        np.testing.assert_array_equal(first.after, second.after)


# ---------------------------------------------------------------- two lists


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_drift_is_the_larger_one_of_the_default_list_and_of_what_is_named(scale: float) -> None:
    """To name what hardly moves makes the bound no easier; both figures are claimed."""
    world = World()
    problem = world.problem(manifest())
    (group,) = problem.systems
    system = problem.systems[group]
    alone = value("preserve_drift", verified(exact(problem)))
    edited = system.blocks[0].keys
    still = np.linalg.svd(edited)[0][:, edited.shape[1] :]  # what the edit does not move: orthogonal to its keys
    rows = still[:, :2] + scale * edited[:, :1]
    both = replace(system, preserved=replace(system.preserved, named=NamedRows(rows, ("a", "b"))))
    found = verified(exact(replace(problem, systems={group: both})))
    assert value("default_drift", found) == pytest.approx(alone)
    named = value("named_drift", found)
    assert value("preserve_drift", found) == max(named, value("default_drift", found))
    assert (named < alone) == (scale == 0.01)
