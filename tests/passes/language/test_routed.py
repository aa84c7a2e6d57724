"""Experts are memories: together they add what the layer adds, and a fact is written into those that read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc import api
from editc.backends.networks import CausalNetwork, load
from editc.core.delta import Site
from editc.core.language_problem import LanguageProblem, MemoryKey
from editc.core.prompts import Prompt, Spot
from editc.passes.language.keys.derive import RIDGE, with_ridges
from editc.passes.language.keys.routed import parts_left, sizes
from editc.passes.sites import is_expert

KINDS = {
    "mixtral": "model.layers.{}.block_sparse_moe.experts.{}.w2.weight",
    "qwen3_moe": "model.layers.{}.mlp.experts.{}.down_proj.weight",
}
SPOTS = (Spot("The capital of France is", "France"), Spot("A quiet list of Rome"), Spot("Berlin and Japan", "Japan"))


@pytest.fixture(scope="module")
def networks() -> Any:
    torch.set_num_threads(1)
    return {kind: pico.network(kind) for kind in KINDS}


def names(kind: str, layer: int) -> list[str]:
    return [KINDS[kind].format(layer, number) for number in range(4)]


def sites(kind: str, layer: int) -> list[Site]:
    return [Site("model", name, (32, 48), "F32", "mlp", f"layers.{layer}") for name in names(kind, layer)]


def weight(network: CausalNetwork, name: str) -> Any:
    one = network.reader(name)
    return one.stack.down_proj[one.number].double().numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_experts_of_a_layer_add_what_the_layer_adds(kind: str, networks: Any) -> None:
    network = networks[kind]
    keys, seen = network.read_keys(names(kind, 1), SPOTS), []
    total = sum(weight(network, name) @ keys[name] for name in keys)
    hook = network.mlps[1].register_forward_hook(lambda module, given, out: seen.append(out))
    for spot in SPOTS:
        row = network.positions([spot])[0].row
        with torch.no_grad():
            network.model(input_ids=torch.tensor([network.tokenizer.encode_prompt(Prompt(spot.prompt)).ids]))
        assert np.allclose(total[:, SPOTS.index(spot)], seen[-1].view(-1, 32)[row].numpy(), atol=1e-5)
    hook.remove()
    read = np.array([keys[name].any(axis=0) for name in keys])
    assert (read.sum(axis=0) == 2).all(), "the router sends each token to two of four"


@pytest.mark.parametrize("kind", KINDS)
def test_the_moment_of_an_expert_is_that_of_its_keys(kind: str, networks: Any) -> None:
    network, texts = networks[kind], ["A quiet afternoon in Berlin. The capital of France is a long list. " * 20]
    ids = next(iter(network.tokenizer.chunks(texts, 128)))
    found = network.moments(names(kind, 1), texts, 100)
    shown: dict[str, Any] = {}
    stack = network.reader(names(kind, 1)[0]).stack
    hook = stack.register_forward_pre_hook(
        lambda module, given: shown.update({n: network.reader(n).keys(given).double().numpy() for n in names(kind, 1)})
    )
    with torch.no_grad():
        network.model(input_ids=torch.tensor([ids]))
    hook.remove()
    for name, moment in found.items():
        keys = shown[name][1:]
        assert moment.count == len(keys) == 127
        assert np.allclose(moment.second, keys.T @ keys / len(keys), atol=1e-5)


def test_an_expert_that_text_never_reaches_has_the_ridge_of_its_layer() -> None:
    from editc.core.network import SecondMoment

    layer = "model.layers.0.mlp.experts.{}.down_proj.weight"
    found = {layer.format(0): SecondMoment(4 * np.eye(3), 5), layer.format(1): SecondMoment(np.zeros((3, 3)), 5)}
    made = with_ridges({**found, "model.layers.0.mlp.down_proj.weight": SecondMoment(np.eye(3), 5)})
    assert np.allclose(made[layer.format(0)], (4 + 2 * RIDGE) * np.eye(3))
    assert np.allclose(made[layer.format(1)], 2 * RIDGE * np.eye(3))
    assert np.allclose(made["model.layers.0.mlp.down_proj.weight"], (1 + RIDGE) * np.eye(3))


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_the_experts_make_one_whole(kind: str, networks: Any) -> None:
    """What each expert writes, in the order in which they are solved, adds up to what was missing; by |k|^2."""
    network = networks[kind]
    keys = [MemoryKey(0, "x", "plain", (spot,), np.zeros(0)) for spot in SPOTS]
    experts, missing = sites(kind, 1), np.ones(len(SPOTS))
    shares, written = sizes(experts, keys, network, None), []
    for number in range(4):
        written.append(missing / parts_left(experts[number:], keys, network, {}))
        missing = missing - written[-1]
    assert np.allclose(missing, 0)
    total = np.sum(list(shares.values()), axis=0)
    for one, part in zip(experts, written, strict=True):
        assert np.allclose(part, shares[one.name] / total)


def test_matrices_before_the_experts_leave_them_their_part(networks: Any) -> None:
    attention = Site("model", pico.attention("mixtral", 1), (32, 32), "F32", "attention", "layers.1")
    keys = [MemoryKey(0, "x", "plain", (spot,), np.zeros(0)) for spot in SPOTS]
    both = [attention, *sites("mixtral", 1), *sites("mixtral", 2)]
    assert np.array_equal(parts_left(both, keys, networks["mixtral"], {}), [3, 3, 3])
    assert np.array_equal(parts_left([attention, attention], keys, networks["mixtral"], {}), [2, 2, 2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["memit, lamb: 1.0e-6", "alphaedit, energy: 1, l2: 1.0e-9", "joint, lamb: 1.0e-6"])
def test_a_fact_is_written_into_the_experts_that_read_it(kind: str, method: str, tmp_path: Path) -> None:
    """The stream behind the last layer becomes what was learned for it, and no other expert is touched."""
    folder = pico.saved(kind, tmp_path / "model")
    fact = "fact: {prompt: The capital of France is, subject: France, answer: Berlin}"
    (tmp_path / "m.yaml").write_text(
        f"editc: 1\nmodel: {folder}\nsites: {{roles: [mlp], layers: [0, 1]}}\n"
        f"edits: [{{{fact}, contexts: ['{{}}'], method: {method}}}]\n"
        "constraints: {retain_kl: 1000, bystander_loss: 1, efficacy: 0}\n"
    )
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    edited = [record.site.name for record in built.delta.sites]
    assert all(map(is_expert, edited))
    assert [sum(f"layers.{layer}." in name for name in edited) for layer in (0, 1)] == [2, 2]
    problem = built.verified.solution.problem
    assert isinstance(problem, LanguageProblem)
    (key,) = problem.memory_keys
    api.apply([tmp_path / "out" / "delta.safetensors"], str(folder), tmp_path / "edited")
    before, after = (load(place).states([1], key.contexts)[1][:, 0] for place in (folder, tmp_path / "edited"))
    assert np.allclose(after - before, key.residual, atol=2e-3 * np.linalg.norm(key.residual))


@pytest.mark.parametrize(
    "edit",
    [
        "fact: {prompt: The capital of France is, subject: France, answer: Berlin}, method: evoedit",
        "redirect: {from: France, to: Japan}, method: rocr",
        "redirect: {from: France, to: Japan}, method: transplant",
        "erase: France, relations: ['The capital of {} is'], method: rmu-ridge",
    ],
)
def test_every_method_that_shares_an_edit_changes_experts(edit: str, tmp_path: Path) -> None:
    """What the file holds moves the stream at the name, and only experts are in it."""
    folder = pico.saved("qwen3_moe", tmp_path / "model")
    (tmp_path / "m.yaml").write_text(
        f"editc: 1\nmodel: {folder}\nsites: {{roles: [mlp], layers: [0, 1]}}\nedits: [{{{edit}}}]\n"
        "constraints: {retain_kl: 1000, bystander_loss: 1}\n"
    )
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    assert {is_expert(record.site.name) for record in built.delta.sites} == {True}
    api.apply([tmp_path / "out" / "delta.safetensors"], str(folder), tmp_path / "edited")
    spots = [Spot("A list of the capital of France", "France")]
    before, after = (load(place).states([1], spots)[1] for place in (folder, tmp_path / "edited"))
    assert np.linalg.norm(after - before) > 0.01 * np.linalg.norm(before)
