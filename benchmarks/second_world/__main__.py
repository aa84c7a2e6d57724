"""Train the model of the second world and its classifier: `python -m benchmarks.second_world`.

UNet, text encoder and classifier start from nothing. The autoencoder, which no edit touches, starts from the demo's.
Two processes at most, with one thread of torch each, seeded. What is there already is not made again, so that a run
that was stopped goes on with the stage in which it was.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.second_world import FOLDER
from benchmarks.second_world.world import WORLD
from editc.demo import MODEL
from editc.demo.diffusion import Snapshots, train_diffusion
from editc.demo.fit_detector import finish_detector, train_detector
from editc.demo.schedule import DetectorPlan, DiffusionPlan, VaePlan
from editc.demo.vae import load_vae, train_vae

VAE = VaePlan(seed=51, images=5_000, steps=300, rate=6e-4, bfloat16=False)
"""The autoencoder, which reads no text and is not edited: it starts from the demo's and learns finer shapes. Chosen by
hand, as all values here."""
CLASSIFIER = DetectorPlan(seed=52, images=25_000, steps=2_400, finish_images=6_000, finish_steps=400, bfloat16=False)
"""The classifier."""
DIFFUSION = DiffusionPlan(
    seed=53,
    images=3_000,
    steps=9_000,
    minutes=1e9,
    batch=16,
    ema=0.998,
    workers=2,
    snapshot_minutes=10.0,
    spread=0.5,
    text_width=192,
    text_layers=3,
    unet_channels=(64, 96),
    images_per_caption=2,
    bfloat16=False,
)
"""UNet and text encoder, in two processes: 288,000 pictures. The steps end it, not the clock."""


def make_vae(folder: Path) -> None:
    """Train the demo's autoencoder further."""
    train_vae(VAE, folder / "work" / "vae", WORLD, MODEL / "vae")


def make_detector(folder: Path) -> None:
    """Train the classifier, the last steps on what the autoencoder makes of the images."""
    train_detector(CLASSIFIER, folder / "work" / "detector", WORLD)
    finish_detector(
        CLASSIFIER, load_vae(folder / "work" / "vae"), folder / "work" / "detector", folder / "detector", WORLD
    )


def make_model(folder: Path) -> None:
    """Train UNet and text encoder, and put the pipeline where the measurements look for it."""
    train_diffusion(DIFFUSION, folder / "work", Snapshots(folder / "snapshot", folder / "detector"), WORLD)
    shutil.copytree(folder / "work" / DIFFUSION.name, folder / "model", dirs_exist_ok=True)


STAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "vae": ("work/vae/config.json", make_vae),
    "detector": ("detector/labels.json", make_detector),
    "model": ("model/model_index.json", make_model),
}
"""Name -> (a file that is there once the stage is over, the stage), in order."""


def main() -> None:
    """Read the command line and run the stages that are not done."""
    parser = argparse.ArgumentParser(description="Train the model of the second world from nothing.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for everything; outside the repository")
    parser.add_argument("--stage", choices=tuple(STAGES), action="append", help="only these stages")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, (done, run) in STAGES.items():
        if name in (given.stage or STAGES) and not (given.out / done).exists():
            (given.out / "work").mkdir(parents=True, exist_ok=True)
            begin, used = time.monotonic(), time.process_time()
            run(given.out)
            wall, own = (time.monotonic() - begin) / 60, (time.process_time() - used) / 60
            print(f"{name}: {wall:.1f} minutes, {own:.1f} of them in this process", flush=True)


if __name__ == "__main__":
    main()
