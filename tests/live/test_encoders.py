"""A fine-tune in memory: its text encoder is compared with the delta's as `apply` compares that of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import live_cases as live
import pytest
import torch
from tiny_files import refused, sealed

import editc
from editc.core.delta import Delta
from editc.formats.apply.plan import plan_apply
from editc.formats.models.fingerprint import encoder_fingerprint, projected_fingerprint
from editc.formats.models.model import open_model
from editc.live.slots import find_slots


def fine_tuned(family: str, folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Delta]:
    """A pipeline in memory whose edited weights were trained on, and a delta for its base with the base's encoder."""
    model = live.saved(family, folder)
    delta = live.delta_for(family, model)
    mark = projected_fingerprint(encoder_fingerprint(model), model.component(delta.sites[0].site.component))
    pipe = live.in_memory(family, folder, dtype)
    for record in delta.sites:
        slots = find_slots(pipe.components[record.site.component], [record.site.name])
        with torch.no_grad():
            getattr(slots[record.site.name].owner, slots[record.site.name].leaf).mul_(1.02)
    return pipe, sealed(replace(delta, encoder=mark))


def notes(pipe: Any, delta: Delta) -> list[str]:
    with live.unchanged(pipe), editc.load(pipe, delta, allow_finetune=True) as loaded:
        assert loaded.plan.tier == "relative"
        return [note for note in loaded.notes if "text encoder" in note]


@pytest.mark.parametrize("family", live.PIPELINES)
def test_the_encoder_of_the_base_needs_no_word(family: str, tmp_path: Path) -> None:
    assert notes(*fine_tuned(family, tmp_path / "m")) == []


def other_weights(pipe: Any) -> None:
    with torch.no_grad():
        next(pipe.text_encoder.parameters()).mul_(1.1)


def other_words(pipe: Any) -> None:
    found = dict(pipe.tokenizer.get_vocab())
    pipe.tokenizer = type(pipe.tokenizer)(vocab={word: i for i, word in enumerate(sorted(found))}, merges=[])


def other_settings(pipe: Any) -> None:
    pipe.text_encoder.config.hidden_act = "relu"


@pytest.mark.parametrize("change", [other_weights, other_words, other_settings])
def test_another_encoder_is_refused_before_anything_changes(change: Callable[[Any], None], tmp_path: Path) -> None:
    pipe, delta = fine_tuned("sd1", tmp_path / "m")
    change(pipe)
    with live.unchanged(pipe), refused("E623") as error:
        editc.load(pipe, delta, allow_finetune=True)
    assert "StableDiffusionPipeline in memory" in error.diagnostics[0].place


def test_the_words_are_those_of_apply(tmp_path: Path) -> None:
    """The same pipeline, saved, is refused with the same message and the same fingerprints."""
    pipe, delta = fine_tuned("sd1", tmp_path / "m")
    other_weights(pipe)
    pipe.save_pretrained(tmp_path / "saved")
    with refused("E623") as in_memory:
        editc.load(pipe, delta, allow_finetune=True)
    with refused("E623") as on_disk:
        plan_apply([delta], open_model(tmp_path / "saved"), allow_finetune=True)
    assert replace(in_memory.diagnostics[0], place="") == replace(on_disk.diagnostics[0], place="")


def test_tokens_that_were_added_make_no_other_encoder(tmp_path: Path) -> None:
    pipe, delta = fine_tuned("sd1", tmp_path / "m")
    pipe.tokenizer.add_tokens(["<concept>"])
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
    (note,) = notes(pipe, delta)
    assert "added tokens" in note


def without(name: str) -> Callable[[Any], Any]:
    def change(pipe: Any) -> Any:
        setattr(pipe, name, None)
        return pipe

    return change


UNKNOWN: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "a bare network": (lambda pipe: pipe.unet, "no text encoder is in memory"),
    "an encoder that was left out": (without("text_encoder"), "no text encoder is in memory"),
    "a tokenizer that was left out": (without("tokenizer"), "was loaded without tokenizer"),
    "fewer digits": (lambda pipe: pipe.text_encoder.to(torch.bfloat16) and pipe, "holds fewer digits"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_cannot_be_compared_is_said(case: str, tmp_path: Path) -> None:
    pipe, delta = fine_tuned("sd1", tmp_path / "m")
    change, words = UNKNOWN[case]
    (note,) = notes(change(pipe), delta)
    assert words in note and "compared" in note


def test_half_precision_is_the_same_encoder(tmp_path: Path) -> None:
    pipe, delta = fine_tuned("sd1", tmp_path / "m")
    pipe.text_encoder.to(torch.float16)
    assert notes(pipe, delta) == []


def test_a_model_of_the_base_is_loaded_without_a_look_at_its_encoder(tmp_path: Path) -> None:
    """As `apply` does: where the edited weights are the base's, nothing is computed anew."""
    model = live.saved("sd1", tmp_path / "m")
    pipe, delta = live.in_memory("sd1", tmp_path / "m", torch.float32), live.delta_for("sd1", model)
    other_weights(pipe)
    with editc.load(pipe, sealed(replace(delta, encoder="0" * 64)), allow_finetune=True) as loaded:
        assert loaded.plan.tier == "exact"
