"""One damaged tensor is enough: a few of each part of a pipeline and of a language model (all: `benchmarks.faults`)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks import faults
from editc.cache.disk import DiskCache
from editc.core.diagnostics import EditcError
from editc.formats.models.finite import LIMITS, find_non_finite
from editc.formats.models.model import Checkpoint, open_component, open_model
from editc.opening.unloaded import check_unloaded_parts


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    return {part: (path, file) for path, part, file in faults.cases(tmp_path_factory.mktemp("faults"))}


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae", "language model"])
def test_a_build_is_refused(part: str, listed: dict[str, tuple[Path, Path]]) -> None:
    manifest, file = listed[part]
    found = list(faults.outcomes(manifest, part, file, every=70))
    assert {one.fault for one in found} == set(faults.FAULTS)
    assert not [one for one in found if not one.right]


@pytest.mark.parametrize("part", ["unet", "language model"])
def test_and_is_not_without_damage(part: str, listed: dict[str, tuple[Path, Path]]) -> None:
    assert faults.built_with(listed[part][0]) == (0, "")


def test_values_that_are_not_finite_are_found_in_every_dtype(tmp_path: Path) -> None:
    wrong = [np.nan, np.inf, -np.inf, -np.nan]
    right = [np.finfo(np.float32).max, -np.finfo(np.float32).max, np.finfo(np.float32).tiny, -0.0, 0.0]
    tensors = {f"bad{i}": np.array([1.0, value], np.float32) for i, value in enumerate(wrong)}
    tensors |= {"half": np.array([np.nan], np.float16), "double": np.array([-np.inf])}
    tensors |= {"fine": np.array(right, np.float32), "fine16": np.array([65504, -65504], np.float16)}
    save_file({**tensors, "count": np.array([-1]), "none": np.zeros(0, np.float32)}, tmp_path / "model.safetensors")
    found = find_non_finite(open_component("x", tmp_path))
    assert found == ["bad0", "bad1", "bad2", "bad3", "double", "half"] and set(LIMITS) >= {"BF16", "F8_E5M2"}


def test_values_are_looked_through_once_until_the_file_changes(
    listed: dict[str, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache, seen = listed["unet"][1], DiskCache(tmp_path), list[str]()
    model = open_model(file.parents[1])

    def looked_through(checkpoint: Checkpoint) -> list[str]:
        seen.append(checkpoint.name)
        return []

    monkeypatch.setattr("editc.opening.unloaded.find_non_finite", looked_through)
    for _ in range(2):
        assert not list(check_unloaded_parts(model, "unet", cache))
    assert seen == ["unet", "vae"]
    file.write_bytes(file.read_bytes())
    assert not list(check_unloaded_parts(model, "unet", cache)) and seen == ["unet", "vae", "unet"]


def test_what_was_found_whole_needs_no_diffusers_until_its_settings_change(
    listed: dict[str, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, cache = listed["unet"][1].with_name("config.json"), DiskCache(tmp_path)
    model, text = open_model(config.parents[1]), config.read_text()
    assert not list(check_unloaded_parts(model, "unet", cache))
    monkeypatch.setitem(sys.modules, "diffusers", None)  # importing it raises ImportError
    assert not list(check_unloaded_parts(model, "unet", cache))
    try:
        config.write_text(text.replace('"in_channels": 4', '"in_channels": 5'))
        assert config.read_text() != text
        with pytest.raises(ImportError):
            list(check_unloaded_parts(model, "unet", cache))
    finally:
        config.write_text(text)


def test_weights_that_nothing_describes_are_said_to_be_so_each_time(
    listed: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    for _ in range(2):
        (note,) = check_unloaded_parts(open_model(listed["unet"][1]), "unet", DiskCache(tmp_path))
        assert note.code == "E226" and not note.is_error


def test_a_configuration_that_makes_no_network(listed: dict[str, tuple[Path, Path]]) -> None:
    config = listed["unet"][1].with_name("config.json")
    text = config.read_text()
    try:
        for wrong in ('"down_block_types": ["NoBlock", "DownBlock2D"]', '"block_out_channels": "wide"'):
            name = wrong.split(":")[0]
            lines = [line for line in text.replace("\n  ]", "]").replace("\n    ", "").splitlines() if name not in line]
            config.write_text("\n".join(lines).replace("{", f"{{{wrong},", 1))
            with pytest.raises(EditcError, match="E205"):
                list(check_unloaded_parts(open_model(config.parents[1]), "unet", None))
    finally:
        config.write_text(text)
