"""The painter: where it paints, in what precision and how many pictures at once, and that its steps are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from editc.backends import painter
from editc.demo import MODEL

PROMPTS, SEEDS = ["a circle", "a square", "a star"], [1, 2, 3]
KEY = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(scope="module")
def canvas() -> painter.PipelinePainter:
    return painter.load(MODEL, steps=2, guidance=3.0)


def pipeline(size: Any, scale: int = 8, **more: Any) -> Any:
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=size))
    return SimpleNamespace(unet=unet, vae_scale_factor=scale, **more)


@pytest.mark.parametrize(
    ("size", "where", "count"),
    [
        (4, "cpu", 32),
        (32, "cpu", 8),
        (64, "cpu", 2),
        (128, "cpu", 1),
        (64, "cuda", 8),
        (128, "cuda:1", 2),
        (8, "mps", 32),
    ],
)
def test_large_pictures_are_painted_few_at_once(size: int, where: str, count: int) -> None:
    assert painter.batch_size(pipeline(size), "unet", where) == count


def test_the_size_is_that_of_both_sides_or_of_the_pipeline() -> None:
    assert painter.batch_size(pipeline([64, 128]), "unet", "cpu") == 1
    assert painter.batch_size(pipeline(None, default_sample_size=128), "unet", "cpu") == 1
    assert painter.batch_size(pipeline(None), "unet", "cpu") == 2


def test_half_precision_is_for_a_gpu_alone() -> None:
    assert painter.choose_precision("cpu", "unet") == painter.choose_precision("cpu", "transformer") == "float32"
    assert painter.choose_precision("cuda", "unet") == "float16"
    assert painter.choose_precision("cuda:1", "transformer") == "bfloat16"


def test_on_the_cpu_it_is_float32_and_32_at_once(canvas: painter.PipelinePainter) -> None:
    assert canvas.batch == painter.MAX_BATCH == 32
    assert {one.dtype for one in canvas.pipeline.unet.parameters()} == {torch.float32}


def test_steps_are_told_and_change_nothing(canvas: painter.PipelinePainter) -> None:
    told: list[tuple[str, int]] = []

    def progress(label: str, items: Iterable[object]) -> Iterable[object]:
        for index, item in enumerate(items):
            told.append((label, index))
            yield item

    watched = replace(canvas, progress=progress)
    assert (watched.paint(PROMPTS, SEEDS) == canvas.paint(PROMPTS, SEEDS)).all()
    assert told == [("step", 0), ("step", 1)]


def test_a_part_of_a_batch_is_painted_as_the_whole(canvas: painter.PipelinePainter) -> None:
    whole, parts = canvas.paint(PROMPTS, SEEDS), replace(canvas, batch=2).paint(PROMPTS, SEEDS)
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_it_paints_in_half_precision_with_weights_in_double() -> None:
    """What a GPU does, on the CPU: weights in float64 and rows go into the pipeline's dtype, and come out again."""
    half = painter.load(MODEL, steps=2, guidance=3.0)
    half.pipeline.to(torch.bfloat16)
    weight = dict(half.pipeline.unet.named_parameters())[KEY]
    before = weight.detach().clone()
    plain = half.paint(PROMPTS, SEEDS)
    changed = half.paint(PROMPTS, SEEDS, {KEY: np.zeros(weight.shape)})
    assert plain.shape == changed.shape == (3, 32, 32, 3) and (plain != changed).any()
    assert (weight == before).all() and weight.dtype == torch.bfloat16
    rows = np.zeros((3, 32, half.pipeline.text_encoder.config.hidden_size))
    assert half.paint_rows(rows, SEEDS).shape == (3, 32, 32, 3)
