"""What `editc diff` makes of edits by published code: `python -m benchmarks.diff CASE_DIR...` prints a table.

A case is a folder with `weights.safetensors` and `expected.safetensors` (see tests/golden). Tensors that are only in
the first stay as they are; where the other has variants (`reference.x`, `bias_aware.x`), each is a row. The delta is
written, read again and applied to the weights with `editc apply`'s own code, and the result is compared with what was
expected. With `--true-shape` also the 32 K and V matrices of SD 1.5 in their true shapes, edited here at random.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
from safetensors.numpy import load_file, save_file

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import read_delta, write_delta
from editc.formats.diff.diff import difference
from editc.formats.models.model import open_model
from editc.numerics.recover import ulp

HEAD = ("case", "mend", "tensors", "form", "rank", "weights that differ", "most ulps", "bytes", "of", "seconds")
BLOCKS = (320, 320, 640, 640, 1280, 1280, 1280, 1280, 1280, 1280, 640, 640, 640, 320, 320, 320)
"""Rows of K and of V in every cross-attention block of SD 1.5; each row has 768 columns."""
Values = Mapping[str, np.ndarray]


def cases(folder: Path) -> Iterator[tuple[str, Values, Values]]:
    """Name, weights before, weights after."""
    base, expected = load_file(folder / "weights.safetensors"), load_file(folder / "expected.safetensors")
    variants = sorted({name.split(".")[0] for name in expected if name not in base})
    for variant in variants or [""]:
        prefix = f"{variant}." if variant else ""
        after = {name.removeprefix(prefix): W for name, W in expected.items() if name.startswith(prefix)}
        yield f"{folder.name} {variant}".strip(), base, {**base, **after}


def true_shapes() -> Iterator[tuple[str, Values, Values]]:
    """A multiplier of rank 3 in float32 and float16, one whose arithmetic was float32, and a trained model."""
    rng = np.random.default_rng(0)
    names = [f"b.{i}.attn2.to_{role}.weight" for i in range(len(BLOCKS)) for role in "kv"]
    base = {n: (rng.normal(size=(BLOCKS[i // 2], 768)) / 20).astype(np.float32) for i, n in enumerate(names)}
    U, V = rng.normal(size=(768, 3)) / 20, rng.normal(size=(3, 768)) / 20
    edited = {name: (W + (W.astype(np.float64) @ U) @ V).astype(np.float32) for name, W in base.items()}
    yield "sd1 true shape, rank 3, F32", base, edited
    half = {name: W.astype(np.float16) for name, W in base.items()}
    moved = {name: (W + (W.astype(np.float64) @ U) @ V).astype(np.float16) for name, W in half.items()}
    yield "sd1 true shape, rank 3, F16", half, moved
    M = (np.eye(768) + U @ V).astype(np.float32)
    yield "sd1 true shape, W @ (I + M) in float32", base, {name: W @ M for name, W in base.items()}
    noise = {name: W + (rng.normal(size=W.shape) / 2000).astype(np.float16) for name, W in half.items()}
    yield "sd1 true shape, trained, F16", half, noise


def row(name: str, base: Values, after: Values, mend: str, tolerance: float | None) -> tuple[object, ...]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_file(dict(base), folder / "base.safetensors")
        save_file(dict(after), folder / "edited.safetensors")
        before, begun = open_model(folder / "base.safetensors"), perf_counter()
        found = difference(before, open_model(folder / "edited.safetensors"), "benchmark", "auto", mend, tolerance)
        write_delta(found.delta, folder / "delta.safetensors")
        seconds = perf_counter() - begun
        apply(plan_apply([read_delta(folder / "delta.safetensors")], before), out=folder / "out.safetensors")
        mine, size = load_file(folder / "out.safetensors"), (folder / "delta.safetensors").stat().st_size
        kinds = {"float32": "F32", "float16": "F16"}
        off = [
            np.abs(mine[n].astype(np.float64) - W) / ulp(W.astype(np.float64), kinds[str(W.dtype)])
            for n, W in after.items()
        ]
    differ, worst = sum(int(np.count_nonzero(one)) for one in off), max(float(one.max()) for one in off)
    ranks = sorted({one.rank for one in found.rows})
    rank = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    form = ", ".join(sorted({one.form for one in found.rows}))
    share = f"{differ:,} ({differ / sum(one.size for one in off):.1%})"
    return (
        name,
        mend,
        len(found.rows),
        form,
        rank,
        share,
        f"{worst:.3g}",
        f"{size:,}",
        f"{found.raw:,}",
        f"{seconds:.1f}",
    )


def main(arguments: list[str]) -> int:
    """Print the table; 2 when no case was named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--mend", action="append", choices=("none", "ulp", "exact"), help="default: ulp and exact")
    parser.add_argument("--tolerance", type=float)
    parser.add_argument("--true-shape", action="store_true")
    options = parser.parse_args(arguments)
    chosen = [one for folder in options.folders for one in cases(folder)]
    chosen += list(true_shapes()) if options.true_shape else []
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for one in chosen:
        for mend in options.mend or ("ulp", "exact"):
            print(f"| {' | '.join(map(str, row(*one, mend, options.tolerance)))} |", flush=True)
    return 0 if chosen else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
