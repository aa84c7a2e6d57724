"""Train UNet and text encoder on latents that are computed once, with a few processes that average their gradients."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional

from editc.demo.data import DEMO, World, make_images, to_tensor
from editc.demo.networks import (
    load_pipeline,
    make_scheduler,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    save_pipeline,
)
from editc.demo.schedule import DiffusionPlan, warmup_cosine
from editc.demo.tokens import LENGTH
from editc.demo.vae import encode, load_vae
from editc.demo.world import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Latents:
    """The latents of training images, computed once."""

    mean: torch.Tensor
    """(n, 4, 8, 8), scaled means."""
    deviation: torch.Tensor
    """(n, 4, 8, 8), scaled standard deviations."""
    scenes: tuple[Scene, ...]
    """The scene of each image, n of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """The networks that are trained, with what their training needs."""

    unet: Any
    """The UNet2DConditionModel in training."""
    text: Any
    """The CLIPTextModel in training."""
    tokenizer: Any
    """The tokenizer of the captions."""
    average: tuple[Any, Any]
    """Copies of UNet and text encoder with the running average of their weights. These are saved at the end."""
    optimizer: Any
    """The AdamW optimizer of `parameters`."""
    parameters: tuple[torch.Tensor, ...]
    """All parameters of both networks."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Where complete copies of a model go while it is trained."""

    folder: Path
    """The folder for the copies. Each overwrites the one before."""
    detector: Path
    """The folder of the trained classifier, which is copied along."""


def train_diffusion(plan: DiffusionPlan, work: Path, snapshots: Snapshots | None = None, world: World = DEMO) -> None:
    """Train one stage with the autoencoder `work`/vae, and save the averaged weights as `work`/`plan.name`."""
    from torch.multiprocessing.spawn import spawn

    (work / "meeting").unlink(missing_ok=True)
    spawn(_run_process, args=(plan, work, snapshots, world), nprocs=plan.workers)


def _run_process(rank: int, plan: DiffusionPlan, work: Path, snapshots: Snapshots | None, world: World) -> None:
    """Train in process number `rank`; process 0 saves the result."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{work / 'meeting'}", rank=rank, world_size=plan.workers)
    vae = load_vae(work / "vae")
    latents = _cache_latents(plan, vae, rank, world)
    torch.manual_seed(plan.seed)
    start = work / plan.starts_from if plan.starts_from else None
    learner = _make_learner(plan, make_tokenizer(work / f"tokenizer{rank}", world.words), start)
    torch.manual_seed(plan.seed + 1 + rank)
    _train(plan, learner, latents, vae, rank, snapshots, world)
    if rank == 0:
        save_pipeline(work / plan.name, *learner.average, vae, world.words)
    dist.destroy_process_group()


def _cache_latents(plan: DiffusionPlan, vae: Any, rank: int, world: World) -> Latents:
    """Compute the latents of this process's own images."""
    samples = make_images(plan.images, seed=1000 * plan.seed + rank, spread=plan.spread, world=world)
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
        mean, deviation = encode(vae, to_tensor(samples.images))
    return Latents(mean.float(), deviation.float(), samples.scenes)


