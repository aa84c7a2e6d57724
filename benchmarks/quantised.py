"""What requantising leaves of an edit, by format and by the size of the edit: `python -m benchmarks.quantised`.

Two tables as Markdown: edits of rank 1 and of any size on random normal weights, and the default edit of objects on the
projections of `editc:demo`. With `--gguf FILE` a third: edits of rank 1 of every `ffn_down` of that file, in its own
format, and what `apply` takes for all of them. A cell is the share of the edit that is left,
<Q(W') - W_q, dW> / |dW|^2, and the error |Q(W') - W'| / |dW|.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from editc.core.delta import Array, Delta, Factors, Site
from editc.core.site_bytes import site_record
from editc.core.solution import Solution
from editc.formats.apply import quantised
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.apply.quantised import RequantisationLoss, decode, requantise
from editc.formats.delta.container import with_delta_id
from editc.formats.models.model import Checkpoint, Tensor, open_model
from editc.numerics.bits import blocks, dtypes

KINDS = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "F8_E4M3", "F8_E5M2")
SIZES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""|dW| / |W|, Frobenius."""


def lost(W: Array, factors: Factors, kind: str) -> RequantisationLoss:
    """The loss of a low-rank edit on W (d_out, d_in) quantised freshly; an 8-bit float has one scale a tensor, taken
    into W and the edit, for nothing depends on it."""
    scale = dtypes.largest(kind) / np.abs(W).max() if kind in dtypes.EIGHT_BITS else 1.0
    tensor = Tensor(Path(), 0, 0, kind, W.shape)
    if kind in blocks.BLOCK_FORMATS:
        old = blocks.encode(W, kind, bytes(W.size // blocks.BLOCK * blocks.BLOCK_FORMATS[kind].nbytes))
    else:
        old = dtypes.encode(W * scale, kind)
    left = (factors.left[0] * scale).astype(np.float32)
    site = Site("", "w", (W.shape[0], W.shape[1]), "F32", "v")
    return requantise(old, tensor, site, Factors("low-rank", (0,), (left,), factors.right), 0)[1]


def rank_one(rng: np.random.Generator, W: Array, size: float) -> Factors:
    """A random edit with |dW| = size |W|."""
    left, right = rng.normal(size=(len(W), 1)), rng.normal(size=(1, W.shape[1]))
    left *= size * np.linalg.norm(W) / (np.linalg.norm(left) * np.linalg.norm(right))
    return Factors("low-rank", (0,), (left.astype(np.float32),), (right.astype(np.float32),))


def cell(loss: RequantisationLoss) -> str:
    """Share and error."""
    return f"{loss.survival:.0%} ({loss.error:.2g})"


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """Markdown, line by line."""
    print("", "| " + " | ".join(head) + " |", "|---" * len(head) + "|", sep="\n")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def random_weights() -> Iterator[Sequence[str]]:
    """One row a format: normal weights 576 x 1536, as the layers of a small language model are shaped."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(576, 1536), scale=0.02)
    edits = [rank_one(rng, W, size) for size in SIZES]
    for kind in KINDS:
        yield [kind, *(cell(lost(W, edit, kind)) for edit in edits)]


def demo_edits(objects: Sequence[str]) -> Iterator[Sequence[str]]:
    """One row an object: the default edit over all sites of the demo model. Their rows are 64 weights, two blocks."""
    from benchmarks.erasure import HEAD, open_lab

    lab = open_lab("editc:demo")
    unet = open_model("editc:demo").component("unet")
    for concept in objects:
        pairs = list(_pairs(lab.solve(HEAD.format(model=lab.model, concept=concept)), unet))
        sizes = [np.linalg.norm(f.left[0] @ f.right[0]) / np.linalg.norm(W) for W, f in pairs]
        losses = [quantised.add_losses(lost(W, edit, kind) for W, edit in pairs) for kind in KINDS]
        yield [concept, f"{np.median(sizes):.2g}", *map(cell, losses)]


def _pairs(solution: Solution, unet: Checkpoint) -> Iterator[tuple[Array, Factors]]:
    """Each site's weight and its change as a low-rank pair; the default method's form is `shared`."""
    for site in solution.problem.plan.sites:
        edit, W = solution.edits[site.group], unet.read(site.name)
        left, right = (W @ edit.left[0]).astype(np.float32), edit.right[0].astype(np.float32)
        yield W, Factors("low-rank", (0,), (left,), (right,))


def whole_file(path: Path) -> Iterator[Sequence[str]]:
    """One row a size: the edits of every ffn_down together, planned and applied to a copy."""
    for size in SIZES:
        model = open_model(path)
        part = model.component()
        delta = file_delta(part, [name for name in part.names() if name.endswith("ffn_down.weight")], size)
        quantised.LEAST_SURVIVAL = 0.0  # the measurement wants what a user is refused
        started = time.perf_counter()
        plan = plan_apply([delta], model, requantize=True)
        with tempfile.TemporaryDirectory() as folder:
            done = apply(plan, Path(folder) / path.name)
        took = time.perf_counter() - started
        kinds = "/".join(sorted({target.tensor.dtype for target in plan.targets}))
        loss = quantised.add_losses(target.loss for target in plan.targets if target.loss)
        yield [kinds, f"{size:g}", cell(loss), f"{done.bytes_written / 1e6:.1f} MB", f"{took:.1f} s"]


def file_delta(part: Checkpoint, names: Sequence[str], size: float) -> Delta:
    """A rank 1 edit of each of these tensors."""
    rng = np.random.default_rng(1)
    weights = {name: decode(part.raw(name), part.where(name)) for name in names}
    edits = [rank_one(rng, weights[name], size) for name in names]
    lefts, rights = tuple(e.left[0] for e in edits), tuple(e.right[0] for e in edits)
    factors = Factors("low-rank", tuple(range(len(names))), lefts, rights)
    sites = [Site("model", name, part.shape(name), "F32", "v") for name in names]  # type: ignore[arg-type]
    records = tuple(site_record(site, weights[site.name], factors, k) for k, site in enumerate(sites))
    return with_delta_id(Delta("llama", records, {"mlp": factors}, "", "editc: 1\n", "d" * 64, (), (), "benchmark"))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", default="star,moon,gun")
    parser.add_argument("--gguf", type=Path)
    given = parser.parse_args()
    if given.gguf:
        table(["format", "size", "left (error)", "written", "plan and apply"], whole_file(given.gguf))
        return
    table(["format", *(f"{size:g}" for size in SIZES)], random_weights())
    table(["object", "size", *KINDS], demo_edits(given.objects.split(",")))


if __name__ == "__main__":
    main()
