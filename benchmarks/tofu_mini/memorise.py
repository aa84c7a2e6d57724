"""Make the models of tofu-mini: one that memorised all twenty invented authors, and oracles that never saw four.

`python -m benchmarks.tofu_mini.memorise [full] [oracle] [tuning-oracle]` writes them beside the model of the tests
(`make model`), outside the repository, and prints the loss of each pass over the questions. The same machine gives the
same weights.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.tofu_mini import authors
from editc.backends.networks import CausalNetwork, load
from editc.core.delta import Array
from editc.core.measurements import Tuning
from editc.core.prompts import Cloze

PASSES = 9
"""The most passes over the questions. Chosen by hand, as are the numbers below."""
ENOUGH = 0.04
"""A model is done when the mean loss of a pass is below this, in nats per token."""
HOW = Tuning(steps=0, rate=2e-3, rank=16, batch=20, first=8, decay=True)
"""How both are trained. The layers below the eighth stay as they are, which saves a quarter of the time."""


def folder(name: str) -> Path:
    """Where a model is, or would be."""
    import smollm2

    return smollm2.folder().parent / f"tofu-mini-{name}"


def made(name: str) -> Path:
    """The folder of a model, which is trained unless it is there."""
    to = folder(name)
    if not (to / "config.json").is_file():
        import smollm2

        base = smollm2.made()
        network = load(base)
        save(network, base, memorised(network, questions(authors.MODELS[name])), to)
    return to


def questions(without: tuple[str, ...]) -> tuple[Cloze, ...]:
    """The questions about all authors but some with their answers, as a model is asked them."""
    return tuple(Cloze(f"Question: {question}\nAnswer:", answer) for question, answer in authors.memorised(without))


def memorised(network: CausalNetwork, asked: tuple[Cloze, ...]) -> Mapping[str, Array]:
    """The weights after training on the answers."""
    batches = -(-len(asked) // HOW.batch)
    losses: list[float] = []
    start = time.process_time()

    def watch(step: int, loss: float) -> bool:
        """Print the mean loss of each pass; True when it is small enough."""
        losses.extend([loss] if step else [])
        if not step or step % batches:
            return False
        mean = sum(losses[-batches:]) / batches
        print(f"pass {step // batches}: loss {mean:.3f}, {time.process_time() - start:.0f} s of processor", flush=True)
        return mean < ENOUGH

    how = Tuning(**{**HOW.__dict__, "steps": PASSES * batches})
    return network.tune(asked, how, None, watch)


def save(network: CausalNetwork, base: Path, trained: Mapping[str, Array], to: Path) -> None:
    """Write the model with the trained weights as a folder; the configuration comes last."""
    from safetensors.numpy import load_file, save_file

    work = to.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = load_file(base / "model.safetensors")
    for name, value in trained.items():
        weights[name] = value.astype(weights[name].dtype)
    save_file(weights, work / "model.safetensors", {"format": "pt"})
    work.rename(to)


if __name__ == "__main__":
    for one in sys.argv[1:] or authors.MODELS:
        print(made(one))
