"""Networks that are known without diffusers are those of diffusers, and what differs from them is told as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from safetensors.numpy import load_file, save_file

from benchmarks import known_networks as made
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.formats.models.model import Checkpoint, open_component, open_model
from editc.opening import known_networks, unloaded
from editc.opening.known_networks import is_known

UNET = MODEL / "unet"
SETTINGS = json.loads((UNET / "config.json").read_text())
CHANGED: Mapping[str, Mapping[str, Any]] = {
    "another shape": {"cross_attention_dim": 64},
    "a boolean for a number": {"layers_per_block": True},
    "a text for a number": {"sample_size": "8"},
    "an infinite number": {"sample_size": float("inf")},
    "a setting that nobody knows": {"new_block": "wide"},
    "an internal setting": {"_use_default_values": ["cross_attention_dim"]},
    "another class": {"_class_name": "UNet2DModel"},
}


@dataclass(frozen=True)
class Header:
    """Names with shapes, as a checkpoint has them."""

    shapes: Mapping[str, tuple[int, ...]]

    def names(self) -> list[str]:
        return list(self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]


def test_the_list_is_what_diffusers_makes_and_each_header_fits() -> None:
    listed = json.loads(known_networks.LIST.read_text())
    for entry in made.entries():
        kind = listed[entry.kind.__name__]
        defaults = made.defaults(entry.kind)
        assert {name: kind["defaults"].get(name) for name in defaults} == defaults, (
            "python -m benchmarks.known_networks"
        )
        (row,) = [one for one in kind["networks"] if one["title"] == entry.title]
        assert row["settings"] == json.loads(json.dumps(entry.settings))
        assert row["headers"] == [known_networks.digest(header) for header in entry.headers]
        settings = {"_class_name": entry.kind.__name__, **entry.settings}
        for header in entry.headers:
            checkpoint = cast(Checkpoint, Header(header))
            assert is_known(checkpoint, settings)
            assert unloaded.compare_header(checkpoint, entry.kind, settings, Path(), entry.title).empty


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_the_demo_is_known_whatever_shapes_no_tensor(part: str) -> None:
    settings = json.loads((MODEL / part / "config.json").read_text())
    checkpoint = open_component(part, MODEL / part)
    for free in ({}, {"sample_size": 16}, {"_diffusers_version": "0.1", "_name_or_path": "x"}):
        assert is_known(checkpoint, settings | free)


@pytest.mark.parametrize("changes", CHANGED.values(), ids=CHANGED)
def test_other_settings_are_left_to_diffusers(changes: Mapping[str, Any]) -> None:
    assert not is_known(open_component("unet", UNET), SETTINGS | changes)


@pytest.mark.parametrize("fault", ["missing", "does not belong", "shape of"])
def test_a_known_network_with_a_damaged_header_is_refused_with_the_tensor(fault: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    if fault == "missing":
        del tensors["conv_in.bias"]
    elif fault == "shape of":
        tensors["conv_in.bias"] = tensors["conv_in.bias"][:-1]
    else:
        tensors["conv_in.bias2"] = tensors["conv_in.bias"]
    save_file(tensors, file)
    with pytest.raises(EditcError, match="do not fit a UNet2DConditionModel") as caught:
        list(unloaded.check_unloaded_parts(open_model(tmp_path), "unet", None))
    (one,) = caught.value.diagnostics
    assert one.code == "E205" and any(fault in note and "conv_in.bias" in note for note in one.notes)
