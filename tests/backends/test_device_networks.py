"""A language network on a device: only numbers cross its border, and it answers there as on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
import torch
from fake_device import NAME, FakeModule, on_fake_device
from network_cases import SPOTS, answers, load_streamed, same

from editc.backends.networks import load, products
from editc.core.network import Descent, ValueGoal
from editc.core.prompts import Spot
from editc.libraries.device import DEVICE_VARIABLE

WISH = ValueGoal(SPOTS, "Rome", Spot("France is a", "France"))
HOW = Descent(steps=3, clamp=30.0)


@contextmanager
def device(name: str) -> Iterator[None]:
    """Load on a device. oneDNN rounds otherwise than the products of the device, so the CPU goes without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, name)
        patch.setattr(products, "_onednn_linear", lambda: None)
        yield


def pair(kind: str, folder: Path, loader: Any = load) -> tuple[Any, Any]:
    """The network on the CPU, and on the device."""
    pico.saved(kind, folder)
    with device("cpu"):
        here = load(folder)
    with device(NAME):
        there = loader(folder)
    assert here.device == torch.device("cpu") and there.device.type == NAME
    return here, there


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "falcon"])
@on_fake_device
def test_a_network_answers_on_a_device_as_on_the_cpu(kind: str, tmp_path: Path) -> None:
    here, there = pair(kind, tmp_path)
    assert all(one.device.type == NAME for one in there.parameters.values())
    expected, found = answers(here, kind), answers(there, kind)
    assert [name for name in expected if not same(expected[name], found[name])] == []
    for where in ("output", "stream"):
        assert same(here.learn_value(WISH, 1, where, HOW), there.learn_value(WISH, 1, where, HOW))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@on_fake_device
def test_layers_are_put_on_the_device_when_they_run(kind: str, tmp_path: Path) -> None:
    here, there = pair(kind, tmp_path, load_streamed)
    assert there.store is not None
    expected, found = answers(here, kind), answers(there, kind)
    assert [name for name in expected if not same(expected[name], found[name])] == []
    assert there.store.most == 1 and all(one.device.type == NAME for one in there.parameters.values())
    there.store.drop(3)
    assert same(here.learn_value(WISH, 1, "output", HOW), there.learn_value(WISH, 1, "output", HOW))


@on_fake_device
def test_layers_stay_on_a_device_that_has_room(tmp_path: Path) -> None:
    folder = pico.saved("llama", tmp_path)
    with pytest.MonkeyPatch.context() as patch, device(NAME):
        patch.setattr(FakeModule, "free", 1 << 30)
        store = load_streamed(folder).store
    assert store is not None and store.pinned == frozenset(range(4))


def test_on_the_cpu_nothing_is_copied(tmp_path: Path) -> None:
    network = load(pico.saved("llama", tmp_path))
    states = torch.ones(2, 32)
    made: list[Any] = []
    handle = network.decoder.norm.register_forward_hook(lambda module, given, out: made.extend((given[0], out)))
    came = network.norm(states)
    handle.remove()
    assert made[0] is states and made[1] is came
