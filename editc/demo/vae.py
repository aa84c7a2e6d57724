"""The autoencoder of the demo model. It maps images of 32 x 32 pixels to latents of 8 x 8 with 4 channels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from editc.demo.data import DEMO, World, make_images, to_tensor
from editc.demo.schedule import VaePlan, warmup_cosine

CHANNELS = (32, 64, 64)
"""Channels at the three levels of the autoencoder. Chosen by hand."""


def make_vae() -> Any:
    """Return an untrained AutoencoderKL that shrinks an image by a factor of four."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=32,
        mid_block_add_attention=False,
    )


def load_vae(folder: Path) -> Any:
    """Load the AutoencoderKL from `folder` in float32, ready for use."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(str(folder), low_cpu_mem_usage=False).float().eval()


def train_vae(plan: VaePlan, folder: Path, world: World = DEMO, start: Path | None = None) -> None:
    """Train the autoencoder, and save it with the scaling factor that gives its latents a standard deviation of 1.

    `start` is the folder of the autoencoder that it starts from; None: untrained weights.
    """
    torch.manual_seed(plan.seed)
    images = to_tensor(make_images(plan.images, plan.seed, world=world).images)
    vae = make_vae() if start is None else load_vae(start).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=plan.rate, weight_decay=1e-4, betas=(0.9, 0.98))
    begin = time.monotonic()
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * warmup_cosine(step, plan.steps, 200)
        batch = images[torch.randint(len(images), (plan.batch,))]
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            loss = reconstruction_loss(vae, batch, plan.divergence)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0:
            print(f"vae {step}/{plan.steps} loss {loss.item():.4f} {time.monotonic() - begin:.0f}s", flush=True)
    vae.eval()
    with torch.no_grad():
        latents = vae.encode(images[:2000]).latent_dist.sample()
    vae.register_to_config(scaling_factor=round(1.0 / latents.std().item(), 5))
    vae.save_pretrained(str(folder))


def reconstruction_loss(vae: Any, batch: torch.Tensor, divergence: float) -> torch.Tensor:
    """Return the loss of reconstructing `batch` (n, 3, 32, 32).

    It is L1 + 2 L2 + 0.5 L1 of the differences between neighbouring pixels + divergence * KL per latent number. The
    weights are chosen by hand.
    """
    posterior = vae.encode(batch).latent_dist
    out: torch.Tensor = vae.decode(posterior.sample()).sample.float()
    edges = functional.l1_loss(out.diff(dim=2), batch.diff(dim=2)) + functional.l1_loss(
        out.diff(dim=3), batch.diff(dim=3)
    )
    kl: torch.Tensor = posterior.kl().float().mean() / posterior.mean[0].numel()
    error = functional.l1_loss(out, batch) + 2.0 * functional.mse_loss(out, batch)
    return error + 0.5 * edges + divergence * kl


@torch.no_grad()
def encode(vae: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scaled means and standard deviations of the latents, (n, 4, 8, 8) each, of images (n, 3, 32, 32)."""
    parts = [vae.encode(chunk).latent_dist for chunk in torch.split(images, 250)]
    scale = vae.config.scaling_factor
    return torch.cat([p.mean for p in parts]) * scale, torch.cat([p.std for p in parts]) * scale


@torch.no_grad()
def reconstruct(vae: Any, images: torch.Tensor) -> torch.Tensor:
    """Return images (n, 3, 32, 32) encoded and decoded again, in the same shape."""
    return torch.cat([vae.decode(vae.encode(chunk).latent_dist.sample()).sample for chunk in torch.split(images, 250)])
