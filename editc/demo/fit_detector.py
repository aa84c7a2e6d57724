"""Train the classifier on rendered images that are blurred, noised, tinted, and passed through the autoencoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from editc.demo.data import DEMO, LabelledImages, World, label_numbers, make_images, to_tensor
from editc.demo.detector import ClassifierNetwork, DemoDetector, load, make_network
from editc.demo.schedule import DetectorPlan, warmup_cosine
from editc.demo.vae import reconstruct
from editc.demo.world import NOTHING, OWN, RGB, SIZE, Scene

SMUDGE_SHARE = 0.05
"""The share of training images that show a shapeless smudge, labelled as nothing. Chosen by hand."""


def train_detector(plan: DetectorPlan, folder: Path, world: World = DEMO) -> None:
    """Train a new classifier on augmented renders and save it into `folder`."""
    torch.manual_seed(plan.seed)
    images, labels = _training_set(plan, plan.images, world)
    network = make_network(world.labels)
    _fit(network, images, labels, plan.steps, plan.rate, plan)
    DemoDetector(network, world.labels).save(folder)


def finish_detector(plan: DetectorPlan, vae: Any, folder: Path, out: Path, world: World = DEMO) -> None:
    """Train the classifier in `folder` further and save it into `out`.

    Half of the images are reconstructed by the autoencoder.
    """
    torch.manual_seed(plan.seed + 1)
    images, labels = _training_set(plan, plan.finish_images, world)
    images, labels = torch.cat([images, reconstruct(vae, images).float().clamp(-1, 1)]), torch.cat([labels, labels])
    network = load(folder).network
    _fit(network, images, labels, plan.finish_steps, plan.finish_rate, plan)
    DemoDetector(network, world.labels).save(out)


def augment(batch: torch.Tensor) -> torch.Tensor:
    """Return images (n, 3, 32, 32) with slight changes of tint and brightness, and with noise.

    A third of them are blurred.
    """
    count = len(batch)
    gain = 1.0 + 0.06 * torch.randn(count, 3, 1, 1)
    out = batch * gain + 0.05 * torch.randn(count, 3, 1, 1)
    blurred = functional.avg_pool2d(functional.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = torch.where(torch.rand(count) < 0.33, torch.rand(count) * 0.8, torch.zeros(count))[:, None, None, None]
    out = out + amount * (blurred - out)
    return out + 0.12 * torch.rand(count, 1, 1, 1) * torch.randn_like(out)


def draw_smudge(rng: np.random.Generator, world: World = DEMO) -> npt.NDArray[np.uint8]:
    """Return an image (32, 32, 3) of no object: a ragged blob or scattered strokes on a background."""
    scene = Scene(NOTHING, OWN, _pick(rng, world.labels["background"]), "flat")
    image = Image.fromarray(world.render(scene, rng, 1.0))
    pen = ImageDraw.Draw(image)
    ink = tuple(int(c) for c in RGB[_pick(rng, tuple(RGB))])
    if rng.random() < 0.5:
        turn = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        radius = rng.uniform(1.0, 11.0, size=9)
        middle = rng.uniform(10, 22, size=2)
        pen.polygon(
            [(middle[0] + r * np.cos(t), middle[1] + r * np.sin(t)) for r, t in zip(radius, turn, strict=True)],
            fill=ink,
        )
    else:
        for _ in range(int(rng.integers(1, 6))):
            x, y = rng.uniform(2, SIZE - 2, size=2)
            dx, dy = rng.uniform(-7, 7, size=2)
            pen.line([(x, y), (x + dx, y + dy)], fill=ink, width=int(rng.integers(1, 4)))
    return np.asarray(image)


def attribute_loss(network: ClassifierNetwork, batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of images (n, 3, 32, 32), summed over the attributes; `labels` is (n, attributes).

    The style of an image of nothing, which is the last class of the objects, does not count.
    """
    logits = network(batch)
    total = torch.zeros(())
    bare = labels[:, 0] == logits["object"].shape[1] - 1
    for column, name in enumerate(logits):
        target = labels[:, column].masked_fill(bare, -100) if name == "style" else labels[:, column]
        total = total + functional.cross_entropy(logits[name], target, label_smoothing=0.02)
    return total


def _training_set(plan: DetectorPlan, count: int, world: World) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (n, 3, 32, 32) and class numbers (n, attributes), smudges included."""
    samples: LabelledImages = make_images(count, plan.seed, nothing_share=0.06, spread=plan.spread, world=world)
    labels = label_numbers(samples.scenes, world)
    smudge = [world.labels["object"].index(NOTHING), world.labels["colour"].index(OWN), -100, 0, 0]
    rng = np.random.default_rng(plan.seed)
    for i in range(int(count * SMUDGE_SHARE)):
        samples.images[i] = draw_smudge(rng, world)
        labels[i] = smudge[: labels.shape[1]]
    return to_tensor(samples.images), torch.from_numpy(labels)


def _fit(
    network: ClassifierNetwork,
    images: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    rate: float,
    plan: DetectorPlan,
) -> None:
    """Train the network for `steps` steps on random batches."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    begin = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * warmup_cosine(step, steps, 100)
        chosen = torch.randint(len(images), (plan.batch,))
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            loss = attribute_loss(network, augment(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0:
            print(f"detector {step}/{steps} loss {loss.item():.4f} {time.monotonic() - begin:.0f}s", flush=True)


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    """Return one of `names`, each equally likely."""
    return names[int(rng.integers(len(names)))]
