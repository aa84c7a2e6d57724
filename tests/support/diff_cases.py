"""Random weights, edits of them, and the difference of two files, checked by applying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_files import pack

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import read_delta, write_delta
from editc.formats.diff.diff import Difference, difference
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes
from editc.numerics.recover import ulp

Array = NDArray[np.float64]
Values = Mapping[str, Array]
WIDTH = 48
HEIGHTS = {f"down.{i}.attn2.to_{role}.weight": 40 + 16 * i for i in range(3) for role in ("k", "v")}


def weights(seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) / 7 for name, shape in shapes.items()}


SHAPES = {name: (rows, WIDTH) for name, rows in HEIGHTS.items()}


def file(path: Path, values: Values, dtype: str = "F32") -> Path:
    path.write_bytes(pack({name: (dtype, W.shape, dtypes.encode(W, dtype)) for name, W in values.items()}))
    return path


def write_model(folder: Path, values: Values, dtype: str = "F32") -> Path:
    """A whole model's folder, as transformers saves one."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    file(folder / "model.safetensors", values, dtype)
    return folder


def stored(path: Path) -> dict[str, tuple[Array, str]]:
    part = open_model(path).component("unet")
    return {name: (part.read(name), part.dtype(name)) for name in part.names() if part.dtype(name)[0] in "FB"}


def found(folder: Path, base: Values, edited: Values, dtype: str = "F32", **options: Any) -> Difference:
    """The difference of two files, after its delta was applied and what came out was compared as the rows say."""
    before, after = file(folder / "base.safetensors", base, dtype), file(folder / "edited.safetensors", edited, dtype)
    return checked(folder, before, after, **options)


def checked(folder: Path, before: Path, after: Path, **options: Any) -> Difference:
    made = difference(open_model(before), open_model(after), "editc 0", **options)
    delta = write_delta(made.delta, folder / "delta.safetensors")
    out = folder / str(len(list(folder.iterdir()))) / "out.safetensors"
    out.parent.mkdir()
    apply(plan_apply([read_delta(folder / "delta.safetensors")], open_model(before)), out=out)
    mine, theirs, rows = stored(out), stored(after), {row.name: row for row in made.rows}
    for name, (W, dtype) in theirs.items():
        off = np.abs(mine[name][0] - W) / ulp(W, dtype)
        assert off.max() == (rows[name].ulps if name in rows else 0)
        assert np.count_nonzero(off) <= (rows[name].differ if name in rows else 0)
    assert plan_apply([delta], open_model(out)).status == "already"
    return replace(made, delta=delta)


def forms(made: Difference) -> list[tuple[str, int]]:
    return [(factors.form, edit["rank"]) for factors, edit in zip(*_pairs(made), strict=True)]


def _pairs(made: Difference) -> tuple[list[Any], list[Any]]:
    return list(made.delta.factors.values()), list(made.delta.edits)


def multiplied(base: Values, rank: int, seed: int, size: float = 0.5) -> dict[str, Array]:
    """Every matrix W (I + U V), U V of that rank and about as large as `size` I."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(WIDTH, rank)), rng.normal(size=(rank, WIDTH))
    return {name: W + W @ U @ V * (size / WIDTH) for name, W in base.items()}
