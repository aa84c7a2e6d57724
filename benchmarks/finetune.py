"""A delta built for the demo model, applied to a fine-tune of it: `python -m benchmarks.finetune [--steps 150]`.

The UNet is trained further on pictures of wider placement, the text encoder kept; then the delta is applied with
`--allow-finetune`, which recomputes the edit from the fine-tune's own weights, and both are painted and judged.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import world
from benchmarks.objects import HEAD, Lab, open_lab
from editc import api
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.demo.captions import caption
from editc.demo.data import make_images, to_tensor
from editc.demo.networks import load_pipeline
from editc.demo.tokens import LENGTH
from editc.demo.vae import encode
from editc.demo.world import OBJECTS
from editc.formats.models.model import open_model


def tune(folder: Path, steps: int, batch: int = 32, rate: float = 2e-4, seed: int = 3) -> None:
    """A copy of the demo model in `folder`, its UNet trained `steps` further on 3,000 new pictures."""
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    for _ in walk([steps], batch, rate, seed, folder):
        pass


def walk(
    steps: Sequence[int],
    batch: int = 32,
    rate: float = 2e-4,
    seed: int = 3,
    save: Path | None = None,
    count: int = 3000,
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """(step, the UNet's parameters in half precision) after each number of `steps` of one fine-tune on `count` new
    pictures; the last one is written into the pipeline folder `save`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pipeline = load_pipeline(MODEL)
    unet, alphas = pipeline.unet.train(), pipeline.scheduler.alphas_cumprod
    pictures = make_images(count, seed=77, spread=0.7)
    with torch.no_grad():
        mean, deviation = encode(pipeline.vae, to_tensor(pictures.images))
    optimizer = torch.optim.AdamW(unet.parameters(), lr=rate)
    for step in range(1, max(steps) + 1):
        chosen = torch.randint(len(mean), (batch,))
        texts = ["" if rng.random() < 0.1 else caption(pictures.scenes[int(i)], rng) for i in chosen]
        loss = _loss(
            pipeline, unet, alphas, mean[chosen] + deviation[chosen] * torch.randn(batch, *mean.shape[1:]), texts
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in steps:
            yield step, {name: value.detach().half() for name, value in unet.named_parameters()}
    if save is not None:
        unet.half().save_pretrained(save / "unet")


def _loss(pipeline: Any, unet: Any, alphas: Any, clean: torch.Tensor, texts: list[str]) -> Any:
    times = torch.randint(0, len(alphas), (len(clean),))
    signal, level = alphas[times].sqrt()[:, None, None, None], (1 - alphas[times]).sqrt()[:, None, None, None]
    noise = torch.randn_like(clean)
    tokens = pipeline.tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = pipeline.text_encoder(tokens.input_ids)[0]
    guess = unet(signal * clean + level * noise, times, states).sample
    return functional.mse_loss(guess, signal * noise - level * clean)


def distance(one: Path, other: Path) -> float:
    """|W' - W| / |W| over every cross-attention K and V of two pipeline folders."""
    a, b = (open_model(folder).component("unet") for folder in (one, other))
    names = [name for name in a.names() if ".attn2.to_k" in name or ".attn2.to_v" in name]
    moved = sum(float(np.sum((a.read(name) - b.read(name)) ** 2)) for name in names)
    return float(np.sqrt(moved / sum(float(np.sum(a.read(name) ** 2)) for name in names)))


def row(name: str, lab: Lab, concept: str, count: int, each: int) -> str:
    """One line: how often the concept appears, plain and by other names, and the rest that is right."""

    def share(names: tuple[str, ...], seed: int) -> float:
        captions = world.naming(concept, names, count, seed)
        found = world.seen(lab.detector, lab.paint(captions, seed, None))["object"]
        return float(np.mean([one == concept for one in found]))

    rest = world.others(each, 900, (concept,))
    kept = world.judge(lab.detector, rest, lab.paint(rest, 90_000, None)).rates
    figures = " | ".join(f"{kept[attribute]:.3f}" for attribute in world.ATTRIBUTES)
    return f"| {name:<32} | {share((concept,), 1000):.3f} | {share(OBJECTS[concept], 2000):.3f} | {figures} |"


def main() -> None:
    """Fine-tune, build, apply, paint, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Apply a delta to a fine-tune of the demo model.")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--concept", default="circle")
    parser.add_argument("--to", default="square")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--each", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tune(folder / "tuned", given.steps)
        text = HEAD.format(model="editc:demo", concept=given.concept) + f"    to: {given.to}\n"
        (folder / "m.yaml").write_text(text)
        api.build(folder / "m.yaml", folder / "out")
        delta = folder / "out" / api.DELTA
        try:
            api.apply([delta], str(folder / "tuned"), out=folder / "no")
        except EditcError as error:
            print(f"without --allow-finetune: {error.diagnostics[0].code} {error.diagnostics[0].message}\n")
        api.apply([delta], str(folder / "tuned"), out=folder / "edited", allow_finetune=True)
        print(f"K and V of the fine-tune are {distance(MODEL, folder / 'tuned'):.1%} from the base's\n")
        print(
            "| model | plain | other names | other objects | colour | background | style |\n"
            "|---|---|---|---|---|---|---|"
        )
        for name, model in {"fine-tune": "tuned", "fine-tune with the delta": "edited"}.items():
            print(row(name, open_lab(str(folder / model)), given.concept, given.count, given.each), flush=True)


if __name__ == "__main__":
    main()
