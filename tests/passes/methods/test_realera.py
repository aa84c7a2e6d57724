"""RealEra: what each of its terms does, that the seed decides the bytes, and which names it takes in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from derive_cases import context, manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import changes, system

from editc.backends.encoders import load
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.manifest import Manifest
from editc.core.problem import Block, System
from editc.core.solution import Edit
from editc.demo import MODEL
from editc.families.images.unet import SD1
from editc.passes.images.keys.derive import Derive
from editc.passes.images.keys.mined_names import add_mined_names
from editc.passes.images.locate.locate import Locate
from editc.passes.images.method import method_of
from editc.passes.methods.images.realera import RealEra
from editc.passes.methods.images.uce import UCE

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=12, deadline=None)


def left_over(problem: System, edit: Edit, block: Block) -> float:
    """sum_l |W'_l C - W_l T|^2."""
    moves = changes(edit, tuple(problem.weights))
    pairs = zip(problem.weights, moves, strict=True)
    return sum(float(np.sum(((W + move) @ block.keys - W @ block.targets) ** 2)) for W, move in pairs)


def moved(problem: System, edit: Edit, keys: Array) -> float:
    """sum_l |(W'_l - W_l) C|^2."""
    return sum(float(np.sum((move @ keys) ** 2)) for move in changes(edit, tuple(problem.weights)))


@few
@given(seed=SEEDS)
def test_neighbours_come_nearer_to_the_target_than_with_uce(seed: int) -> None:
    """A minimum with one more term makes that term no greater; so does a fresh draw of the same law, nearly."""
    problem, method = system(seed), RealEra(beyond_scale=0.0)
    edit, plain = method(problem), UCE()(problem)
    drawn, fresh = method, RealEra(samples=200, seed=99)
    for law in (drawn, fresh):
        near = [law.copies_inside(block) for block in problem.blocks]
        assert sum(left_over(problem, edit, b) for b in near) < sum(left_over(problem, plain, b) for b in near)


@few
@given(seed=SEEDS)
def test_what_lies_beyond_moves_less_than_without_the_regularisation(seed: int) -> None:
    problem = system(seed)
    held, free = RealEra(beyond_scale=1.0), RealEra(beyond_scale=0.0)
    for law in (held, RealEra(samples=200, seed=99)):
        beyond = np.hstack([law.copies_outside(block).keys for block in problem.blocks])
        assert moved(problem, held(problem), beyond) < moved(problem, free(problem), beyond)


@few
@given(seed=SEEDS, radius=st.floats(0.05, 2.0))
def test_copies_lie_on_their_side_of_the_radius(seed: int, radius: float) -> None:
    (block,), method = system(seed, concepts=1).blocks, RealEra(radius=radius, reach=3.0, samples=5)
    unit = np.tile(np.linalg.norm(block.targets - block.keys, axis=0), 5)
    inside, outside = (
        np.linalg.norm(drawn.keys - np.tile(block.keys, 5), axis=0) / unit
        for drawn in (method.copies_inside(block), method.copies_outside(block))
    )
    assert (inside <= radius * (1 + 1e-9)).all()
    assert (outside >= radius * (1 - 1e-9)).all() and (outside <= 3 * radius * (1 + 1e-9)).all()
    assert np.isclose(method.copies_inside(block).weights.sum(), block.weights.sum())


def test_the_seed_decides_the_bytes() -> None:
    problem = system(3)
    one, again, other = (RealEra(seed=seed)(problem).right[0].tobytes() for seed in (4, 4, 5))
    assert one == again != other


def test_another_edit_does_not_change_the_draw() -> None:
    problem, method = system(3), RealEra()
    alone = replace(problem, blocks=problem.blocks[:1])
    one, other = (method.copies_inside(p.blocks[0]).keys for p in (problem, alone))
    assert np.array_equal(one, other)
    first, second = (method.copies_inside(block).keys - np.tile(block.keys, 4) for block in problem.blocks[:2])
    assert not np.allclose(first, second)


