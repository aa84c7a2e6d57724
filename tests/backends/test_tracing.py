"""Causal tracing on pico models of every family, against plain runs of the whole prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc.backends.networks import CausalNetwork
from editc.backends.networks.hooks import watch_modules
from editc.backends.networks.tracing import embedding_deviation
from editc.core.network import Noise
from editc.core.prompts import KnownFact

KNOWN = (
    KnownFact("The capital of France is", "France", "Paris"),
    KnownFact("The Eiffel Tower is located in the city of", "Eiffel Tower", "Rome"),
    KnownFact("What is the capital of Japan?", "Japan", "a quiet afternoon", chat=True),
    KnownFact("Germany is a list on the next page of", "Germany", "Paris"),
    KnownFact("A quiet afternoon: France", "France", "is"),
)
KINDS = tuple(pico.KINDS)


@pytest.fixture(scope="module")
def networks() -> Any:
    made: dict[str, CausalNetwork] = {}
    return lambda kind: made.setdefault(kind, pico.network(kind))


def plainly(network: CausalNetwork, known: KnownFact, noise: Noise) -> tuple[float, float, list[float], list[float]]:
    """Tracing as the paper says it: one run of the whole prompt for each sample, layer and place."""
    ids, count = network.tokenizer.encode_cloze(known.cloze)
    given, answer = torch.tensor([ids[: len(ids) - count]]), ids[len(ids) - count]
    place = network.tokenizer.place(known.spot)
    embedding = network.model.get_input_embeddings()
    shape = (noise.samples, place.row + 1 - place.first, embedding.weight.shape[1])
    drawn = noise.sigmas * embedding_deviation(network) * np.random.default_rng(noise.seed).standard_normal(shape)

    def likely(hooks: dict[Any, Any]) -> float:
        with watch_modules(outputs=hooks), torch.inference_mode():
            logits = network.model(input_ids=given, use_cache=False).logits[0, -1]
        return float(logits.double().softmax(-1)[answer])

    def noised(sample: int) -> Any:
        def change(states: Any) -> Any:
            states = states.clone()
            states[0, place.first : place.row + 1] += torch.from_numpy(drawn[sample]).float()
            return states

        return {embedding: change}

    clean: dict[int, Any] = {}
    before = likely({block: lambda s, i=i: clean.__setitem__(i, s.clone()) for i, block in enumerate(network.blocks)})

    def restored(layer: int, row: int) -> Any:
        def change(states: Any) -> Any:
            states = states.clone()
            states[0, row] = clean[layer][0, row]
            return states

        return {network.blocks[layer]: change}

    samples = range(noise.samples)
    after = float(np.mean([likely(noised(i)) for i in samples]))
    curves = [
        [float(np.mean([likely({**noised(i), **restored(layer, row)}) for i in samples])) for layer in range(4)]
        for row in (place.row, given.shape[1] - 1)
    ]
    return before, after, curves[0], curves[1]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_whole_runs_give(kind: str, networks: Any) -> None:
    network, noise = networks(kind), Noise(samples=2, seed=5)
    found = network.trace(KNOWN, noise)
    for index, known in enumerate(KNOWN):
        clean, noised, subject, last = plainly(network, known, noise)
        assert found.clean[index] == pytest.approx(clean, rel=1e-3)
        assert found.noised[index] == pytest.approx(noised, rel=1e-3)
        assert found.subject[index] == pytest.approx(subject, rel=1e-3)
        assert found.last[index] == pytest.approx(last, rel=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_without_noise_nothing_is_lost(kind: str, networks: Any) -> None:
    found = networks(kind).trace(KNOWN, Noise(sigmas=0.0))
    assert np.allclose(found.noised, found.clean, rtol=1e-4)
    assert np.allclose(found.subject, found.clean[:, None], rtol=1e-4)
    assert np.allclose(found.last, found.clean[:, None], rtol=1e-4)


def test_the_whole_of_the_last_token_is_the_answer(networks: Any) -> None:
    """After the last layer the prompt's last token alone decides, and no other token matters any more."""
    found = networks("llama").trace(KNOWN, Noise())
    assert not np.allclose(found.noised, found.clean, rtol=0.05), "the control: noise costs something"
    assert np.allclose(found.last[:, -1], found.clean, rtol=1e-4)
    ends = np.array([known.prompt.endswith(known.subject) for known in KNOWN])
    assert np.allclose(found.subject[~ends, -1], found.noised[~ends], rtol=1e-4)
    assert np.array_equal(found.subject[ends], found.last[ends]), "where the subject ends the prompt, they are one"


def test_the_noise_is_the_seed_s(networks: Any) -> None:
    network = networks("llama")
    first, again = (network.trace(KNOWN[:2], Noise(seed=3)) for _ in range(2))
    other = network.trace(KNOWN[:2], Noise(seed=4))
    assert np.array_equal(first.subject, again.subject) and not np.allclose(first.subject, other.subject, rtol=1e-3)
    by_itself = network.trace(KNOWN[1:2], Noise(seed=3))
    assert np.array_equal(by_itself.subject[0], first.subject[1]), "what else is asked does not matter"


def test_threads_do_not_matter(networks: Any) -> None:
    network, before = networks("llama"), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(network.trace(KNOWN[:2], Noise()))
    finally:
        torch.set_num_threads(before)
    assert np.allclose(found[0].subject, found[1].subject, rtol=1e-5)


def test_a_prompt_longer_than_a_sliding_window(networks: Any) -> None:
    """Mistral's window is 64 tokens here: what lies before it is not seen, with a cache as little as without."""
    prompt = "A long discussion on the next page, and a list. " * 7 + KNOWN[1].prompt + " " + "the next page of" * 6
    known = KnownFact(prompt, "Eiffel Tower", "Rome")
    network, noise = networks("mistral"), Noise(samples=1)
    assert network.positions([known.spot])[0].row > 64
    found = network.trace([known], noise)
    _, noised, subject, last = plainly(network, known, noise)
    assert found.noised[0] == pytest.approx(noised, rel=1e-3)
    assert found.subject[0] == pytest.approx(subject, rel=1e-3) and found.last[0] == pytest.approx(last, rel=1e-3)


def test_nothing_asked_and_a_subject_that_is_not_there(networks: Any) -> None:
    assert networks("llama").trace([], Noise()).subject.shape == (0, 4)
    with pytest.raises(LookupError, match="`Rome` is not in"):
        networks("llama").trace([KnownFact("The capital of France is", "Rome", "Paris")], Noise())
