"""Context managers that observe a model's modules or change its parameters, and undo that at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from operator import itemgetter
from threading import get_ident
from typing import Any

import numpy as np

from editc.core.delta import Array


class EnoughError(Exception):
    """Ends a run early: everything that was asked for has been seen."""


@dataclass(frozen=True)
class Expert:
    """One expert of a layer. transformers stacks the experts in one module, which gets the states of all tokens and,
    for each, the experts that the router chose with their weights."""

    stack: Any
    """The module of the layer's experts, as in Mixtral and Qwen 3: `gate_up_proj` (experts, 2 d_in, d), `down_proj`
    (experts, d, d_in)."""
    number: int
    """Which expert of it."""

    def keys(self, given: tuple[Any, ...]) -> Any:
        """(tokens, d_in): what the expert's output matrix reads at each token times the router's weight, from the
        arguments of the stack. Zeros at tokens that go to other experts.

        The matrix times this is what the expert adds to the layer's output, so an edit may treat it as a key.
        """
        import torch

        states, chosen, weights = given[:3]
        weight = (weights * (chosen == self.number)).sum(-1)
        gate, up = torch.nn.functional.linear(states, self.stack.gate_up_proj[self.number]).chunk(2, dim=-1)
        inner = self.stack.act_fn(gate) * up
        return torch.where(weight[:, None] != 0, inner * weight[:, None], torch.zeros_like(inner))


@contextmanager
def replace_parameters(parameters: Mapping[str, Any], changed: Mapping[str, Array]) -> Iterator[None]:
    """Within the `with`, the named parameters hold `changed`, in their own shape and dtype. Afterwards they hold the
    same memory as before."""
    import torch

    before = {name: parameters[name].data for name in changed}
    try:
        for name, value in changed.items():
            new = torch.from_numpy(np.ascontiguousarray(value)).to(before[name].dtype)
            parameters[name].data = new.reshape(before[name].shape).to(before[name].device)
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data


@contextmanager
def watch_modules(
    inputs: Mapping[Any, Callable[[Any], None]] = {}, outputs: Mapping[Any, Callable[[Any], Any]] = {}
) -> Iterator[None]:
    """Call a function with the first input of each module in `inputs`, and with the output of each module in `outputs`.
    An Expert in place of a module in `inputs` shows what it reads.

    A value that an output's function returns replaces the output. A function that raises EnoughError ends the run; this
    context manager suppresses the error. Runs in other threads are not watched (see `lockstep`).
    """
    own = get_ident()

    def before(one: Any, show: Callable[[Any], None]) -> Callable[..., None]:
        read = one.keys if isinstance(one, Expert) else itemgetter(0)
        return lambda module, given: show(read(given)) if get_ident() == own else None

    def after(show: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda module, given, out: rewrap_states(out, show(unwrap_states(out))) if get_ident() == own else None

    with ExitStack() as stack:
        for one, show in inputs.items():
            module = one.stack if isinstance(one, Expert) else one
            stack.callback(module.register_forward_pre_hook(before(one, show)).remove)
        for module, show in outputs.items():
            stack.callback(module.register_forward_hook(after(show)).remove)
        with suppress(EnoughError):
            yield


@contextmanager
def split_batch(layers: Mapping[Any, Array]) -> Iterator[None]:
    """Within the `with`, these layers apply their own weights to the first half of a batch and `layers[layer]`, of the
    same shape, to the second half."""
    import torch

    def replace_half(new: Any) -> Callable[..., Any]:
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
            new = new.to(layer.weight.device)
            stack.callback(layer.register_forward_hook(replace_half(new)).remove)
        yield


@contextmanager
def skip_layers(layers: list[Any], state: Any, extra: int = 0) -> Iterator[None]:
    """Within the `with`, these layers do nothing, and the last of them outputs `state` (n, t, d).

    `extra` is the number of values that a layer returns after its states, in a tuple; they become None.
    """
    before = [layer.forward for layer in layers]

    def forward(answer: Any) -> Callable[..., Any]:
        def do_nothing(hidden_states: Any, *rest: Any, **named: Any) -> Any:
            states = hidden_states if answer is None else answer
            return (states, *[None] * extra) if extra else states

        return do_nothing

    try:
        for layer in layers:
            layer.forward = forward(state if layer is layers[-1] else None)
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.forward = own


def unwrap_states(out: Any) -> Any:
    """Return the states of a layer's output, which some layers return as the first of a tuple."""
    return out[0] if isinstance(out, tuple) else out


def rewrap_states(out: Any, new: Any) -> Any:
    """Return `out` with the states `new` in place of its own; None where `new` is None."""
    return (new, *out[1:]) if new is not None and isinstance(out, tuple) else new
