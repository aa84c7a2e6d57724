"""The device: what names it, what it is where nothing does, and what is recorded of it. The tests' own device refuses
what a GPU refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_families
import torch
from fake_device import NAME, on_fake_device

from editc.backends import painter
from editc.backends.encoders.load import PartLoader, load_streams
from editc.cache.environment import describe_environment
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.libraries.device import DEVICE_VARIABLE, choose_device, describe_runner, is_cpu, named_device
from editc.registry.families import FAMILIES

PROMPTS = ("a red circle", "star")


def test_what_takes_hours_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    for there, where in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device() == where and named_device() == "cpu"


def test_what_is_named_holds_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("cpu", "cpu:0"):
        monkeypatch.setenv(DEVICE_VARIABLE, name)
        assert choose_device() == named_device() == name and is_cpu(name)
    for wrong in ("gpu", "cuda:99", "quantum", "meta", "cpus"):
        monkeypatch.setenv(DEVICE_VARIABLE, wrong)
        for choose in (choose_device, named_device, describe_environment):
            with pytest.raises(EditcError) as caught:
                choose()
            assert caught.value.diagnostics[0].code == "E225"


def test_a_runner_is_named_with_its_device_unless_that_is_the_cpu() -> None:
    assert describe_runner(torch.device("cpu")) == "transformers"
    assert describe_runner(torch.device("cuda:1")) == "transformers on cuda:1"


@on_fake_device
def test_the_device_of_the_tests_refuses_what_a_gpu_refuses() -> None:
    there, here = torch.ones(3, device=NAME), torch.ones(3)
    assert (there + 2 * here[0]).cpu().tolist() == [3, 3, 3]
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(RuntimeError):
        there.numpy()
    with pytest.raises(TypeError, match="float64"):
        there.double()


@on_fake_device
def test_the_cache_tells_rows_of_a_device_from_those_of_the_cpu() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, "cpu")
        here = describe_environment()
        patch.setenv(DEVICE_VARIABLE, NAME)
        assert describe_environment() == (*here, f"device {NAME}")


def assert_same_rows(folder: Path, family: str, part: str) -> None:
    """Every stream has the same rows and balls on the CPU and on the device, and says what ran it."""
    found = []
    for device in ("cpu", NAME):
        parts = PartLoader(folder, device=device)
        streams = load_streams(parts, FAMILIES.resolve(family).streams, "mark")
        assert parts.runners()[part] == describe_runner("cpu" if device == "cpu" else f"{NAME}:0")
        found.append({name: (one.encode(PROMPTS), one.bounds()) for name, one in streams.items()})
    here, there = found
    assert here.keys() == there.keys()
    for name, (rows, balls) in here.items():
        for one, other in zip(rows, there[name][0], strict=True):
            assert np.array_equal(one.rows, other.rows) and one.tokens == other.tokens
        assert [np.array_equal(a.gamma, b.gamma) for a, b in zip(balls, there[name][1], strict=True)] == [True] * len(
            balls
        )


@on_fake_device
def test_a_clip_gives_the_same_rows_on_a_device() -> None:
    assert_same_rows(MODEL, "sd1", "text_encoder")


@on_fake_device
def test_clips_and_a_t5_give_the_same_rows_on_a_device(tmp_path: Path) -> None:
    assert_same_rows(tiny_families.saved("sd3", tmp_path), "sd3", "text_encoder_3")


@pytest.mark.parametrize(("precision", "apart"), [("float32", 0), ("float16", 3)])
@on_fake_device
def test_pictures_are_painted_on_a_device(precision: str, apart: int) -> None:
    """float16: as a GPU paints, with other roundings."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painter, "choose_precision", lambda where, component: precision)
        for device in ("cpu", NAME):
            patch.setenv(DEVICE_VARIABLE, device)
            canvas = painter.load(MODEL, "unet", steps=2, guidance=3.0)
            parameters = dict(canvas.pipeline.unet.named_parameters())
            name = next(one for one in parameters if one.endswith("attn2.to_k.weight"))
            changed = {name: np.zeros(parameters[name].shape)}
            rows = np.zeros((1, 32, canvas.pipeline.text_encoder.config.hidden_size))
            painted = (
                canvas.paint(PROMPTS, [1, 2]),
                canvas.paint(PROMPTS, [1, 2], changed),
                canvas.paint_rows(rows, [1]),
            )
            found.append(np.concatenate(painted).astype(int))
    assert np.abs(found[0] - found[1]).max() <= apart
