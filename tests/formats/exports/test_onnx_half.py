"""Halves in ONNX graphs: float64 is rounded once, whatever the runtime's own cast does on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editc.core.delta import Array
from editc.formats.containers import onnx_write
from editc.formats.containers.onnx_write import TYPES, GraphValue, encode_node
from editc.formats.exports.format import Written
from editc.formats.exports.onnx import half
from editc.formats.exports.onnx.trials import run_in_onnxruntime
from editc.numerics.bits import dtypes

HALVES = tuple(half.SPACINGS)


def halves(dtype: str) -> Array:
    """Every finite half from 0 up, and after the last the next step of its grid."""
    values = dtypes.decode(np.arange(1 << 15, dtype="<u2").tobytes(), dtype, (1 << 15,))
    finite = values[np.isfinite(values)]
    return np.append(finite, 2 * finite[-1] - finite[-2])


def hard(dtype: str) -> Array:
    """Every half and every midpoint of two, with what lies a last place or 2^-40 of it beside, and random numbers of
    every size; both signs."""
    grid = halves(dtype)
    centres = np.concatenate([grid, (grid[1:] + grid[:-1]) / 2])
    near = [np.nextafter(centres, np.inf), np.nextafter(centres, 0), centres * (1 + 2.0**-40), centres * (1 - 2.0**-40)]
    rng = np.random.default_rng(0)
    low, high = np.log2(grid[1]) - 60, np.log2(grid[-1]) + 20
    drawn = np.exp2(rng.uniform(low, high, 200_000))
    values = np.concatenate([centres, *near, drawn, [2.0**-1074, 1e-310]])
    return np.concatenate([values, -values])


def computed(folder: Path, nodes: Any, tensors: dict[str, Any], dtype: str, values: Array) -> Array:
    """`y` of a graph in ONNX Runtime for `x` = `values`."""
    ends = [GraphValue("x", "F64", ("n",))], [GraphValue("y", dtype, ("n",))]
    (folder / "m.onnx").write_bytes(onnx_write.encode_model(nodes, tensors, *ends, {}))
    return run_in_onnxruntime(Written((folder / "m.onnx",), None), {"x": (values, "F64")})["y"]  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_rounded_once(tmp_path: Path, dtype: str) -> None:
    """To the bit, the sign of zero too, from the least subnormal past the largest half."""
    values = hard(dtype)
    found = computed(tmp_path, half.cast("x", "y", dtype), half.constants(dtype), dtype, values)
    assert found.tobytes() == dtypes.round_to(values, dtype).tobytes()
    assert np.isinf(found).any() and (np.signbit(found) & (found == 0)).any()


@pytest.mark.parametrize("dtype", HALVES)
def test_what_the_cast_gets_is_a_half_already(tmp_path: Path, dtype: str) -> None:
    """So a runtime with any cast of its own comes to the same."""
    *nodes, _ = half.cast("x", "y", dtype)
    nodes.append(encode_node("Identity", ["x.half"], "y"))
    values = hard(dtype)
    wanted = dtypes.round_to(values, dtype)
    wide = computed(tmp_path, nodes, half.constants(dtype), "F64", values)
    most = halves(dtype)[-1]
    assert np.array_equal(np.where(np.isinf(wanted), np.copysign(most, values), wanted), np.clip(wide, -most, most))


@pytest.mark.parametrize("dtype", HALVES)
def test_control_the_runtimes_cast_alone_rounds_twice(tmp_path: Path, dtype: str) -> None:
    """When this fails the nodes are no longer needed."""
    values = hard(dtype)
    found = computed(tmp_path, [encode_node("Cast", ["x"], "y", to=TYPES[dtype])], {}, dtype, values)
    assert np.count_nonzero(found != dtypes.round_to(values, dtype)) > 1000


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_other_dtypes_need_the_cast_alone(dtype: str) -> None:
    assert len(list(half.cast("x", "y", dtype))) == 1 and not half.constants(dtype)
