"""Scores of single tokens, drawn continuations, and training on answers, on pico models."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_language as pico
from network_cases import CLOZE

from editc.core.measurements import Tuning
from editc.core.prompts import Cloze, Prompt

ANSWERS = [Cloze("The capital of France is", "Rome"), Cloze("What is the capital of Japan?", "A quiet afternoon")]


def test_the_scores_of_an_answers_tokens_add_up_to_that_of_the_answer() -> None:
    network = pico.network("llama")
    whole, parts = network.score(CLOZE), network.score_tokens(CLOZE)
    assert np.allclose([one.log_probabilities.sum() for one in parts], whole.total, atol=1e-4)
    assert [len(one.hits) for one in parts] == whole.tokens.tolist()
    assert [bool(one.hits[0]) for one in parts] == whole.top.tolist()


def test_mean_and_variance_are_those_of_the_whole_distribution() -> None:
    import torch

    network = pico.network("llama")
    (found,) = network.score_tokens(ANSWERS[:1])
    ids, count = network.tokenizer.encode_cloze(ANSWERS[0])
    with torch.inference_mode():
        likely = network.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)[-1 - count : -1].numpy()
    assert np.allclose(found.means, (np.exp(likely) * likely).sum(1), atol=1e-4)
    assert np.allclose(found.variances, (np.exp(likely) * likely**2).sum(1) - found.means**2, atol=1e-3)


def test_drawn_continuations_depend_on_the_seed_alone() -> None:
    network, prompts = pico.network("llama"), [Prompt("The capital"), Prompt("What is")]
    first = network.sample(prompts, 5, 3, seed=1)
    assert [len(one) for one in first] == [3, 3]
    assert first == network.sample(prompts, 5, 3, seed=1) != network.sample(prompts, 5, 3, seed=2)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_training_makes_the_answers_likely_and_leaves_the_model_as_it_was(kind: str) -> None:
    network = pico.network(kind)
    before, seen = network.score(ANSWERS).total, list[float]()

    def watch(step: int, loss: float) -> bool:
        seen.append(float(network.score(ANSWERS).total.sum()))
        return False

    trained = network.tune(ANSWERS, Tuning(steps=12, rate=2e-2, rank=4), None, watch)
    assert len(seen) == 13 and seen[0] == pytest.approx(before.sum(), abs=1e-3) and seen[-1] > seen[0] + 5
    assert network.score(ANSWERS).total == pytest.approx(before)
    assert network.score(ANSWERS, trained).total.sum() == pytest.approx(seen[-1], abs=1e-2)


def test_only_layers_from_the_first_on_are_trained_and_the_watch_may_end_it() -> None:
    network = pico.network("llama")
    steps: list[int] = []

    def watch(step: int, loss: float) -> bool:
        steps.append(step)
        return step == 2

    trained = network.tune(ANSWERS, Tuning(steps=9, first=2), None, watch)
    assert steps == [0, 1, 2]
    assert {name.split(".")[2] for name in trained} == {"2", "3"}
    assert all(not np.array_equal(value, network.parameters[name].numpy()) for name, value in trained.items())


def test_states_of_untrained_layers_that_are_kept_change_nothing() -> None:
    network = pico.network("llama")
    losses: list[float] = []

    def watch(step: int, loss: float) -> bool:
        losses.append(loss)
        return False

    for first in (0, 2):
        network.tune(ANSWERS, Tuning(steps=1, first=first), None, watch)
    assert losses[1] == pytest.approx(losses[3], abs=1e-4)
