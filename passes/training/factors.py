"""The low-rank factors that training changes: W + up down beside each layer, switched on and off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from editc.core.delta import Array, Site
from editc.core.family import TEXT_ENCODER
from editc.numerics.bits.dtypes import round_to


class Layered(Protocol):
    """A model whose layers can be hooked."""

    def layer(self, name: str) -> Any:
        """The module whose weight a parameter is."""


@dataclass(eq=False)
class Factors:
    """One pair of factors for each site. `on` decides whether the layers see them."""

    pairs: Mapping[str, tuple[Any, Any]]
    """Parameter name -> down (r, d_in) and up (d_out, r), both with gradients. up is 0 at first."""
    fixed: Mapping[str, tuple[Any, Any]]
    """Parameter name -> down and up of the edit that the training starts from, which stays as it is. Empty: none."""
    free: Mapping[str, Any]
    """Parameter name -> projector (d_in, d_in) of the inputs that its factors may see. A site that is missing sees all
    of its input."""
    encodes: bool = False
    """True where some lie in the text encoder: then rows depend on them."""
    on: bool = False
    """True: the layers answer with the factors."""
    common: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Parameter name -> orthonormal bases (d_in, k) and (d_out, l) that the gradients of its factors lack: of what the
    site reads, and of what comes back to it. What layers answer is the same. Empty: nothing lacks."""

    @property
    def parameters(self) -> list[Any]:
        """Every factor, in the order of the sites, down before up."""
        return [one for pair in self.pairs.values() for one in pair]

    def left(self, name: str) -> Array:
        """(d_out, r): the left factor of a site."""
        return np.asarray(self.pairs[name][1].detach().cpu().double().numpy())

    def right(self, name: str) -> Array:
        """(r, d_in): the right factor of a site, with the projector multiplied in."""
        down = np.asarray(self.pairs[name][0].detach().cpu().double().numpy())
        return down @ self.free[name].cpu().double().numpy() if name in self.free else down

    def written(self, network: Any) -> dict[str, Array]:
        """Parameter name -> the weights (d_out, d_in) with the factors added, of every site, in float64."""
        found: dict[str, Array] = {}
        for name in dict.fromkeys([*self.pairs, *self.fixed]):
            weight = np.asarray(network.get_parameter(name).detach().cpu().double().numpy())
            found[name] = weight.reshape(len(weight), -1).copy()
            if name in self.fixed:
                down, up = (one.cpu().double().numpy() for one in self.fixed[name])
                found[name] += up @ down
            if name in self.pairs:
                found[name] += self.left(name) @ self.right(name)
        return found

    def rounded(self, name: str) -> tuple[Array, Array]:
        """The left factor (d_out, r) and the right one (r, d_in) of a site, rounded to half precision.

        A power of two first gives each pair of a column and a row the same largest entry, which changes no product and
        keeps small numbers from being rounded away. The right factor of a site with a projector is not rounded: its
        rows would leave the projector's range.
        """
        left, right = self.left(name), self.right(name)
        sizes = np.abs(left).max(0), np.abs(right).max(1)
        known = (sizes[0] > 0) & (sizes[1] > 0)
        ratio = np.divide(sizes[1], sizes[0], where=known, out=np.ones(len(right)))
        scale = np.exp2(np.round(np.log2(ratio) / 2))
        left, right = left * scale, right / scale[:, None]
        return round_to(left, "F16"), right if name in self.free else round_to(right, "F16")

    @contextmanager
    def shifted(self, by: Mapping[str, tuple[Any, Any]], on: AbstractContextManager[None]) -> Iterator[None]:
        """Within the context `on`, the factors plus `by`: parameter name -> what is added to down and up. Gradients
        reach the factors."""
        before = self.pairs
        self.pairs = {
            name: (down + by[name][0], up + by[name][1]) if name in by else (down, up)
            for name, (down, up) in before.items()
        }
        try:
            with on:
                yield
        finally:
            self.pairs = before

    @contextmanager
    def collapsed(self, common: Mapping[str, tuple[Any, Any]], on: AbstractContextManager[None]) -> Iterator[None]:
        """Within the context `on`, with these bases as `common`."""
        before, self.common = self.common, common
        try:
            with on:
                yield
        finally:
            self.common = before

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """The factors on, or off, for as long as the context is open."""
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before


