"""What must stay: the edited model answers as the unedited one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.passes.images.schemes.ask import Ask


@dataclass(frozen=True)
class StayAtPrompts:
    """mean |v - v_before|^2 at preserved prompts. Some are replaced by the empty prompt, which guidance asks too."""

    empty: float = 0.2
    """The share of latents that are asked with the empty prompt."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        import torch

        plain = torch.arange(len(ask.index)) >= round(self.empty * len(ask.index))
        mask = plain[:, None, None]
        rows = torch.where(mask, ask.told("own", ask.index), ask.told("empty", ask.index))
        before = torch.where(mask[..., None], ask.frozen(), ask.frozen("empty"))
        return (ask.edited_for(rows) - before).square().mean()


@dataclass(frozen=True)
class StayAtEmpty:
    """mean |v - v_before|^2 at a pool's latents, told of the empty prompt: guidance leads away from the same answer."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        return (ask.edited("empty") - ask.frozen("empty")).square().mean()


@dataclass(frozen=True)
class StayAtTarget:
    """mean |v - v_before|^2 at a pool's latents, told of the target's sentence."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries."""
        return (ask.edited("target") - ask.frozen("target")).square().mean()


@dataclass(frozen=True)
class StayAtRandom:
    """Latent anchoring (SPM, Lyu et al., CVPR 2024, arXiv 2312.16145): mean |v - v_before|^2 for random rows.

    Each latent is told of rows in a Gaussian direction, 0.8 to 1.2 times as long as the concept's, and counts with the
    weight 1 - cos between both, where SPM draws with that probability.
    """

    def loss(self, ask: Ask) -> Any:
        """The weighted mean over the latents and their entries."""
        import torch

        own = ask.pool.told("own", ask.index)
        noise = torch.randn(own.shape, generator=ask.generator)
        scale = 0.8 + 0.4 * torch.rand(len(own), 1, 1, generator=ask.generator)
        sizes = own.flatten(1).norm(dim=1), noise.flatten(1).norm(dim=1)
        rows = noise * scale * (sizes[0] / sizes[1])[:, None, None]
        weight = 1 - (own * noise).flatten(1).sum(1) / (sizes[0] * sizes[1])
        moved = (ask.edited_for(rows) - ask.frozen_for(rows)).flatten(1).square().mean(1)
        return (weight * moved).mean()


@dataclass(frozen=True)
class StayAtOthers:
    """mean |v - v_before|^2 at the concept's own latents, told of other names: what keeps the neighbours."""

    def loss(self, ask: Ask) -> Any:
        """The mean over the latents and their entries. The latents take the other names in turn."""
        import torch

        names = ask.pool.others
        which = [names[(int(i) + step) % len(names)] for step, i in enumerate(ask.index)]
        before = torch.stack([ask.frozen_at(name, one) for name, one in zip(which, ask.index, strict=True)])
        return (ask.edited_for(ask.told_each(which, ask.index)) - before).square().mean()