@pytest.mark.parametrize("options", [{"samples": 0}, {"near_scale": 0.0, "beyond_scale": 0.0}])
def test_with_nothing_drawn_it_is_uce(options: dict[str, float]) -> None:
    problem = system(3)
    for one, other in zip(RealEra(**options)(problem).right, UCE()(problem).right, strict=True):  # type: ignore[arg-type]
        assert np.array_equal(one, other)


@pytest.mark.parametrize("options", [{"reach": 1.0}, {"reach": float("nan")}, {"radius": -1.0}, {"neighbours": -1}])
def test_options_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
        RealEra(**options)  # type: ignore[arg-type]


PROMPTS = ("a dog runs", "a red ball here", "big circle there", "a square thing", "a kept one")
MINING = "edits:\n  - erase: circle\n    to: square\n    method: realera\n    neighbours: 3\n    alike: -1.0\n"


def test_derive_mines_for_a_method_that_asks() -> None:
    """Mined names are edited, and are not kept; what the manifest names itself is not mined."""
    ctx, asked = context(), manifest(MINING + "preserve: {concepts: [dog], prompts: [a kept thing]}\n")
    problem = Derive(PROMPTS)(Locate((SD1,))(asked, ctx), ctx)
    (edit,) = problem.plan.manifest.image_edits
    assert edit.scale == 4.0, "the concept weighs what it weighed alone"
    assert len(edit.also) == 3 and not {"circle", "square", "dog", "kept", "thing"} & set(edit.also)
    labels = " ".join(problem.systems["text"].blocks[0].labels)
    assert all(name in labels for name in edit.also)
    none = Derive(PROMPTS)(Locate((SD1,))(manifest(MINING.replace("3", "0")), ctx), ctx)
    assert none.plan.manifest.image_edits[0].also == ()
    plain = Derive(PROMPTS)(Locate((SD1,))(manifest("edits:\n  - erase: circle\n    to: square\n"), ctx), ctx)
    assert plain.plan.manifest.image_edits[0].also == ()


def test_what_is_mined_is_not_kept() -> None:
    ctx = context()
    problem = Derive(PROMPTS)(Locate((SD1,))(manifest(MINING.replace("3", "99")), ctx), ctx)
    assert {"dog", "ball"} <= set(problem.plan.manifest.image_edits[0].also)
    assert not {"a dog runs", "a red ball here"} & set(problem.systems["text"].preserved.prompts)


def test_a_corpus_without_words_is_refused() -> None:
    ctx = context()
    with pytest.raises(EditcError, match="E320"):
        Derive(("of the", "a"))(Locate((SD1,))(manifest(MINING), ctx), ctx)


def test_of_two_edits_the_nearer_one_has_the_name_in_either_order() -> None:
    encoder = load.load(MODEL)
    words = ["disc trout", "box carp", "tree house", "star moon", "cat boat", "sword bomb"]
    prompts = [f"a {word}" for pair in words for word in pair.split()]
    text = "edits:\n  - erase: circle\n    to: square\n  - erase: fish\n    to: heart\n"
    for asked in (manifest(text), replace(manifest(text), edits=manifest(text).edits[::-1])):
        assert names(add_mined_names(asked, encoder, prompts, ("a {}", "a red {}"), 3, 0.9)) == {
            "circle": {"disc"},
            "fish": {"trout", "carp"},
        }
    every = names(add_mined_names(manifest(text), encoder, prompts, ("a {}",), 99, -1.0))
    assert not every["circle"] & every["fish"] and "disc" in every["circle"] and "carp" in every["fish"]


def names(found: Manifest) -> dict[str, set[str]]:
    return {edit.concept: set(edit.also) for edit in found.image_edits}


def test_the_manifests_seed_is_the_default() -> None:
    ctx = context()
    for line, seed in (("", 7), ("    seed: 3\n", 3)):
        method = method_of(Locate((SD1,))(manifest(MINING + line + "seed: 7\n"), ctx))
        assert isinstance(method, RealEra) and method.seed == seed