@contextmanager
def attach_factors(
    model: Layered,
    sites: Sequence[Site],
    rank: int,
    seed: int,
    start: Mapping[str, tuple[Array, Array]] | None = None,
    free: Mapping[str, Array] | None = None,
) -> Iterator[Factors]:
    """The model with factors of `rank` beside each site's layer; without them afterwards.

    `start` maps parameter names to factors (d_out, s) and (s, d_in) of an edit to start from. `free` maps parameter
    names to projectors (d_in, d_in): what lies outside moves no output of the site.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    found: dict[str, tuple[Any, Any]] = {}
    for site in sites:
        outputs, inputs = site.shape
        down = torch.randn(rank, inputs, generator=generator) / inputs**0.5
        pair = torch.nn.Parameter(down), torch.nn.Parameter(torch.zeros(outputs, rank))
        found[site.name] = pair

    def stored(array: Array) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array)).float()

    fixed = {name: (stored(right), stored(left)) for name, (left, right) in (start or {}).items()}
    encodes = any(site.component == TEXT_ENCODER for site in sites)
    factors = Factors(found, fixed, {name: stored(one) for name, one in (free or {}).items()}, encodes)
    hooks = [_hook(model, factors, name) for name in dict.fromkeys([*found, *fixed])]
    try:
        yield factors
    finally:
        for hook in hooks:
            hook.remove()


def _hook(model: Layered, factors: Factors, name: str) -> Any:
    """Hook the layer of a parameter; returns the handle that removes it."""
    module = model.layer(name)
    through = _through_convolution if hasattr(module, "kernel_size") else _through
    return module.register_forward_hook(partial(_add, factors, name, through))


def _add(factors: Factors, name: str, through: Callable[..., Any], module: Any, given: Any, made: Any) -> Any:
    """Add up down x to what a layer made of x, for the factors that stay and for those that are trained."""
    if not factors.on:
        return made
    if name in factors.fixed:
        made = made + through(module, given[0], *factors.fixed[name])
    if name in factors.pairs:
        seen = given[0] @ factors.free[name].to(given[0]).T if name in factors.free else given[0]
        if name in factors.common:
            return made + _without(seen, *factors.pairs[name], *factors.common[name])
        made = made + through(module, seen, *factors.pairs[name])
    return made


def _through(module: Any, seen: Any, down: Any, up: Any) -> Any:
    """up down x for a linear layer, on the device and in the dtype of x."""
    return (seen @ down.to(seen).T) @ up.to(seen).T


def _without(seen: Any, down: Any, up: Any, read: Any, back: Any) -> Any:
    """up down x for a linear layer. Its gradients for down and up are those of x and of what comes back without their
    parts in the bases `read` and `back`; that for x is the usual one."""
    import torch

    class Product(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, seen: Any, down: Any, up: Any) -> Any:
            ctx.save_for_backward(seen, down, up)
            return (seen @ down.T) @ up.T

        @staticmethod
        def backward(ctx: Any, above: Any) -> Any:
            seen, down, up = ctx.saved_tensors
            x, g = seen.reshape(-1, seen.shape[-1]), above.reshape(-1, above.shape[-1])
            x, g = x - (x @ read.to(x)) @ read.to(x).T, g - (g @ back.to(g)) @ back.to(g).T
            return (above @ up) @ down, (g @ up).T @ x, g.T @ (x @ down.T)

    return Product.apply(seen, down.to(seen), up.to(seen))


def _through_convolution(module: Any, seen: Any, down: Any, up: Any) -> Any:
    """The same for a convolution: down is a convolution of its kernel, up one of a single pixel."""
    from torch.nn import functional

    kernel, up = down.view(len(down), *module.weight.shape[1:]).to(seen), up.to(seen)
    middle = functional.conv2d(seen, kernel, None, module.stride, module.padding, module.dilation, module.groups)
    return functional.conv2d(middle, up[:, :, None, None])
