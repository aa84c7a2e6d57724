"""Layers of a model that are read from its files when they run, and dropped when another one runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from editc.backends.networks.lockstep import wait_for_others


class TensorFiles:
    """The tensors of a model's safetensors files, by the model's own names, in float32."""

    def __init__(self, places: Mapping[str, tuple[Path, str]]) -> None:
        self.places = places
        """Own name of a parameter -> the file and the name there."""

    def read(self, names: Iterable[str]) -> dict[str, Any]:
        """Read these parameters into memory of their own. No file stays open, so none of its pages stays mapped."""
        import torch
        from safetensors import safe_open

        by_file: dict[Path, list[str]] = {}
        for name in names:
            by_file.setdefault(self.places[name][0], []).append(name)
        found = {}
        with torch.inference_mode(False):
            for path, some in by_file.items():
                with safe_open(path, framework="pt") as opened:
                    for name in some:
                        stored = opened.get_tensor(self.places[name][1])
                        found[name] = stored.to(torch.float32, copy=True)
        return found


class LayerStore:
    """The decoder layers of a model, of which some are in memory: those that are pinned, those that are held, and the
    one that ran last."""

    def __init__(
        self, files: TensorFiles, layers: Sequence[Mapping[str, Any]], pinned: frozenset[int], width: int
    ) -> None:
        self.files = files
        """Where the parameters are read from."""
        self.layers = layers
        """For each layer, its parameters by their own names."""
        self.pinned = pinned
        """The layers that stay in memory once they were read."""
        self.width = width
        """Bytes that a token takes between two layers."""
        self.held: set[int] = set()
        """The layers that stay in memory for now."""
        self.loads = 0
        """How many times a layer was read."""
        self.most = 0
        """How many layers were in memory together at most."""
        self._filled: dict[int, list[Any]] = {}

    def load(self, layer: int) -> None:
        """Have this layer in memory, and of the others those that are pinned or held."""
        import torch

        if layer in self._filled:
            return
        for other in self._filled.keys() - self.pinned - self.held:
            self.drop(other)
        empty = {name: one for name, one in self.layers[layer].items() if is_empty(one)}
        with torch.inference_mode(False):
            for name, value in self.files.read(empty).items():
                empty[name].data = value.to(empty[name].device)
        self._filled[layer] = list(empty.values())
        self.loads += 1
        self.most = max(self.most, len(self._filled))

    def drop(self, layer: int) -> None:
        """Free what `load` read of this layer."""
        for one in self._filled.pop(layer, ()):
            one.data = empty_tensor(one.shape, one.device)

    @contextmanager
    def hold(self, layer: int) -> Iterator[None]:
        """Within the `with`, the layer stays in memory once it was read."""
        self.held.add(layer)
        try:
            yield
        finally:
            self.held.discard(layer)

    @contextmanager
    def replacing(self, names: Iterable[str], replaced: AbstractContextManager[None]) -> Iterator[None]:
        """Within the `with`, these parameters have the values that `replaced` gives them: `load` leaves those alone."""
        layers = [layer for layer, own in enumerate(self.layers) if not own.keys().isdisjoint(names)]
        for layer in layers:
            self.drop(layer)
        try:
            with replaced:
                yield
        finally:
            for layer in layers:
                self.drop(layer)

    def attach(self, blocks: Sequence[Any]) -> None:
        """Make each block read its layer before it runs."""
        for layer, block in enumerate(blocks):
            block.forward = self._reading(layer, block.forward)

    def _reading(self, layer: int, own: Callable[..., Any]) -> Callable[..., Any]:
        """The block's `forward`, which reads the layer first. Where a gradient is asked for and the layer is not held,
        it runs again for the backward pass, so that the graph keeps no weights."""
        import torch
        from torch.utils.checkpoint import checkpoint

        def forward(hidden_states: Any, *given: Any, **named: Any) -> Any:
            wait_for_others()
            self.load(layer)
            if layer in self.held or not (torch.is_grad_enabled() and hidden_states.requires_grad):
                return own(hidden_states, *given, **named)
            again = self._again(layer, own, (*given, *named.values()))
            return checkpoint(again, hidden_states, *given, use_reentrant=False, preserve_rng_state=False, **named)

        return forward

    def _again(self, layer: int, own: Callable[..., Any], given: Iterable[Any]) -> Callable[..., Any]:
        """The block's `forward`, which may run twice: each time it finds the cache of the layer as it was at first."""
        from transformers.cache_utils import Cache

        caches = [one for one in given if isinstance(one, Cache) and layer < len(one.layers)]
        before = [copy.copy(one.layers[layer]) for one in caches]

        def forward(*given: Any, **named: Any) -> Any:
            self.load(layer)
            for cache, state in zip(caches, before, strict=True):
                cache.layers[layer] = copy.copy(state)
            return own(*given, **named)

        return forward


def empty_tensor(shape: Sequence[int], device: Any) -> Any:
    """A tensor of this shape on a device. It takes 4 bytes: one NaN, so that a layer that was not read cannot go
    unseen."""
    import torch

    with torch.inference_mode(False):
        return torch.full((), float("nan"), device=device).expand(tuple(shape))


def is_empty(parameter: Any) -> bool:
    """True where a parameter holds an `empty_tensor`."""
    return not any(parameter.stride())
