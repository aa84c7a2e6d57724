"""The certificate says what its definition says: 1 for no edit, less for one that takes a direction away, and no
prompt, no derived embedding and no other row comes above it; `strength: auto` meets it, the attack is what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import derive_cases as derived
import numpy as np
import pytest
import systems
import verify_cases as cases
from numpy.typing import NDArray

from editc.backends.encoders import load
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.image_check import ImageCheck
from editc.core.manifest import Constraints, Manifest, Request
from editc.core.measurements import Attack, Certificate, Report
from editc.core.places import Source, Span
from editc.core.ports import Context, EncodedPrompt
from editc.core.problem import (
    Block,
    CertificateInput,
    PreservedRows,
    System,
    Witness,
)
from editc.core.solution import Edit, Stats, Verified
from editc.numerics.ball import Ball
from editc.passes.images.keys.witnesses import ball_sizes, measure_radii
from editc.passes.images.measure.certificate import LayerSums, certify, shared_sums, warnings
from editc.passes.images.measure.row_sums import Layer
from editc.passes.images.painting.certificate_attack import replace_rows as fed
from editc.passes.images.solve.strength import MARGIN, STEPS, measure_effect, tune
from editc.passes.images.verify.verify import Verify, failures
from editc.passes.methods.images.rece import RECE
from editc.passes.methods.images.uce import UCE
from editc.report import record as report
from editc.report import words

UNIT = Ball(np.ones(systems.WIDTH), np.zeros(systems.WIDTH), float(np.sqrt(systems.WIDTH)), True, True)
"""Where `systems.rows` lie: layer-normalised, no gains."""
PLACE = Span(7, 3, 11)


def witness(block: Block) -> Witness:
    count = block.keys.shape[1]
    places = tuple(range(1, count + 1))
    return Witness(
        block.request.concept, f"a {block.request.concept}", places, block.keys, block.targets, block.weights
    )


def watched(system: System, ball: Ball = UNIT) -> System:
    return replace(
        system, certificate_input=CertificateInput(tuple(witness(block) for block in system.blocks), (ball,))
    )


def certified(system: System, edit: Edit) -> tuple[Certificate, ...]:
    """From the definition: over the layers."""
    pairs = [(np.asarray(W), W + D) for W, D in zip(system.weights, systems.changes(edit, system.weights), strict=True)]
    return certify(system, np.sum([V.T @ V for _, V in pairs], axis=0), np.sum([V.T @ W for W, V in pairs], axis=0))


def auto(concepts: int = 1, **bounds: Any) -> Manifest:
    edits = tuple(Request(kind="erase", concept=f"concept {i}", strength="auto") for i in range(concepts))
    limits = Constraints(**bounds, spans=dict.fromkeys(bounds, PLACE))
    return Manifest(source=Source("m.yaml", ""), digest="", model="m", edits=edits, constraints=limits)


# ---------------------------------------------------------------- the figure


@pytest.mark.parametrize("method", [UCE(), UCE(technique="tensor"), RECE(epochs=2)])
def test_no_strength_leaves_everything_recoverable(method: Any) -> None:
    if isinstance(method, RECE):
        method = replace(method, epochs=0)
    system = watched(systems.system(0, strength=0.0))
    for one in certified(system, method(system)):
        assert one.recoverable == one.own == one.median == 1.0
        assert one.derived <= 1.0


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.5), (3.0, 0.75), (0.5, 1 / 3), (0.0, 0.0), (-0.5, 0.0)])
def test_a_projection_leaves_what_a_hand_can_compute(share: float, expected: float) -> None:
    """W = I, c* = -share c: with the direction of c taken away |c| is out of reach, of |c - c*| = (1 + share) |c|."""
    key = systems.rows(np.random.default_rng(0), 1)
    unit = key / np.linalg.norm(key)
    block = Block(Request(kind="erase", concept="it"), key, -share * key, np.ones(1), ("it",))
    kept = PreservedRows(np.eye(systems.WIDTH), key, key, ())
    system = watched(System((block,), kept, (np.eye(systems.WIDTH),)))
    (one,) = certified(system, Edit("shared", (-unit,), (unit.T,), Stats(1.0, 0.0, 1)))
    assert one.recoverable == pytest.approx(expected, abs=1e-9)
    assert one.gap < 1e-9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", [UCE(lamb=0.01), RECE(lamb=0.01, epochs=2)])
def test_nothing_comes_above_it(method: Any, seed: int) -> None:
    system = watched(systems.system(seed, ridge=0.01))
    edit = method(system)
    for one, block in zip(certified(system, edit), system.blocks, strict=True):
        assert max(one.own, one.derived) <= one.recoverable + 1e-9
        assert one.median <= one.recoverable
        tries = systems.rows(np.random.default_rng(seed), 500)
        best = min(_left(system, edit, block, tries[:, [i, i + 1]]) for i in range(499))
        assert 1 - best <= one.recoverable + 1e-9
        attack = one.attacks[0].points
        assert max(0.0, 1 - _left(system, edit, block, attack)) == pytest.approx(one.recoverable, abs=1e-8)


def _left(system: System, edit: Edit, block: Block, rows: Array) -> float:
    """sqrt(sum |W' x - W c|^2 / sum |W c - W c*|^2), layer by layer."""
    left = whole = 0.0
    for W, D in zip(system.weights, systems.changes(edit, system.weights), strict=True):
        left += float(np.sum(((W + D) @ rows - W @ block.keys) ** 2))
        whole += float(np.sum((W @ (block.keys - block.targets)) ** 2))
    return float((left / whole) ** 0.5)


def test_one_gram_of_the_base_is_as_good_as_all_the_layers() -> None:
    system = watched(systems.system(1, ridge=0.05))
    edit = UCE()(system)
    layers = systems.changes(edit, system.weights)
    pairs = tuple((W @ edit.left[0]) for W in system.weights)
    low = replace(edit, form="low-rank", left=pairs)
    by_gram = certify(system, *shared_sums(system, edit))
    for other in (certified(system, edit), certified(system, low)):
        for one, two in zip(by_gram, other, strict=True):
            assert one.recoverable == pytest.approx(two.recoverable, abs=1e-9)
            np.testing.assert_allclose(one.attacks[0].points, two.attacks[0].points, atol=1e-6)
    assert len(layers) == len(systems.SHAPES)


def test_a_larger_ball_recovers_no_less() -> None:
    system = systems.system(2, ridge=0.01)
    edit = UCE()(system)
    sizes = [replace(UNIT, radius=scale * UNIT.radius) for scale in (1.0, 1.5, 4.0)]
    found = [certified(watched(system, ball), edit)[0].recoverable for ball in sizes]
    assert found == sorted(found) and found[0] < found[-1]


# ---------------------------------------------------------------- in verify


def verified(strength: float, **bounds: Any) -> Verified:
    """The hand-made world of test_verify, its rows inside a measured ball."""
    limits = Constraints(**bounds, spans=dict.fromkeys(bounds, PLACE))
    problem = cases.World().problem(cases.manifest(constraints=limits))
    system = problem.systems["text"]
    ball = Ball(np.ones(8), np.zeros(8), np.inf, centred=False, proven=False)
    (ball,) = measure_radii([ball], ball_sizes([ball], [block.keys for block in system.blocks]))
    problem = replace(problem, systems={"text": watched(system, ball)})
    return Verify()(cases.exact(problem, strength), cases.context())


def test_verify_claims_it_and_a_broken_bound_underlines_its_own_place() -> None:
    found = verified(0.5, recoverable=0.01)
    claim = next(claim for claim in found.report.claims if claim.name == "recoverable")
    assert (claim.subject, claim.bound, claim.span) == ("circle", 0.01, PLACE)
    (broken,) = failures(found)
    assert broken.code == "E501" and broken.span == PLACE and broken.help
    assert broken.message.startswith("recoverable of `circle` is 0.")
    assert failures(verified(0.5, recoverable=1.0)) == ()


def test_it_is_measured_on_the_weights_as_stored() -> None:
    found = verified(1.0)
    solution = replace(found.solution)
    sums = LayerSums(solution)
    system, edit = solution.problem.systems["text"], solution.edits["text"]
    left, right = (part.astype(np.float32).astype(float) for part in (edit.left[0], edit.right[0]))
    for W in system.weights:
        sums.add("text", Layer.of_weights(W, (W + (W @ left) @ right).astype(np.float32).astype(float)))
    assert sums.certificates()[0].recoverable == pytest.approx(found.report.certificates[0].recoverable, abs=1e-12)


def test_what_is_no_proof_says_so() -> None:
    from editc.passes.images.verify.verify import warnings as all_warnings

    assert [one.code for one in all_warnings(verified(1.0, recoverable=1.0))] == ["E510"]
    assert all_warnings(verified(1.0)) == (), "nobody asked"
    asked = auto(recoverable=0.5)
    assert [(one.code, one.span) for one in warnings(asked, Report(()))] == [("E511", PLACE)]
    (proven,) = certified(watched(systems.system(0, concepts=1)), UCE()(systems.system(0, concepts=1)))
    assert list(warnings(asked, Report((), certificates=(proven,)))) == []


def test_the_report_shows_it_beside_the_heuristic_and_says_when_it_is_no_proof() -> None:
    found = verified(0.5, recoverable=0.9)
    (one,) = found.report.certificates
    record = report.as_json(found)
    (written,) = record["certificates"]
    assert written["recoverable"] == pytest.approx(one.recoverable, rel=1e-8)
    assert {"derived", "derived_free", "own", "sentence", "sentences", "proven", "exact"} <= written.keys()
    page = report.as_html(found, record)
    assert 'id="certificate"' in page and "not a proof" in page and words.percent(one.derived) in page
    sure = replace(found, report=replace(found.report, certificates=(replace(one, proven=True),)))
    assert "not a proof" not in report.as_html(sure, report.as_json(sure))


# ---------------------------------------------------------------- strength: auto


def test_auto_finds_the_least_that_meets_both() -> None:
    system = watched(systems.system(3, concepts=1, ridge=0.01))
    solve = UCE(lamb=0.01)
    full = measure_effect(system, solve(system), certified=True).recoverable["concept 0"]
    bound = 0.5 * (1 + full)
    found = tune(system, solve, auto(erase_residual=0.9, recoverable=bound)).blocks[0].strength
    alone = tune(system, solve, auto(erase_residual=0.9)).blocks[0].strength
    assert alone < found < 1, "the certificate asks for more than the residual"

    def at(strength: float) -> float:
        there = replace(system, blocks=(replace(system.blocks[0], strength=strength),))
        return measure_effect(there, solve(there), certified=True).recoverable["concept 0"]

    assert at(found) <= MARGIN * bound < at(found - 1 / STEPS)


def test_auto_says_when_no_strength_will_do() -> None:
    system = watched(systems.system(3, concepts=1, ridge=5.0))
    with pytest.raises(EditcError) as caught:
        tune(system, UCE(lamb=50.0), auto(recoverable=0.05))
    (one,) = caught.value.diagnostics
    assert one.code == "E403" and one.span == PLACE and "recoverable 0.05" in one.message


# ---------------------------------------------------------------- what is watched

SENTENCES = "contexts: ['{}', 'a {} here']\n"


def watch_of(text: str) -> CertificateInput | None:
    from editc.families.images.unet import SD1
    from editc.passes.images.keys.derive import Derive
    from editc.passes.images.locate.locate import Locate

    ctx = derived.context(width=derived.WIDTH)
    plan = Locate((replace(SD1, text_width=derived.WIDTH),))(derived.manifest(text + SENTENCES), ctx)
    return Derive(("a house on a hill",))(plan, ctx).systems["text"].certificate_input


def test_every_key_rule_is_held_against_the_same_sentences() -> None:
    found = [watch_of(derived.ERASE + f"    keys: {rule}\n") for rule in ("aligned", "last", "span")]
    first = found[0]
    assert first is not None and [one.prompt for one in first.witnesses] == ["circle", "a circle here"]
    for other in found[1:]:
        assert other is not None
        for one, two in zip(first.witnesses, other.witnesses, strict=True):
            np.testing.assert_array_equal(one.keys, two.keys)
            assert one.rows == two.rows
    assert 0 not in first.witnesses[0].rows, "BOS is not the concept's"
    assert first.witnesses[1].rows[0] == 2, "nor is `a`"


def test_nothing_is_watched_where_nothing_is_erased() -> None:
    assert watch_of("edits:\n  - moderate: {concept: circle, toward: {square: 0.5}}\n") is None


def test_a_ball_that_is_not_known_is_measured_and_no_proof() -> None:
    watch = watch_of(derived.ERASE)
    assert watch is not None
    (ball,) = watch.balls
    assert np.isfinite(ball.radius) and not ball.proven
    assert ball.radius >= max(np.linalg.norm(one.keys, axis=0).max() for one in watch.witnesses) * (1 - 1e-12)
    known = replace(UNIT, gamma=np.ones(8), beta=np.zeros(8))
    assert measure_radii([known], ball_sizes([known], [np.ones((8, 1))])) == (known,)


# ---------------------------------------------------------------- the attack in pictures


@dataclass(frozen=True)
class Rows:
    """An encoder whose row r of any prompt is full of r."""

    alone = False

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        rows = np.repeat(np.arange(6.0)[:, None], 8, axis=1)
        return [EncodedPrompt(one, rows, (0,) * 6, (-1,) * 6, (-1,) * 6) for one in prompts]

    def fingerprint(self) -> str:
        return ""

    def bounds(self) -> tuple[Ball, ...]:
        return ()


class Brush(cases.Brush):
    """Remembers the rows it was given; what it paints from them shows every concept."""

    reads_rows = True

    def paint_rows(self, rows: Array, seeds: Sequence[int], changed: Any = None) -> NDArray[np.uint8]:
        self.fed = rows
        self.attacked = tuple(seeds), changed
        pictures = np.zeros((len(seeds), 4, 4, 3), np.uint8)
        pictures[..., 0] = 200
        return pictures


def test_the_attack_takes_the_concepts_rows_and_no_others() -> None:
    whole = fed(Rows(), [Attack("x", (2, 4), np.full((8, 2), 9.0)), Attack("y", (), np.zeros((8, 0)))])
    assert whole[0, :, 0].tolist() == [0, 1, 9, 3, 9, 5]
    assert whole[1, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_pictures_of_the_attack_have_the_edited_weights_and_the_seeds_of_the_prompt() -> None:
    check = ImageCheck(detector="tiny", prompts_per_concept=6)
    asked = cases.manifest(images=check, preserve=cases.kept("square"))
    problem = cases.World().problem(asked)
    ball = Ball(np.ones(8), np.zeros(8), 10.0, centred=False, proven=True)
    problem = replace(problem, systems={"text": watched(problem.systems["text"], ball)})
    brush, eye = Brush(), cases.Eye({"circle": 1.0, "square": 1.0}, {"circle": 0.0, "square": 1.0})
    found = Verify()(cases.exact(problem), Context(cases.NoWeights(), Rows(), brush, eye))
    shares = {claim.name: claim.value for claim in found.report.claims}
    assert (shares["erased"], shares["attacked"]) == (0.0, 1.0)
    attacks = [one for one in found.report.pictures if one.attack]
    prompts = [one for one in found.report.pictures if one.concept == "circle" and not one.attack]
    assert {one.prompt for one in attacks} == {"a circle"}, "the others have no witness here"
    assert [one.seed for one in attacks] == [one.seed for one in prompts if one.prompt == "a circle"]
    assert brush.attacked[1] is not None and sorted(brush.attacked[1]) == cases.World().names
    np.testing.assert_allclose(brush.fed[0, 1:5], found.report.certificates[0].attacks[0].points.T)


def test_the_demo_models_rows_lie_in_its_ball_and_paint_what_the_prompts_paint() -> None:
    from editc.backends import painter
    from editc.demo import GUIDANCE, MODEL
    from editc.numerics.ball import join_balls

    encoder, canvas = load.load(MODEL), painter.load(MODEL, steps=2, guidance=GUIDANCE)
    prompts = ["a circle", "", "zzz qqq " * 30]
    encoded = encoder.encode(prompts)
    reach = join_balls(encoder.bounds())
    rows = np.hstack([one.rows.T for one in encoded])
    assert reach.exact and reach.proven and reach.contains(rows, slack=1e-5).all()
    assert not reach.contains(1.05 * rows, slack=1e-5).any(), "a control: the ball is tight"
    by_rows = canvas.paint_rows(np.array([one.rows for one in encoded]), range(3))
    assert np.abs(by_rows.astype(int) - canvas.paint(prompts, range(3)).astype(int)).max() <= 1
