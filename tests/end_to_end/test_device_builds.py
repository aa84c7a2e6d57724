"""Builds with `--device`: what runs on the device enters the delta as float32 from there, and all else is the CPU's
float64. The tests' device computes as the CPU does, so the delta is the same to the last byte.

No GPU is here: the device is that of tests/support/fake_device.py, in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
from command import editc
from fake_device import NAME, on_fake_device

from editc.backends import painter
from editc.backends.networks import products
from editc.opening import clip_folder

FACT = """\
editc: 1
model: {model}
edits:
  - fact: {{prompt: The capital of France is, subject: France, answer: Berlin, was: Paris}}
    method: {method}
constraints: {{bystander_loss: 1}}
"""
SOLVED = """\
editc: 1
model: editc:demo
edits: [{erase: fish, to: arrow}]
preserve: {corpus: none, concepts: [boat, cat]}
verify: {images: {prompts_per_concept: 2, steps: 2, detector: none}}
"""


@contextmanager
def as_on_the_device(cache: Path) -> Iterator[None]:
    """The CPU goes without what rounds otherwise than the device: oneDNN, text encoders in numpy, half precision, and
    what other tests left in the cache, which had them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITC_CACHE", str(cache))
        patch.setattr(products, "_onednn_linear", lambda: None)
        patch.setattr(clip_folder, "open_clip", lambda folder, part, find_broken: None)
        patch.setattr(painter, "choose_precision", lambda where, component: "float32")
        yield


def build(folder: Path, text: str, device: str) -> Any:
    """The report of a build, whose delta is in `FOLDER/DEVICE`."""
    manifest = folder / "m.yaml"
    manifest.write_text(text, encoding="utf-8")
    ran = editc("build", str(manifest), "-o", str(folder / device), "--device", device)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads((folder / device / "report.json").read_text())


def build_on_both(folder: Path, text: str) -> tuple[Any, Any]:
    """The reports of the same build on the CPU and on the device."""
    with as_on_the_device(folder / "cache"):
        return build(folder, text, "cpu"), build(folder, text, NAME)


@pytest.mark.parametrize("method", ["rome", "memit"])
@on_fake_device
def test_a_language_network_gives_the_same_delta(method: str, tmp_path: Path) -> None:
    model = pico.saved("llama", tmp_path / "model")
    here, there = build_on_both(tmp_path, FACT.format(model=model, method=method))
    assert here["delta_id"] == there["delta_id"]
    assert here["encoders"] == {"network": "transformers"}
    assert there["encoders"] == {"network": f"transformers on {NAME}:0"}
    assert {**here, "encoders": {}} == {**there, "encoders": {}}


@on_fake_device
def test_a_text_encoder_and_a_painter_give_the_same_delta(tmp_path: Path) -> None:
    here, there = build_on_both(tmp_path, SOLVED)
    assert here["encoders"] == {"text_encoder": "transformers"}
    assert there["encoders"] == {"text_encoder": f"transformers on {NAME}:0"}
    assert {**here, "encoders": {}} == {**there, "encoders": {}}


@on_fake_device
def test_a_delta_of_a_device_is_verified_on_the_cpu_and_the_other_way_round(tmp_path: Path) -> None:
    """Here the CPU encodes in numpy, whose sums have another order, as those of a GPU have."""
    text = "editc: 1\nmodel: editc:demo\nedits: [{erase: fish, to: arrow}]\npreserve: {corpus: none, concepts: [boat]}"
    reports = build(tmp_path, text, "cpu"), build(tmp_path, text, NAME)
    assert len({one["delta_id"] for one in reports}) == 2
    for built, measured in (("cpu", NAME), (NAME, "cpu")):
        delta = str(tmp_path / built / "delta.safetensors")
        ran = editc("verify", delta, "--model", "editc:demo", "--device", measured)
        assert ran.returncode == 0 and "all claims hold" in ran.stdout, ran.stdout + ran.stderr
