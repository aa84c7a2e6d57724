"""The blows of a suite: relearning, rounding and probes, by hand and on a pico model."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import tiny_language as pico

from editc.core.measurements import Tuning
from editc.passes.language.suite.ask import cloze_of
from editc.passes.language.suite.blows import probes, relearn, rounding
from editc.passes.language.suite.blows.blow import Blow, Target
from editc.passes.language.suite.readings import Figure, Item
from editc.registry.blows import BLOWS

FORGET = [Item("forget", f"What is the capital of {name}?", "Rome", perturbed_answer=("Paris",)) for name in "AB"]
RETAIN = [Item("retain", f"Where is {name}?", "In Berlin", perturbed_answer=("In a city",)) for name in "CDE"]


def test_steps_are_the_first_checked_number_at_which_half_is_back() -> None:
    curve = (0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8)
    assert (
        relearn.steps_to(curve, 0.4) == 4 and relearn.steps_to(curve, 0.05) == 0 and relearn.steps_to(curve, 0.9) == inf
    )


def test_half_is_of_what_the_model_had_before_the_edit() -> None:
    assert relearn.half_of({"forget_Q_A_Prob": Figure(0.8)}) == pytest.approx(0.4)


def test_relearning_gives_a_curve_on_the_forgotten_text_and_on_text_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearn, "CHECKED", (0, 2))
    monkeypatch.setattr(relearn, "HOW", Tuning(steps=2, rank=2))
    network = pico.network("llama")
    before = network.fingerprint()
    target = Target(network, (*FORGET, *RETAIN), None, {"forget_Q_A_Prob": Figure(1.0)})
    found = relearn.strike(target)
    assert set(found) == {"relearn_steps", "relearn_beside_steps"}
    assert all(len(one.by_item) == 2 and one.value == inf for one in found.values())
    own = found["relearn_steps"].by_item
    assert own[-1] > own[0] and network.fingerprint() == before


def test_a_model_that_forgot_nothing_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearn, "HOW", Tuning(steps=2, rank=2))
    target = Target(pico.network("llama"), (*FORGET, *RETAIN), None, {"forget_Q_A_Prob": Figure(1e-9)})
    found = relearn.strike(target)
    assert all(len(one.by_item) == 1 and one.value == 0 for one in found.values())


def test_rounding_keeps_the_largest_number_of_each_row_and_has_so_many_steps() -> None:
    W = np.random.default_rng(0).standard_normal((5, 400))
    for bits in (8, 4):
        rounded = rounding.round_rows(W, bits)
        assert np.allclose(np.abs(rounded).max(1), np.abs(W).max(1))
        steps = np.abs(W).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
        assert np.all(np.abs(rounded - W) <= steps / 2 + 1e-12)
        assert len(np.unique(rounded[0])) <= 2**bits - 1
    assert np.array_equal(rounding.round_rows(np.zeros((2, 3)), 8), np.zeros((2, 3)))


def test_llama_cpps_quantisers_are_used_where_gguf_is_installed() -> None:
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    W = np.random.default_rng(0).standard_normal((3, 64))
    errors = [np.abs(rounding.round_blocks(W, kind) - W).max() for kind in ("Q8_0", "Q4_0")]
    assert 0 < errors[0] < 0.05 < errors[1] < 0.6
    odd = np.ones((2, 33))
    assert rounding.round_blocks(odd, "Q4_0") is odd


def test_every_linear_layer_is_rounded_and_the_figures_have_the_quantisers_name() -> None:
    network = pico.network("llama")
    names = [name for name, _ in network.linear_weights()]
    assert len(names) == 4 * 7 and all(name in network.parameters for name in names)
    found = rounding.strike(Target(network, FORGET))
    assert {"int8.forget_Q_A_Prob", "int4.extraction_strength", "int4.forget_truth_ratio"} <= set(found)
    base = network.score_tokens([cloze_of(one, one.answer) for one in FORGET])
    assert found["int8.forget_Q_A_Prob"].value == pytest.approx(np.mean([one.probability for one in base]), rel=0.1)


def test_a_probe_that_is_learned_on_some_states_tells_others() -> None:
    random = np.random.default_rng(0)
    sides, right = np.tile([1.0, -1.0], 10), np.tile([1.0, -1.0], 5)
    direction = random.standard_normal((6, 1))
    known, asked = (0.1 * random.standard_normal((6, len(some))) + direction * some for some in (sides, right))
    assert probes.transfer_accuracy(known, sides, asked, right) == 1


def test_probes_read_several_layers_and_need_wrong_answers() -> None:
    found = probes.strike(Target(pico.network("llama"), (*FORGET, *RETAIN)))
    assert len(found["probe_accuracy"].by_item) > 1 and 0 <= found["probe_accuracy"].value <= 1
    assert probes.strike(Target(pico.network("llama"), (Item("forget", "q", "a"),))) == {}


def test_every_blow_of_the_table_is_one() -> None:
    assert all(isinstance(blow, Blow) and blow.summary for _, blow in BLOWS.each("language"))
