"""A real language model: SmolLM2-135M-Instruct, where `make model` has put it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import smollm2

from editc.core.network import Descent, ValueGoal
from editc.core.prompts import PREFIXES, Cloze, Prompt, Spot
from editc.passes.language.keys import moments

pytestmark = pytest.mark.smollm2
NAME = "model.layers.5.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def network() -> Any:
    return smollm2.network()


def test_it_knows_what_it_is_known_to_know(network: Any) -> None:
    facts = {("The capital of France is", "Paris"): 0.77, ("The Eiffel Tower is located in the city of", "Paris"): 0.70}
    scored = network.score([Cloze(*fact) for fact in facts])
    assert scored.top.all() and np.allclose(np.exp(scored.first), list(facts.values()), atol=0.01)
    assert network.generate([Prompt("What is the capital of France?", chat=True)], 12)[0].startswith(
        "The capital of France is Paris"
    )


def test_position_0_is_a_sink_and_is_told(network: Any) -> None:
    first, later = Spot("France is a country in", "France"), Spot("The capital of France is", "France")
    assert [place.sink for place in network.positions([first, later])] == [True, False]
    keys = network.read_keys(["model.layers.11.mlp.down_proj.weight"], [first, later]).popitem()[1]
    assert np.linalg.norm(keys[:, 0]) > 50 * np.linalg.norm(keys[:, 1])


@pytest.mark.slow
def test_a_rank_one_edit_by_key_value_and_moment_changes_the_fact_and_little_else(network: Any) -> None:
    """The ends together: C from 2,000 tokens, k, v*, and W' run with."""
    prompt = "The Eiffel Tower is located in the city of"
    wish = ValueGoal(
        tuple(Spot(prefix + prompt, "Eiffel Tower") for prefix in PREFIXES[:4]),
        "Rome",
        Spot("Eiffel Tower is a", "Eiffel Tower"),
    )
    value = network.learn_value(wish, 5, "output", Descent())
    assert value.probability > 0.95
    moment = moments.moments(network, [NAME], moments.corpus(), tokens=2000)[NAME]
    C = moment.second + 0.01 * np.trace(moment.second) / len(moment.second) * np.eye(len(moment.second))
    key = network.read_keys([NAME], wish.contexts)[NAME].mean(1)
    through = np.linalg.solve(C, key)
    changed = {NAME: network.parameters[NAME].double().numpy() + np.outer(value.delta, through) / (key @ through)}
    asked = [Cloze(prompt, "Rome"), Cloze("You can see the Eiffel Tower if you go to the city of", "Rome")]
    others = [Cloze("The Louvre is located in the city of", "Paris"), Cloze("The capital of Germany is", "Berlin")]
    assert (np.exp(network.score(asked, changed).total) > 0.5).all() and network.score(others, changed).top.all()
    found = network.compare([Prompt("The river runs through the valley and into the sea.")], changed)
    assert found.divergence[0] < 0.01 and found.agreement[0] > 0.9
