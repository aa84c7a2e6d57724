"""Scales of 8-bit weights: found under every name, and what cannot be requantised is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_files as llama
import numpy as np
import pytest
from quantised_models import values
from tiny_files import pack, refused

from editc.formats.apply.apply import plan_apply
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("scale", ["weight_scale", "scale_weight", "weight_scale_inv"])
def test_scales_are_found_under_every_name(tmp_path: Path, scale: str, rows: bool) -> None:
    """The control is the weights' size: without the scale they would be some thousand times as large."""
    model = llama.eight_bit(tmp_path / "m", "F8_E4M3", scale, rows)
    for name in (*llama.DOWN, *llama.OUT):
        exact = llama.weights()[name]
        assert np.abs(values(model, name) - exact).max() < 0.04 * np.abs(exact).max()
    plan = plan_apply([llama.delta()], model, requantize=True)
    assert all(t.loss and t.loss.survival > 0.9 for t in plan.targets)


def test_8_bit_weights_without_scales_are_taken_as_they_are(tmp_path: Path) -> None:
    parts = {n: ("F8_E5M2", v.shape, dtypes.encode(v, "F8_E5M2")) for n, v in llama.weights().items() if v.ndim == 2}
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    plan = plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=True)
    assert all(t.loss and t.loss.survival > 0.9 for t in plan.targets)


def block_scales(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[f"{name}_scale_inv"] = ("F32", (2, 4), bytes(32))


def two_scales(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[f"{name}_scale"] = parts[f"{name[:-7]}.scale_weight"] = ("F32", (1,), dtypes.encode(np.ones(1), "F32"))


def a_scale_a_column(parts: dict[str, Any]) -> None:
    """As many as rows here, for the matrix is square."""
    for name in llama.DOWN:
        parts[name] = ("F8_E4M3", (64, 64), bytes(64 * 64))
        parts[f"{name}_scale"] = ("F32", (1, 64), dtypes.encode(np.ones(64), "F32"))


def int8(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        parts[name] = ("I8", parts[name][1], parts[name][2])
        parts[f"{name[:-7]}.SCB"] = ("F32", (llama.WIDTH,), bytes(4 * llama.WIDTH))


def four_bits(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        size = len(parts[name][2]) // 2
        parts[name] = ("U8", (size, 1), bytes(size))
        parts[f"{name}.absmax"] = ("F32", (4,), bytes(16))


def gptq(parts: dict[str, Any]) -> None:
    for name in llama.DOWN:
        del parts[name]
        parts[f"{name[:-7]}.qweight"] = ("I32", (4, 4), bytes(64))


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "change_,said",
    [
        (block_scales, "scales"),
        (a_scale_a_column, "scales"),
        (two_scales, "2 scales"),
        (int8, "bitsandbytes"),
        (four_bits, "4 bits"),
        (gptq, "GPTQ"),
    ],
    ids=lambda a: getattr(a, "__name__", ""),
)
def test_what_cannot_be_requantised_is_named(tmp_path: Path, change_: Any, said: str, asked: bool) -> None:
    parts: dict[str, Any] = {
        n: ("F8_E4M3", v.shape, dtypes.encode(v, "F8_E4M3")) for n, v in llama.weights().items() if v.ndim == 2
    }
    change_(parts)
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    with refused("E691") as error:
        plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=asked)
    assert said in error.diagnostics[0].notes[0] and "before" in error.diagnostics[0].help


def test_a_method_that_only_config_json_names(tmp_path: Path) -> None:
    model = llama.folder(tmp_path / "m")
    (model.path / "config.json").write_text('{"quantization_config": {"quant_method": "aqlm"}}')
    parts = {"model.layers.0.mlp.down_proj.codes": ("I16", (4, 4), bytes(32))}
    (model.path / "model.safetensors").write_bytes(pack(parts))
    with refused("E691") as error:
        plan_apply([llama.delta()], model)
    assert "aqlm" in error.diagnostics[0].notes[0]


@pytest.mark.parametrize("scale", [np.nan, 0.0, -1.0, np.inf])
def test_a_scale_that_is_no_scale(tmp_path: Path, scale: float) -> None:
    parts: dict[str, Any] = {}
    for name in llama.DOWN:
        parts[name] = ("F8_E4M3", (llama.WIDTH, llama.INNER), bytes(llama.WIDTH * llama.INNER))
        parts[f"{name}_scale"] = ("F32", (), dtypes.encode(np.array(scale), "F32"))
    (tmp_path / "m.safetensors").write_bytes(pack(parts))
    with refused("E691"):
        plan_apply([llama.delta()], open_model(tmp_path / "m.safetensors"), requantize=True)


def test_a_convolution_with_a_scale_a_row(tmp_path: Path) -> None:
    raw = dtypes.encode(np.ones((3, 8)), "F8_E4M3")
    parts = {"c.weight": ("F8_E4M3", (3, 2, 2, 2), raw)}
    scales = {"c.weight_scale": ("F32", (3,), dtypes.encode(np.array([1.0, 2.0, 4.0]), "F32"))}
    (tmp_path / "m.safetensors").write_bytes(pack({**parts, **scales}))
    found = values(open_model(tmp_path / "m.safetensors"), "c.weight")
    assert found.shape == (3, 2, 2, 2) and found[:, 1, 1, 0].tolist() == [1, 2, 4]
