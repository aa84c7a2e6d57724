"""A model whose layers are read from its files when they run: it answers as the whole model does, bit for bit, and few
layers are in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
import torch
from network_cases import SPOTS, TEXTS, answers, load_streamed, same
from safetensors.torch import load_file, save_file

from editc.backends.networks import CausalNetwork, batches, causal, load, running
from editc.backends.networks.lockstep import run_in_step, wait_for_others
from editc.core.diagnostics import EditcError
from editc.core.network import Descent, ValueGoal
from editc.core.prompts import Spot

KINDS = ("llama", "gpt2", "gemma2", "gpt_oss")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """kind -> the whole model and the one whose layers stay on disk, each loaded once."""
    made: dict[str, tuple[CausalNetwork, CausalNetwork]] = {}

    def pair(kind: str) -> tuple[CausalNetwork, CausalNetwork]:
        if kind not in made:
            folder = pico.saved(kind, tmp_path_factory.mktemp(kind))
            made[kind] = load(folder), load_streamed(folder)
        return made[kind]

    return pair


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches for a few texts."""
    monkeypatch.setattr(batches, "BATCH_TOKENS", 64)
    monkeypatch.setattr(causal, "BATCH_TOKENS", 128)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_on_disk_answers_as_the_whole_model_does(kind: str, pairs: Any) -> None:
    whole, lazy = pairs(kind)
    assert whole.store is None and lazy.store is not None
    lazy.store.most = 0
    expected, found = answers(whole, kind), answers(lazy, kind)
    assert [name for name in expected if not same(expected[name], found[name])] == []
    assert lazy.store.most == 1


@pytest.mark.parametrize("where", ["output", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_learned_with_two_layers_in_memory(kind: str, where: Any, pairs: Any) -> None:
    """The edited layer and the one that runs. The gradient goes through all layers above."""
    whole, lazy = pairs(kind)
    wish = ValueGoal(SPOTS, "Rome", Spot("France is a", "France"))
    lazy.store.drop(3)
    lazy.store.most = 0
    expected, found = (one.learn_value(wish, 1, where, Descent(steps=3, clamp=30.0)) for one in (whole, lazy))
    assert same(expected, found) and len(found.losses) == 4
    assert lazy.store.most <= 2 and not lazy.store.held


def test_all_batches_go_through_a_layer_before_the_next_is_read(pairs: Any) -> None:
    _, lazy = pairs("llama")
    lazy.store.drop(0)
    lazy.store.loads = 0
    lazy.moments([pico.writer("llama", 2)], [pico.TEXT] * 40, 1000)
    assert lazy.store.loads == 3, "layers 0, 1 and 2 for eight batches; layer 3 is not needed"
    lazy.store.drop(2)
    lazy.store.loads = 0
    lazy.generate(TEXTS, 3)
    assert lazy.store.loads <= 3 * 4, "each layer once for each token"


def test_waiting_batches_are_bounded(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, lazy = pairs("llama")
    monkeypatch.setattr(running, "STEP_BYTES", 1)
    lazy.store.loads = 0
    assert same(whole.final_states(TEXTS), lazy.final_states(TEXTS))
    assert lazy.store.loads > 4, "with room for one batch, each reads all layers"


def test_pinned_layers_are_read_once(tmp_path: Path, pairs: Any) -> None:
    network = load_streamed(pico.saved("llama", tmp_path), 1 << 30)
    store = network.store
    assert store is not None and store.pinned == frozenset(range(4))
    network.final_states(TEXTS)
    assert store.loads == 4 and same(network.final_states(TEXTS), pairs("llama")[0].final_states(TEXTS))


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_a_model_that_transformers_converts_is_loaded_whole(kind: str, tmp_path: Path) -> None:
    assert load_streamed(pico.saved(kind, tmp_path)).store is None


@pytest.mark.parametrize(("value", "code"), [(float("nan"), "E402"), (None, "E205")])
def test_damaged_files_are_refused_as_for_a_whole_model(value: float | None, code: str, tmp_path: Path) -> None:
    path = pico.saved("llama", tmp_path) / "model.safetensors"
    tensors = load_file(path)
    if value is None:
        del tensors[pico.writer("llama", 3)]
    else:
        tensors[pico.writer("llama", 3)][0, 0] = value
    save_file(tensors, path, {"format": "pt"})
    for loaded in (load, load_streamed):
        with pytest.raises(EditcError) as refused:
            loaded(tmp_path)
        assert refused.value.diagnostics[0].code == code


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    pico.saved("llama", tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: one.to(torch.bfloat16) for name, one in load_file(path).items()}, path, {"format": "pt"})
    whole, lazy = load(tmp_path), load_streamed(tmp_path)
    assert same(answers(whole, "llama"), answers(lazy, "llama"))


def test_jobs_in_step_keep_their_order_and_tell_their_errors() -> None:
    seen: list[tuple[int, int]] = []

    def job(number: int) -> int:
        for step in range(number + 1):
            seen.append((step, number))
            wait_for_others()
        if number == 1:
            raise LookupError("one")
        return number

    assert run_in_step([lambda: job(0), lambda: job(2)]) == [0, 2]
    assert seen == [(0, 0), (0, 2), (1, 2), (2, 2)]
    with pytest.raises(LookupError, match="one"):
        run_in_step([lambda: job(1), lambda: job(0)])


def test_groups_of_texts_have_the_batches_of_all_and_share_reads(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, layered = pairs("llama")
    ids = [[1] * (length % 23 + 1) for length in range(0, 400, 7)]
    every = list(batches.batches(ids))
    assert list(whole.groups(ids)) == every and len(every) > 5
    monkeypatch.setattr(running, "STEP_BYTES", 4 * layered.store.width * 150)
    groups = list(layered.groups(ids))
    assert 1 < len(groups) < len(every)
    again = [[group[i] for i in which] for group in groups for which in batches.batches([ids[i] for i in group])]
    assert again == every
    assert all(sum(len(ids[i]) for i in group) <= 150 for group in groups)


def test_a_comparison_in_groups_is_that_of_all_texts_together(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, layered = pairs("llama")
    name = next(name for name in whole.parameters if name.endswith("layers.1.mlp.down_proj.weight"))
    changed = {name: 1.5 * whole.parameters[name].double().numpy()}
    at_once = whole.compare(TEXTS * 9, changed)
    monkeypatch.setattr(running, "STEP_BYTES", 4 * layered.store.width * 40)
    assert same(vars(at_once), vars(layered.compare(TEXTS * 9, changed)))
