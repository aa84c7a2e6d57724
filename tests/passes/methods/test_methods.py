"""What must be true of every method: these tests run for each name in the registry, with no line written for it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DOCS
from systems import changes, gram_of, system

from editc.core.delta import Array
from editc.core.problem import System
from editc.numerics import adversary
from editc.numerics.ridge import NonFiniteError, SingularError
from editc.passes.methods.images.rece import RECE
from editc.passes.methods.images.uce import UCE
from editc.registry.methods import METHODS
from editc.registry.options import construct, option_texts, options

SEEDS = st.integers(0, 10_000)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in METHODS.names("image") if not hasattr(METHODS.resolve(name), "edit_kind")),
    ("uce", {"technique": "tensor"}),
    ("rece", {"technique": "tensor"}),
    ("rece", {"epochs": 3}),
    ("rece", {"epochs": 2, "technique": "tensor"}),
    ("rece", {"anchor": "current"}),
    ("rece", {"epochs": 3, "anchor": "current"}),
    ("rece", {"epochs": 2, "anchor": "current", "technique": "tensor"}),
    ("rece", {"rule": "standard"}),
    ("rece", {"rule": "surrogate1"}),
    ("rece", {"rule": "surrogate2"}),
    ("rece", {"rule": "surrogate_both"}),
    ("speed", {"filter": False, "aug_num": 0}),
    ("speed", {"filter": False, "lamb": 0.5}),
    ("speed", {"aug_num": 0}),
    ("project", {"hold": "keys"}),
    ("guard", {"spread": 1}),
    ("guard", {"concept_scale": 1.0}),
    ("realera", {"near_scale": 3.0, "beyond_scale": 0.0}),
]
WEIGHTLESS: dict[str, dict[str, Any]] = {"speed": {"threshold": 1e9}, "project": {"tolerance": 1.0}}
"""Methods that hold what is kept as firmly whatever it weighs, each with the option that lets go of it."""
RETAINING: dict[str, dict[str, Any]] = {"speed": {"filter": False}}
"""What keeps a method from letting go of some kept rows by design: SPEED's filter retains those it would move most."""
RIDGES: dict[str, str] = {"speed": "retain_scale"}
"""What makes a method's system regular, where that is not `lamb`."""
every = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda v: str(v))
few = settings(max_examples=12, deadline=None)