def _make_learner(plan: DiffusionPlan, tokenizer: Any, start: Path | None) -> Learner:
    """Build the networks, from the weights of an earlier stage in `start` if there is one, and their optimizer."""
    unet = make_unet(plan.text_width, plan.unet_channels)
    text = make_text_encoder(tokenizer, plan.text_width, plan.text_layers)
    if start is not None:
        earlier = load_pipeline(start)
        unet.load_state_dict(earlier.unet.state_dict())
        text.load_state_dict(earlier.text_encoder.state_dict())
    average = (copy.deepcopy(unet).requires_grad_(False), copy.deepcopy(text).requires_grad_(False))
    parameters = (*unet.parameters(), *text.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    return Learner(unet, text, tokenizer, average, optimizer, parameters)


def _train(
    plan: DiffusionPlan,
    learner: Learner,
    latents: Latents,
    vae: Any,
    rank: int,
    snapshots: Snapshots | None,
    world: World,
) -> None:
    """Train until the steps or the minutes of the plan are over. The learning rate follows whichever is further on."""
    rng = np.random.default_rng(plan.seed + 100 + rank)
    alphas = make_scheduler().alphas_cumprod
    begin, saved, running, progress, step = time.monotonic(), 0.0, 0.0, 0.0, 0
    while progress < plan.stop:
        minutes = (time.monotonic() - begin) / 60
        progress = _share_progress(max(step / plan.steps, minutes / plan.minutes))
        for group in learner.optimizer.param_groups:
            group["lr"] = (
                plan.rate * min(1.0, (step + 1) / plan.warmup) * warmup_cosine(int(progress * 10_000), 10_000, 0)
            )
        loss = _loss(plan, learner, latents, alphas, lambda scene: _caption(plan, scene, rng, world))
        loss.backward()
        _average_gradients(learner.parameters)
        torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        _update_average(learner, min(plan.ema, (step + 1) / (step + 10)))
        running, step = 0.98 * running + 0.02 * loss.item(), step + 1
        if rank == 0 and step % 100 == 0:
            print(
                f"diffusion {step} loss {running / (1 - 0.98**step):.4f} {minutes:.1f} min, {progress:.1%}", flush=True
            )
        if rank == 0 and snapshots is not None and minutes - saved > plan.snapshot_minutes:
            saved = minutes
            _snapshot(snapshots, learner, vae, world)


def _loss(
    plan: DiffusionPlan,
    learner: Learner,
    latents: Latents,
    alphas: torch.Tensor,
    caption: Callable[[Scene], str],
) -> torch.Tensor:
    """Return the v-prediction error of a random batch, weighted by noise level.

    As an error of the image, its weight is min(SNR + 1, limit), in the way of min-SNR weighting. A step of pure noise
    counts in full. `alphas` (steps,) are the scheduler's cumulative products.
    """
    described = torch.randint(len(latents.scenes), (plan.batch // plan.images_per_caption,))
    chosen = described.repeat_interleave(plan.images_per_caption)
    clean = latents.mean[chosen] + latents.deviation[chosen] * torch.randn(plan.batch, *latents.mean.shape[1:])
    times = torch.randint(0, len(alphas), (plan.batch,))
    signal, noise_level = alphas[times].sqrt()[:, None, None, None], (1 - alphas[times]).sqrt()[:, None, None, None]
    noise = torch.randn_like(clean)
    tokens = _encode_captions(learner.tokenizer, [caption(latents.scenes[int(i)]) for i in described])
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
        states = learner.text(tokens).last_hidden_state.repeat_interleave(plan.images_per_caption, dim=0)
        guess = learner.unet(signal * clean + noise_level * noise, times, states).sample
    error = functional.mse_loss(guess.float(), signal * noise - noise_level * clean, reduction="none").mean(
        dim=(1, 2, 3)
    )
    ratio = alphas[times] / (1 - alphas[times])
    return (error * (plan.snr_limit / (ratio + 1)).clamp(max=1.0)).mean()


def _caption(plan: DiffusionPlan, scene: Scene, rng: np.random.Generator, world: World) -> str:
    """Return a random caption of the scene; a share of the captions is left empty."""
    return "" if rng.random() < plan.caption_dropout else world.caption(scene, rng)


def _encode_captions(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Return the token ids (n, 32) of captions."""
    encoded = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def _share_progress(progress: float) -> float:
    """Return the largest progress of all processes, so that all of them stop at the same step."""
    shared = torch.tensor([progress], dtype=torch.float64)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return float(shared)


def _average_gradients(parameters: tuple[torch.Tensor, ...]) -> None:
    """Average the gradients over all processes, by one sum over one flat buffer."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


@torch.no_grad()
def _update_average(learner: Learner, decay: float) -> None:
    """Move the running average of the weights toward the present weights, by 1 - `decay` of the distance."""
    slow = [p for module in learner.average for p in module.parameters()]
    torch._foreach_lerp_(slow, list(learner.parameters), 1 - decay)


def _snapshot(snapshots: Snapshots, learner: Learner, vae: Any, world: World) -> None:
    """Save a complete copy of the present model, for whoever wants to look at it during training."""
    save_pipeline(snapshots.folder / "model", *learner.average, vae, world.words)
    shutil.copytree(snapshots.detector, snapshots.folder / "detector", dirs_exist_ok=True)
