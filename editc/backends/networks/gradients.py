"""Read the gradient of answers by what a model's matrices write: one run forward and one backward for each batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.networks.batches import batches, pad_tokens
from editc.backends.networks.hooks import watch_modules
from editc.backends.networks.running import ChangedWeights, RunningModel
from editc.core.delta import Array
from editc.core.prompts import Cloze

LAYER_NUMBER = re.compile(r"\.(?:layers|h)\.(\d+)\.")
"""Finds the number of a parameter's layer in its name."""


def answer_gradients(
    network: RunningModel, names: Sequence[str], asked: Sequence[Cloze], changed: ChangedWeights
) -> Mapping[str, tuple[Array, Array, NDArray[np.int64]]]:
    """Return what each matrix reads at the tokens that predict an answer's, the gradient by what it writes there, and
    the number of each token's answer.

    The loss is the sum of the negative log-likelihoods of all answers' tokens.
    """
    encoded = [network.tokenizer.encode_cloze(one) for one in asked]
    ids = [tokens[:-1] for tokens, _ in encoded]
    modules = {name: network.module(name) for name in names}
    found: dict[str, dict[int, tuple[Array, Array]]] = {name: {} for name in names}
    chosen = list(batches(ids))

    def read(which: list[int]) -> None:
        for name, number, keys, gradients in _read_batch(network, modules, [encoded[i] for i in which]):
            found[name][which[number]] = (keys, gradients)

    with network.use_weights(changed), ExitStack() as held:
        for layer in _layers_of(names) if network.store else ():
            assert network.store is not None
            held.enter_context(network.store.hold(layer))
        list(network.each([partial(read, which) for which in chosen], [sum(len(ids[i]) for i in w) for w in chosen]))
    counts = [count for _, count in encoded]
    answers = np.repeat(np.arange(len(counts)), counts)
    joined = {
        name: [np.hstack([one[i][k].T for i in range(len(counts))]) for k in (0, 1)] for name, one in found.items()
    }
    return {name: (keys, gradients, answers) for name, (keys, gradients) in joined.items()}


def _read_batch(
    network: RunningModel, modules: Mapping[str, Any], encoded: Sequence[tuple[tuple[int, ...], int]]
) -> Iterator[tuple[str, int, Array, Array]]:
    """Run one batch of prompts with their answers. Yield, for each matrix and each answer: the matrix's name, the
    answer's number, and keys (t, d_in) and gradients (t, d_out) at the tokens before the answer's."""
    import torch

    given, mask = pad_tokens([tokens[:-1] for tokens, _ in encoded])
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}

    def keep(name: str) -> Callable[[Any], None]:
        return lambda states: inputs.__setitem__(name, states.detach())

    def follow(name: str) -> Callable[[Any], Any]:
        def show(states: Any) -> Any:
            traced = states if states.requires_grad else states.detach().requires_grad_()
            outputs[name] = traced
            traced.retain_grad()
            return traced

        return show

    places = [(i, len(ids) - 1 - count + k) for i, (ids, count) in enumerate(encoded) for k in range(count)]
    answers = [token for ids, count in encoded for token in ids[len(ids) - count :]]
    lines, rows = map(list, zip(*places, strict=True))
    watched = watch_modules(
        {module: keep(name) for name, module in modules.items()},
        {module: follow(name) for name, module in modules.items()},
    )
    with watched, torch.enable_grad():
        states = network.decode(input_ids=given, attention_mask=mask, use_cache=False)
        likely = network.logits(states[lines, rows]).log_softmax(-1)[range(len(answers)), answers]
        (-likely.sum()).backward()
    for name in modules:
        keys, gradients = (
            one.reshape(*given.shape, -1).cpu().double().numpy() for one in (inputs[name], outputs[name].grad)
        )
        for i, (ids, count) in enumerate(encoded):
            part = slice(len(ids) - 1 - count, len(ids) - 1)
            yield name, i, keys[i, part], gradients[i, part]


def _layers_of(names: Sequence[str]) -> set[int]:
    """The numbers of the layers that these matrices belong to."""
    return {int(match[1]) for name in names if (match := LAYER_NUMBER.search(name))}
