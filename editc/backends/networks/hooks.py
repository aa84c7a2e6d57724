"""A model's modules looked into, and its parameters changed, for the while of a `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from editc.core.ir import Array


class EnoughError(Exception):
    """All that was asked for has been seen: nothing behind needs to run."""


@contextmanager
def replace_parameters(parameters: Mapping[str, Any], changed: Mapping[str, Array]) -> Iterator[None]:
    """The named parameters hold `changed`, in their own dtype; afterwards they hold the very memory of before."""
    import torch

    before = {name: parameters[name].data for name in changed}
    try:
        for name, value in changed.items():
            new = torch.from_numpy(np.ascontiguousarray(value)).to(before[name].dtype)
            parameters[name].data = new.reshape(before[name].shape)
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data


@contextmanager
def watch_modules(
    inputs: Mapping[Any, Callable[[Any], None]] = {}, outputs: Mapping[Any, Callable[[Any], Any]] = {}
) -> Iterator[None]:
    """Each module of `inputs` shows its first input; each of `outputs` its output, which a value returned replaces.

    A run ends with EnoughError, which is held back here, when a function raises it.
    """

    def before(show: Callable[[Any], None]) -> Callable[..., None]:
        return lambda module, given: show(given[0])

    def after(show: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda module, given, out: rewrap_states(out, show(unwrap_states(out)))

    with ExitStack() as stack:
        for module, show in inputs.items():
            stack.callback(module.register_forward_pre_hook(before(show)).remove)
        for module, show in outputs.items():
            stack.callback(module.register_forward_hook(after(show)).remove)
        with suppress(EnoughError):
            yield


@contextmanager
def split_batch(layers: Mapping[Any, Array]) -> Iterator[None]:
    """The second half of every batch meets other weights in these layers, the first half their own."""
    import torch

    def beside(new: Any) -> Callable[..., Any]:
        def hook(layer: Any, given: Any, out: Any) -> Any:
            half, own = len(out) // 2, layer.weight.data
            layer.weight.data = new
            try:
                return torch.cat([out[:half], layer.forward(given[0][half:])])
            finally:
                layer.weight.data = own

        return hook

    with ExitStack() as stack:
        for layer, value in layers.items():
            new = torch.from_numpy(np.ascontiguousarray(value)).to(layer.weight.dtype).reshape(layer.weight.shape)
            stack.callback(layer.register_forward_hook(beside(new)).remove)
        yield


@contextmanager
def skip_layers(layers: list[Any], state: Any, extra: int = 0) -> Iterator[None]:
    """These layers do nothing, and the last of them gives `state`, with so many values `extra` it in a tuple."""
    before = [layer.forward for layer in layers]

    def forward(answer: Any) -> Callable[..., Any]:
        def nothing(hidden_states: Any, *rest: Any, **named: Any) -> Any:
            states = hidden_states if answer is None else answer
            return (states, *[None] * extra) if extra else states

        return nothing

    try:
        for layer in layers:
            layer.forward = forward(state if layer is layers[-1] else None)
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.forward = own


def unwrap_states(out: Any) -> Any:
    """The states of a layer's output, which some give as the first of a tuple."""
    return out[0] if isinstance(out, tuple) else out


def rewrap_states(out: Any, new: Any) -> Any:
    """`out` with other states; None where there are none."""
    return (new, *out[1:]) if new is not None and isinstance(out, tuple) else new
