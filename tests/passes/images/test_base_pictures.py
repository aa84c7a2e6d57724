"""Pictures of the unedited model are painted once, and are the same from the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from editc import api
from editc.backends import painter as painting
from editc.backends.painter_mark import painter_mark
from editc.cache.disk import DiskCache
from editc.core.ports import Context
from editc.libraries.device import DEVICE_VARIABLE
from editc.passes.images.painting.base_pictures import paint_base

PAINTED = """
editc: 1
model: editc:demo
edits: [{erase: circle, to: square}]
verify: {images: {detector: editc:demo, guidance: 3, steps: 1, prompts_per_concept: 4}}
constraints: {bystander_loss: 1}
"""


class Noise:
    """Paints noise of every value, and remembers for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], tuple[int, ...]]] = []

    def paint(self, prompts: Sequence[str], seeds: Sequence[int], changed: Any = None) -> Any:
        self.asked.append((tuple(prompts), tuple(seeds)))
        return np.random.default_rng(list(seeds)).integers(0, 256, (len(seeds), 16, 24, 3)).astype(np.uint8)


def context(painter: Any, cache: Any, mark: str = "mark") -> Context:
    weights: Any = SimpleNamespace()
    return Context(weights, painter=painter, painter_mark=mark, picture_cache=cache)


def test_every_value_comes_back_from_the_cache_as_it_was_painted(tmp_path: Path) -> None:
    noise, cache = Noise(), DiskCache(tmp_path)
    first, again = (paint_base(["a", "b"], [1, 2], context(noise, cache)) for _ in range(2))
    assert len(noise.asked) == 1 and first.dtype == again.dtype == np.uint8
    assert np.array_equal(first, again) and np.array_equal(first, noise.paint(["a", "b"], [1, 2]))
    assert {0, 255} <= set(np.unique(first[..., 0])) & set(np.unique(first[..., 2]))


@pytest.mark.parametrize(
    ("prompts", "seeds", "mark"),
    [
        (["a", "c"], [1, 2], "mark"),
        (["a", "b"], [1, 3], "mark"),
        (["a"], [1], "mark"),
        (["a", "b"], [1, 2], "other"),
    ],
)
def test_other_prompts_seeds_batches_and_painters_are_painted(
    prompts: list[str], seeds: list[int], mark: str, tmp_path: Path
) -> None:
    noise, cache = Noise(), DiskCache(tmp_path)
    paint_base(["a", "b"], [1, 2], context(noise, cache))
    paint_base(prompts, seeds, context(noise, cache, mark))
    assert len(noise.asked) == 2


def test_nothing_is_cached_without_a_mark(tmp_path: Path) -> None:
    noise = Noise()
    for _ in range(2):
        paint_base(["a"], [1], context(noise, DiskCache(tmp_path), ""))
    assert len(noise.asked) == 2 and not list(tmp_path.iterdir())


def test_the_mark_names_files_and_settings_and_is_empty_on_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    file = tmp_path / "unet" / "weights"
    file.parent.mkdir()
    file.write_bytes(b"1")
    one = painting.PipelinePainter(None, "unet", 12, 3.0)
    mark = painter_mark(tmp_path, one)
    assert mark and mark == painter_mark(tmp_path, one)
    others = [replace(one, steps=13), replace(one, guidance=4.0), replace(one, batch=2)]
    assert len({mark, *(painter_mark(tmp_path, other) for other in others)}) == 4
    os.utime(file, ns=(1, 1))
    assert painter_mark(tmp_path, one) != mark
    monkeypatch.delenv(DEVICE_VARIABLE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert painter_mark(tmp_path, one) == ""


@pytest.mark.slow
def test_a_second_build_paints_the_edited_model_alone_and_shows_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m.yaml").write_text(PAINTED)
    asked, original = list[bool](), painting.PipelinePainter.paint

    def paint(
        self: painting.PipelinePainter, prompts: Any, seeds: Any, changed: Mapping[str, Any] | None = None
    ) -> Any:
        asked.append(changed is None)
        return original(self, prompts, seeds, changed)

    monkeypatch.setattr(painting.PipelinePainter, "paint", paint)
    pages, counts = [], []
    for name in ("first", "second"):
        asked.clear()
        assert api.build(tmp_path / "m.yaml", tmp_path / name) is not None
        pages.append((tmp_path / name / "report.html").read_bytes())
        counts.append((asked.count(True), asked.count(False)))
    assert pages[0] == pages[1]
    (base, edited), (again, edited_again) = counts
    assert base == edited == edited_again > 0 and again == 0