def sizes(problem: System, name: str, options: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    return changes(construct(name, options)(problem), tuple(problem.weights))


@every
@few
@given(seed=SEEDS)
def test_strength_zero_gives_a_zero_edit(name: str, options: dict[str, Any], seed: int) -> None:
    for change, W in zip(sizes(system(seed, strength=0.0), name, options), system(seed).weights, strict=True):
        assert np.linalg.norm(change) <= 1e-9 * np.linalg.norm(W)


@every
@few
@given(seed=SEEDS)
def test_the_order_of_concepts_does_not_matter(name: str, options: dict[str, Any], seed: int) -> None:
    problem = system(seed)
    turned = replace(problem, blocks=problem.blocks[::-1])
    for one, other in zip(sizes(problem, name, options), sizes(turned, name, options), strict=True):
        assert np.allclose(one, other, rtol=1e-7, atol=1e-9 * np.abs(one).max())


@few
@given(seed=SEEDS)
def test_the_concept_comes_nearer_to_its_target(seed: int) -> None:
    problem = system(seed, concepts=1)
    (block,) = problem.blocks
    edited = [W + D for W, D in zip(problem.weights, sizes(problem, "uce", {}), strict=True)]
    assert far(edited, block.keys, problem) < far(problem.weights, block.keys, problem)


@few
@given(seed=SEEDS)
def test_a_round_brings_the_derived_keys_nearer_to_the_target(seed: int) -> None:
    """RECE promises nothing for the concept's own keys after a round; it does for those that it derived."""
    problem = system(seed, concepts=1)
    (block,) = problem.blocks
    gram = problem.total_gram()
    derived = adversary.derive(block.keys, block.targets, gram, gram, 0.1, "regzero")
    edit = RECE(epochs=1).rounds(problem, gram, gram)
    edited = [W + D for W, D in zip(problem.weights, changes(edit, tuple(problem.weights)), strict=True)]
    assert far(edited, derived, problem) < far(problem.weights, derived, problem)


def far(weights: Sequence[Any], keys: Any, problem: System) -> float:
    """sum_l |W'_l C - W_l T|^2."""
    targets = problem.blocks[0].targets
    return sum(float(np.sum((E @ keys - W @ targets) ** 2)) for E, W in zip(weights, problem.weights, strict=True))


@every
@few
@given(seed=SEEDS)
def test_what_is_kept_moves_less_the_more_it_weighs(name: str, options: dict[str, Any], seed: int) -> None:
    problem, options = system(seed), options | RETAINING.get(name, {})
    firm = replace(problem, preserved=replace(problem.preserved, moment=1e4 * problem.preserved.moment))
    drift = [
        sum(np.linalg.norm(change @ p.preserved.rows) ** 2 for change in sizes(p, name, given))
        for p, given in ((problem, options | WEIGHTLESS.get(name, {})), (firm, options))
    ]
    assert drift[1] < drift[0]


@every
def test_half_precision_weights_and_keys_work(name: str, options: dict[str, Any]) -> None:
    for change in sizes(system(3, dtype=np.float16), name, options):
        assert np.isfinite(change).all() and np.linalg.norm(change) > 0


@every
def test_rank_is_at_most_what_was_edited(name: str, options: dict[str, Any]) -> None:
    problem = system(4)
    method = construct(name, options)
    keys = sum(block.keys.shape[1] for block in problem.blocks)
    edited = 1 + getattr(method, "epochs", 0) + getattr(method, "samples", 0)  # keys that a method derives from each
    assert method(problem).stats.rank <= keys * edited


@every
def test_singular_keys_are_refused_and_never_nan(name: str, options: dict[str, Any]) -> None:
    problem = system(5, concepts=1, kept=0, ridge=0.0)
    with pytest.raises(SingularError):
        construct(name, {**options, RIDGES.get(name, "lamb"): 0.0})(problem)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_input_is_named(name: str, options: dict[str, Any], bad: float) -> None:
    problem = system(6)
    keys = problem.blocks[0].keys.copy()
    keys[0, 0] = bad
    broken = replace(problem, blocks=(replace(problem.blocks[0], keys=keys), *problem.blocks[1:]))
    with pytest.raises(NonFiniteError):
        construct(name, options)(broken)


@pytest.mark.parametrize("name", METHODS.names("image"))
def test_every_method_is_listed_in_the_docs(name: str) -> None:
    assert f"\n| `{name}` | " in (DOCS / "reference" / "methods.md").read_text(encoding="utf-8")


def test_the_recipe_s_example_is_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "how-to" / "add-a-method.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = ModuleType("recipe")
    monkeypatch.setitem(sys.modules, "recipe", module)
    exec(compile(example, "add-a-method.md", "exec"), module.__dict__)
    monkeypatch.setattr(METHODS, "own", {"image": {"plain": "recipe:Toy"}})
    assert [option.name for option in options("plain")] == list(option_texts(METHODS.resolve("plain"))) == ["lamb"]
    test_singular_keys_are_refused_and_never_nan("plain", {})
    test_half_precision_weights_and_keys_work("plain", {})


@few
@given(seed=SEEDS)
def test_tensor_moves_towards_the_rejection(seed: int) -> None:
    """With nothing kept and almost no ridge, a `tensor` edit leaves t less its projection on the old value."""
    problem = replace(system(seed, concepts=1, kept=1), ridge=1e-9)
    problem = replace(problem, preserved=replace(problem.preserved, moment=0 * problem.preserved.moment))
    (block,) = problem.blocks
    for W, change in zip(problem.weights, sizes(problem, "uce", {"technique": "tensor"}), strict=True):
        old, new = W @ block.keys, W @ block.targets
        wanted = new - (np.vdot(old, new) / np.vdot(old, old)) * old
        assert np.allclose((W + change) @ block.keys, wanted, atol=1e-5)


def test_strength_is_exact_for_a_linear_method() -> None:
    whole, half = sizes(system(7), "uce", {}), sizes(system(7, strength=0.5), "uce", {})
    for one, other in zip(whole, half, strict=True):
        assert np.allclose(0.5 * one, other, rtol=1e-12, atol=1e-14)


def test_rece_layers_and_multiplier_agree() -> None:
    """The Gram recursion on (d, d) matrices is the reference's loop over every layer."""
    problem, method = system(8), RECE(epochs=3, anchor="current")
    weights = [W + D for W, D in zip(problem.weights, changes(UCE()(problem), tuple(problem.weights)), strict=True)]
    for _ in range(3):
        gram, cross = gram_of(weights), gram_of(weights, problem.weights)
        keys = np.hstack([np.linalg.solve(0.1 * np.eye(len(gram)) + gram, cross @ b.keys) for b in problem.blocks])
        targets = np.hstack([b.targets for b in problem.blocks])
        normal = keys @ keys.T + 0.1 * problem.preserved.moment + 0.1 * np.eye(len(gram))
        weights = [W + np.linalg.solve(normal, keys @ (W @ (targets - keys)).T).T for W in weights]
    for W0, W, found in zip(problem.weights, weights, changes(method(problem), tuple(problem.weights)), strict=True):
        assert np.allclose(W0 + found, W, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("technique", ["replace", "tensor"])
@pytest.mark.parametrize("anchor", ["current", "original"])
def test_rece_without_rounds_is_uce(anchor: Any, technique: Any) -> None:
    problem = system(9)
    weights = tuple(problem.weights)
    found = changes(RECE(epochs=0, anchor=anchor, technique=technique)(problem), weights)
    for mine, other in zip(found, changes(UCE(technique=technique)(problem), weights), strict=True):
        assert np.array_equal(mine, other)


def test_rece_from_the_original_minimises_its_sum_of_problems() -> None:
    """Two rounds written out layer by layer, with W_0 in every term; and no step from the edit lowers the sum."""
    problem = system(8)
    keys = np.hstack([b.keys for b in problem.blocks])
    aim = np.hstack([b.targets for b in problem.blocks])
    eye, first = np.eye(len(keys)), [np.asarray(W) for W in problem.weights]
    every: list[Array] = [keys]
    for t in range(3):
        K, T = np.hstack(every), np.hstack([aim] * len(every))
        normal = K @ K.T + (1 + 0.1 * t) * problem.preserved.moment + (0.5 + 0.1 * t) * eye
        weights = [W + np.linalg.solve(normal, K @ (W @ (T - K)).T).T for W in first]
        gram, cross = gram_of(weights), gram_of(weights, first)
        every.append(np.linalg.solve(0.1 * eye + gram, cross @ keys).astype(np.float64))
    found = changes(RECE(epochs=2, anchor="original")(problem), tuple(problem.weights))
    for W0, W, D in zip(first, weights, found, strict=True):
        assert np.allclose(W0 + D, W, rtol=1e-8, atol=1e-10)

    def cost(D: Any, W0: Any) -> float:
        moved = 1.2 * np.sum(D @ problem.preserved.moment * D) + 0.7 * np.sum(D**2)
        return float(np.sum(((W0 + D) @ K - W0 @ T) ** 2) + moved)

    other = changes(RECE(epochs=2, anchor="current")(problem), tuple(problem.weights))
    rng = np.random.default_rng(0)
    for W0, D, C in zip(first, found, other, strict=True):
        near = D + 1e-3 * rng.normal(size=D.shape)
        assert cost(D, W0) < min(cost(near, W0), cost(C, W0), cost(0 * D, W0))


def test_rece_from_the_original_keeps_what_is_kept_nearer() -> None:
    """After three rounds, over twelve problems: held to W_0, the kept rows lie nearer to where they were than held to
    the round before. Of a single problem it need not be true: seed 452 is one."""
    drift = {"current": 0.0, "original": 0.0}
    for problem in map(system, range(12)):
        for anchor in drift:
            for D in changes(construct("rece", {"epochs": 3, "anchor": anchor})(problem), tuple(problem.weights)):
                drift[anchor] += float(np.linalg.norm(D @ problem.preserved.rows) ** 2)
    assert drift["original"] < drift["current"]
