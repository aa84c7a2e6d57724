"""Classes are taken out of a head: none of them is ever the answer, and what a method erases is gone."""

from __future__ import annotations

import numpy as np
import pytest

from editc.core.delta import Array
from editc.passes.heads.measure import explained, measure_head
from editc.passes.heads.methods import METHODS, Examples, Head, HeadEdit, edit_head, erase_directions, erase_probes

C, D, N = 5, 12, 60


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def head(rng: np.random.Generator) -> Head:
    return Head(rng.normal(size=(C, D)), rng.normal(size=C))


@pytest.fixture
def examples(rng: np.random.Generator) -> Examples:
    labels = np.arange(N) % C
    return Examples(rng.normal(size=(N, D)) + 2 * np.eye(C, D)[labels] + rng.normal(size=D), labels)


def after(head: Head, edit: HeadEdit) -> Head:
    bias = None if head.bias is None or edit.bias is None else head.bias + edit.bias
    return Head(head.weight + edit.left @ edit.right, bias)


def edited(head: Head, examples: Examples, gone: list[int], method: str) -> Head:
    find = METHODS[method]
    return after(head, edit_head(head, gone, None if find is None else find(examples, gone)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gone", [[2], [0, 4]])
@pytest.mark.parametrize("biased", [True, False])
def test_an_erased_class_is_the_answer_to_no_input(
    method: str, gone: list[int], biased: bool, head: Head, examples: Examples, rng: np.random.Generator
) -> None:
    given = head if biased else Head(head.weight, None)
    found = edited(given, examples, gone, method)
    inputs = [rng.normal(size=(5000, D)) * 10.0 ** rng.integers(-3, 4), 1e3 * given.weight[gone], examples.features]
    assert not any(np.isin(found.logits(one).argmax(axis=1), gone).any() for one in inputs)


def test_row_leaves_every_other_logit_as_it_is(head: Head, examples: Examples) -> None:
    found = edited(head, examples, [2], "row")
    stay = [0, 1, 3, 4]
    assert np.array_equal(found.logits(examples.features)[:, stay], head.logits(examples.features)[:, stay])
    assert found.bias is not None and head.bias is not None and found.bias[2] == min(head.bias[stay])
    assert np.allclose(found.weight[2], head.weight[stay].mean(axis=0))


def test_after_leace_no_linear_probe_of_the_logits_tells_the_class(head: Head, examples: Examples) -> None:
    of_class = examples.of([2])
    assert explained(head.logits(examples.features), of_class) > 0.2
    for gone in ([2], [2, 3]):
        found = edited(head, examples, gone, "leace")
        assert explained(found.logits(examples.features), of_class) < 1e-12


def test_leace_needs_no_label_of_the_other_examples(head: Head, examples: Examples) -> None:
    """The question of LAF: what stays is the same where the others have no labels."""
    blind = Examples(examples.features, np.where(examples.labels == 2, 2, -1))
    for find in (erase_probes, erase_directions):
        ours, theirs = (edit_head(head, [2], find(one, [2])) for one in (blind, examples))
        assert np.array_equal(ours.left @ ours.right, theirs.left @ theirs.right)


def test_after_ablate_the_direction_is_gone_and_the_mean_of_the_others_stays(head: Head, examples: Examples) -> None:
    own, rest = (examples.features[mask].mean(axis=0) for mask in (examples.of([2]), ~examples.of([2])))
    found, stay = edited(head, examples, [2], "ablate"), [0, 1, 3, 4]
    assert np.allclose(found.weight @ (own - rest), 0)
    assert np.allclose(found.logits(rest[None])[0, stay], head.logits(rest[None])[0, stay])
    assert np.allclose(found.logits(own[None]), found.logits(rest[None]))


def test_a_head_keeps_at_least_two_classes(head: Head) -> None:
    assert edit_head(head, [0, 1, 2], None).left.shape == (C, 3)
    with pytest.raises(ValueError, match="fewer than two"):
        edit_head(head, [0, 1, 2, 3], None)


def test_what_is_measured(head: Head) -> None:
    features: Array = np.eye(3)
    before = Head(np.eye(3), None)
    examples = Examples(np.repeat(features, 2, axis=0), np.array([0, 0, 1, 2, 2, -1]))
    found = {
        one.name: one for one in measure_head(before, Head(np.roll(np.eye(3), 1, axis=0), None), examples, [0], {})
    }
    values = {name: one.value for name, one in found.items()}
    assert (values["answered_before"], values["answered"]) == (1.0, 0.0)
    assert (values["others_right_before"], values["others_right"]) == (2 / 3, 1 / 3)
    assert values["others_same"] == 0.0 and found["others_same"].of == 4
    bounded = {
        one.name: one for one in measure_head(before, before, examples, [0], {"answered": 0.0, "others_same": 1.0})
    }
    assert not bounded["answered"].holds and bounded["others_same"].holds
