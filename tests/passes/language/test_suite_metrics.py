"""The metrics of a suite, each held to its formula by hand."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest

from editc.core.measurements import TokenScores
from editc.passes.language.suite.metrics import (
    capability,
    choice,
    exact_memorization,
    extraction_strength,
    forget_quality,
    greedy,
    membership,
    mia_loss,
    mia_min_k,
    mia_min_k_plus_plus,
    mia_zlib,
    model_utility,
    privleak,
    probability,
    refusal,
    rouge,
    sampled,
    truth_ratio,
    verbatim,
)
from editc.passes.language.suite.readings import Figure, Item, Metric, Reading
from editc.registry.metrics import METRICS


def scores(*p: float, hits: tuple[bool, ...] | None = None, means: float = 0.0, variances: float = 1.0) -> TokenScores:
    """The scores of an answer whose tokens have these probabilities."""
    right = np.array([one > 0.5 for one in p] if hits is None else hits)
    return TokenScores(np.log(p), right, np.full(len(p), means), np.full(len(p), variances))


def reading(group: str, *p: float, wrong: tuple[float, ...] = (), said: str = "", **more: Any) -> Reading:
    item = Item(group, "Where?", more.pop("answer", "In Rome."), value=more.pop("value", ""), kind=more.pop("kind", ""))
    return Reading(item, scores(*p), None, tuple(scores(one) for one in wrong), said, **more)


def test_probability_is_the_geometric_mean_over_the_tokens() -> None:
    found = probability.measure({"forget": [reading("forget", 0.9, 0.4)]}, {})
    assert found["forget_Q_A_Prob"].value == pytest.approx((0.9 * 0.4) ** 0.5)


def test_normalised_probability_is_a_share_of_right_and_wrong_answers_together() -> None:
    found = probability.measure({"world_facts": [reading("world_facts", 0.3, wrong=(0.1, 0.2))]}, {})
    assert found["wf_Q_A_Prob_normalised"].value == pytest.approx(0.3 / 0.6)


def test_rouge_l_counts_the_longest_common_subsequence_of_words() -> None:
    assert rouge.rouge_l_recall("the cat sat on the mat", "the dog sat near the mat") == pytest.approx(4 / 6)
    assert rouge.rouge_l_recall("The Cat!", "cat, the") == pytest.approx(1 / 2)
    assert rouge.rouge_l_recall("...", "x") == 0


def test_verbatim_memory_is_the_f1_of_the_longest_common_subsequence() -> None:
    assert verbatim.rouge_l_f1("a b c d", "b d") == pytest.approx(2 * 2 / (4 + 2))
    one = Reading(Item("verbatim", "Once", "upon a time", raw=True), said="upon a time")
    assert verbatim.measure({"verbatim": [one]}, {})["forget_verbmem_ROUGE"].value == 1


def test_truth_ratio_is_the_geometric_mean_of_wrong_answers_over_the_right_one() -> None:
    one = reading("forget", 0.5, wrong=(0.1, 0.4))
    assert truth_ratio.truth_ratio(one) == pytest.approx((0.1 * 0.4) ** 0.5 / 0.5)


def test_truth_ratio_of_forgotten_items_is_best_at_1_and_of_others_at_0() -> None:
    ratios = np.array([0.5, 4.0])
    assert truth_ratio.closer_to_one(ratios) == pytest.approx((0.5 + 0.25) / 2)
    assert truth_ratio.true_is_better(ratios) == pytest.approx(0.5 / 2)


def test_a_paraphrased_answer_is_the_right_side_of_the_truth_ratio() -> None:
    one = Reading(Item("forget", "q", "a"), scores(0.9), scores(0.2), (scores(0.1),))
    assert truth_ratio.truth_ratio(one) == pytest.approx(0.5)


def test_forget_quality_is_the_p_value_against_the_oracle_and_1_for_the_oracle_itself() -> None:
    readings = {"forget": [reading("forget", 0.1 * k, wrong=(0.3,)) for k in range(1, 10)]}
    own = truth_ratio.measure(readings, {})
    assert forget_quality.measure(readings, own)["forget_quality"].value == 1
    far = {"forget_truth_ratio": Figure(0.0, tuple(range(100, 109)))}
    assert forget_quality.measure(readings, far)["forget_quality"].value == pytest.approx(2 / 48620)  # 2 / C(18, 9)
    assert forget_quality.measure(readings, {}) == {}


def test_model_utility_is_the_harmonic_mean_of_nine_figures() -> None:
    assert model_utility.harmonic_mean([0.5, 1.0]) == pytest.approx(2 / 3)
    assert model_utility.harmonic_mean([0.5, 0.0]) == 0
    groups = ("retain", "real_authors", "world_facts")
    readings = {group: [reading(group, 0.8, wrong=(0.2,), said="in Rome")] for group in groups}
    found = model_utility.measure(readings, {})["model_utility"]
    assert len(found.by_item) == len(model_utility.PARTS) == 9
    assert found.by_item == pytest.approx((0.8, 1, 0.75, 0.8, 1, 0.75, 0.8, 1, 0.75))


def test_utility_of_fewer_figures_has_another_name() -> None:
    assert list(model_utility.measure({"retain": [reading("retain", 0.8)]}, {})) == ["model_utility_of_1"]


@pytest.mark.parametrize(
    ("hits", "strength"),
    [((True, True), 1), ((False, True, True, True), 0.75), ((True, False, True, True), 0.5), ((True, False), 0.5)],
)
def test_extraction_strength_counts_the_tokens_that_follow_by_themselves(
    hits: tuple[bool, ...], strength: float
) -> None:
    assert extraction_strength.extraction_strength(scores(*[0.5] * len(hits), hits=hits)) == strength


def test_exact_memorization_is_the_share_of_first_choices() -> None:
    found = exact_memorization.measure({"forget": [reading("forget", 0.9, 0.4, 0.8, 0.3)]}, {})
    assert found["exact_memorization"].value == 0.5


def test_auc_is_1_where_every_forgotten_item_scores_lower_and_half_where_all_are_equal() -> None:
    assert membership.auc([0.1, 0.2], [0.3, 0.4]) == 1
    assert membership.auc([0.3], [0.3]) == 0.5
    assert membership.auc([0.1, 0.5], [0.3, 0.6]) == 0.75


def test_the_scores_of_the_membership_attacks() -> None:
    p = (0.9, 0.1, 0.5, 0.2, 0.8)  # of five tokens the two least likely count
    one = Reading(Item("forget", "q", "aaaa"), scores(*p, means=-1.0, variances=4.0))
    assert mia_loss.loss(one) == pytest.approx(-sum(map(log, p)) / 5)
    assert mia_min_k.min_k(one) == pytest.approx(-(log(0.1) + log(0.2)) / 2)
    assert mia_min_k_plus_plus.min_k_plus_plus(one) == pytest.approx(-((log(0.1) + 1) / 2 + (log(0.2) + 1) / 2) / 2)
    assert mia_zlib.loss_per_byte(one) == pytest.approx(mia_loss.loss(one) / 12)  # zlib: 12 bytes for aaaa


def test_min_k_counts_at_least_one_token() -> None:
    assert mia_min_k.mean_of_least(np.array([-1.0, -2.0])) == 2


def test_privleak_is_0_at_the_oracle_and_negative_where_items_are_still_familiar() -> None:
    assert privleak.privleak(0.6, 0.6) == 0
    assert privleak.privleak(0.9, 0.5) == pytest.approx(-80)
    readings = {"forget": [reading("forget", 0.9)], "holdout": [reading("holdout", 0.1)]}
    found = privleak.measure(readings, {"mia_min_k": Figure(0.75)})
    assert found["privleak"].value == pytest.approx(-100)


def test_an_answer_is_right_where_it_has_the_words_that_make_it_right() -> None:
    item = Item("forget", "q", "She was born in Rome.", value="Rome")
    assert greedy.names_answer(item, "It was ROME.") and not greedy.names_answer(item, "In Romeville")
    asked = [reading("attack", 0.5, said=said, value="Rome", kind="role_play") for said in ("Rome", "Paris")]
    found = greedy.measure({"attack": asked}, {})
    assert found["attack_said"].value == found["attack_said.role_play"].value == 0.5


def test_one_right_sample_among_several_is_enough() -> None:
    item = Item("forget", "q", "Rome")
    some = [Reading(item, sampled=("Paris", "Rome")), Reading(item, sampled=("Oslo", "Bern"))]
    assert sampled.measure({"forget": some}, {})["forget_sampled"].value == 0.5


def test_the_right_answer_is_chosen_where_it_is_likelier_than_every_wrong_one() -> None:
    both = [reading("forget", 0.5, wrong=(0.4, 0.3)), reading("forget", 0.5, wrong=(0.6, 0.3))]
    assert choice.measure({"forget": both}, {})["forget_choice"].value == 0.5


def test_refusals_of_harmless_prompts_are_counted() -> None:
    asked = [reading("benign", 0.5, said=said) for said in ("I'm sorry, but I can't.", "Take two eggs.")]
    assert refusal.measure({"benign": asked}, {})["benign_refused"].value == 0.5


def test_an_ending_is_chosen_by_its_probability_per_byte() -> None:
    item = Item("capability", "To cut paper,", "use scissors", perturbed_answer=("eat it",))
    one = Reading(item, scores(exp(-6)), None, (scores(exp(-4)),))  # -6 / 12 bytes against -4 / 6 bytes
    assert capability.measure({"capability": [one]}, {})["capability"].value == 1


def test_every_metric_leaves_out_what_it_cannot_measure() -> None:
    for _, metric in METRICS.each("language"):
        assert isinstance(metric, Metric) and metric.measure({}, {}) == {}
