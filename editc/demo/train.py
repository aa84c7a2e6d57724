"""Train the demo model from nothing: `python -m editc.demo.train [--out FOLDER] [--stage STAGE]`."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp

from editc.demo import DETECTOR, MODEL
from editc.demo.captions import caption
from editc.demo.contexts import CONTEXTS
from editc.demo.diffusion import Snapshots, train_diffusion
from editc.demo.fit_detector import finish_detector, train_detector
from editc.demo.schedule import DIFFUSION_STAGES, DetectorPlan, VaePlan
from editc.demo.vae import load_vae, train_vae
from editc.demo.world import draw_scene

WORK = Path("/tmp/demo_train")
"""Where a stage leaves what later stages need, so that each stage can be run alone."""


def main() -> None:
    """Read the command line and run the stages."""
    parser = argparse.ArgumentParser(description="Train the demo model from nothing.")
    parser.add_argument("--out", type=Path, default=MODEL.parent, help="folder that receives model/ and detector/")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for what passes between the stages")
    parser.add_argument("--stage", choices=["vae", "detector", "diffusion", "steady", "all"], default="all")
    parser.add_argument("--snapshots", type=Path, default=None, help="folder for complete copies during training")
    given = parser.parse_args()
    begin = time.monotonic()
    run(given.stage, given.work, given.out, given.snapshots)
    print(f"{given.stage}: {(time.monotonic() - begin) / 60:.1f} minutes", flush=True)


def run(stage: str, work: Path, out: Path, snapshots: Path | None = None) -> None:
    """Run one stage or all: autoencoder and classifier side by side, the end of the classifier, the diffusion model."""
    work.mkdir(parents=True, exist_ok=True)
    starts: dict[str, Callable[[Path], None]] = {"vae": _vae, "detector": _detector}
    chosen = [start for name, start in starts.items() if stage in (name, "all")]
    _side_by_side(chosen, work)
    if stage in ("detector", "all"):
        finish_detector(DetectorPlan(), load_vae(work / "vae"), work / "detector", out / DETECTOR.name)
    if stage in ("diffusion", "steady", "all"):
        shown = None if snapshots is None else Snapshots(snapshots, out / DETECTOR.name)
        for plan in DIFFUSION_STAGES[-1:] if stage == "steady" else DIFFUSION_STAGES:
            train_diffusion(plan, work, shown)
        shutil.copytree(work / "model", out / MODEL.name, dirs_exist_ok=True)
        write_prompts(out / MODEL.name / "prompts.txt")
        write_contexts(out / MODEL.name / "contexts.txt")


def write_prompts(path: Path, count: int = 500, seed: int = 5) -> None:
    """Write `count` captions of this world, one a line: the prompts that a build preserves by default."""
    rng = np.random.default_rng(seed)
    path.write_text("".join(f"{caption(draw_scene(rng), rng)}\n" for _ in range(count)), encoding="utf-8")


def write_contexts(path: Path) -> None:
    """Write the sentences of this world, one a line: those into which a build puts concepts by default."""
    path.write_text("".join(f"{context}\n" for context in CONTEXTS), encoding="utf-8")


def _side_by_side(starts: list[Callable[[Path], None]], work: Path) -> None:
    """Run each stage in a process of its own. Exit with the code of a process that fails."""
    context = mp.get_context("spawn")
    processes = [context.Process(target=_run_single_threaded, args=(start, work)) for start in starts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


def _run_single_threaded(start: Any, work: Path) -> None:
    """Run a stage with one thread of torch."""
    torch.set_num_threads(1)
    start(work)


def _vae(work: Path) -> None:
    """Train the autoencoder into `work`/vae."""
    train_vae(VaePlan(), work / "vae")


def _detector(work: Path) -> None:
    """Train the classifier into `work`/detector."""
    train_detector(DetectorPlan(), work / "detector")


if __name__ == "__main__":
    main()
