"""A wrong file fails its trial, and nothing is left where writing fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_cases
import numpy as np
import pytest
import tiny_files as tiny
from export_cases import edit
from safetensors.numpy import load_file, save_file

from editc.formats.exports import lowering, trials
from editc.formats.exports import write as export_
from editc.formats.exports.format import ConsumerTrial, Job, Written
from editc.formats.exports.kohya_names import ALPHA, DOWN, UP, module_name
from editc.formats.exports.write import export
from editc.registry.formats import FORMATS

models = export_cases.models


def test_mixed_ranks_with_alpha_of_each_fail_the_trial(models: Any, tmp_path: Path) -> None:
    """The bug of diffusers 0.42 that kohya's power-of-two form is there for: 1/r of the change, and not a word."""
    model = models("sd1")
    delta = edit(model, "sd1", "low-rank", (1, 2, 3, 4, 5))
    path = tmp_path / "bad.safetensors"
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for record, left, right in lowering.pairs(delta):
        key = module_name(record.site.name)
        tensors |= {key + UP: left, key + DOWN: right.copy(), key + ALPHA: np.array(len(right), np.float32)}
    save_file(tensors, path)
    trial = trials.try_diffusers_unet(Job(delta, model, path), Written((path,), delta))
    assert not trial.passed and trial.matched == trial.total and trial.error > 1e-3


def spoiled(monkeypatch: pytest.MonkeyPatch, name: str, trial: Any) -> None:
    from dataclasses import replace

    form = replace(FORMATS.resolve(name), trials=trial)
    monkeypatch.setattr(export_, "find_format", lambda _: form)


def test_a_wrong_file_is_an_error(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E682 where another change is held, a module is missing or too many; E684 where the program stops."""
    model = models("sd1")
    delta = edit(model, "sd1", "low-rank")
    first, last = (module_name(delta.sites[index].site.name) for index in (0, -1))

    def after(change: Any) -> Any:
        def trial(job: Job, written: Written) -> tuple[ConsumerTrial, ...]:
            save_file(change(load_file(written.files[0])), written.files[0])
            return (trials.try_diffusers_unet(job, written),)

        return trial

    changes = {
        "half": lambda t: t | {first + UP: t[first + UP] / 2},
        "less": lambda t: {k: v for k, v in t.items() if not k.startswith(last)},
        "more": lambda t: t | {k.replace("attn2", "attn1"): v for k, v in t.items() if "to_q" in k} | stranger(t, last),
        "other": lambda t: {first + ".diff": t[first + UP]},
    }
    for number, (what, change) in enumerate(changes.items()):
        spoiled(monkeypatch, "kohya", after(change))
        made = export(Job(delta, model, tmp_path / str(number)), "kohya")
        assert [one.code for one in made.failures] == ["E684" if what == "other" else "E682"], what
        assert not (tmp_path / str(number)).exists()


def stranger(tensors: dict[str, Any], like: str) -> dict[str, Any]:
    key = like.replace("to_v", "to_q")
    up, down = tensors[like + UP], tensors[like + DOWN][:, :1].repeat(len(tensors[like + UP]), 1)
    return {key + UP: up, key + DOWN: down, key + ALPHA: tensors[like + ALPHA]}


def test_nothing_is_left_where_writing_fails(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle, of a file and of a folder; and an export that does not read back."""
    from editc.core.storage import disk
    from editc.formats.exports import peft

    model = models("llama")
    delta = edit(model, "llama", "low-rank")
    kept = disk.write_new

    def full(path: Path, chunks: Any) -> None:
        kept(path, chunks)
        if path.suffix == ".json" or path.name.startswith("."):
            raise OSError(28, "No space left on device")

    for module_ in (disk, peft):
        monkeypatch.setattr(module_, "write_new", full)
    with tiny.refused("E632"):
        export(Job(delta, model, tmp_path / "export"), "peft")
    with tiny.refused("E632"):
        export(Job(delta, model, tmp_path / "export"), "safetensors")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    monkeypatch.setattr("editc.formats.exports.read.read_delta", lambda place: edit(model, "llama", "dense"))
    with tiny.refused("E681"):
        export(Job(delta, model, tmp_path / "export"), "peft")
    assert not list(tmp_path.iterdir())
