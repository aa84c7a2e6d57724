"""No guard is off in silence: an encoder that is compared, one that cannot be, and files that stand for others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_files import delta_for, pipeline, refused, sealed

from editc import api
from editc.core.delta import Delta
from editc.formats.apply.encoder_marks import PARTS, weight_mark
from editc.formats.apply.plan import plan_apply
from editc.formats.models.model import Model, open_model

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1835056\n"


@pytest.fixture
def delta(tmp_path: Path) -> Delta:
    return delta_for(pipeline(tmp_path / "base"))


def notes(delta: Delta, model: Model) -> list[str]:
    return [note for note in plan_apply([delta], model, allow_finetune=True).notes if "text encoder" in note]


def test_the_same_encoder_needs_no_word(delta: Delta, tmp_path: Path) -> None:
    assert notes(delta, pipeline(tmp_path / "tuned", drift=0.05)) == []


def test_a_delta_without_a_mark_matches_nothing(delta: Delta, tmp_path: Path) -> None:
    other = pipeline(tmp_path / "tuned", drift=0.05, encoder_seed=8)
    (note,) = notes(sealed(replace(delta, encoder="")), other)
    assert "does not say which text encoder" in note and "not compared" in note


def test_an_encoder_that_is_a_pickle_is_named(delta: Delta, tmp_path: Path) -> None:
    other = pipeline(tmp_path / "tuned", drift=0.05, encoder_seed=8)
    folder = tmp_path / "tuned" / "text_encoder"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (note,) = notes(delta, other)
    assert "not compared" in note and "pytorch_model.bin" in note


@pytest.mark.parametrize("damage", ["LFS", "cut", "config"])
def test_an_encoder_that_cannot_be_read_is_no_match(damage: str, delta: Delta, tmp_path: Path) -> None:
    other = pipeline(tmp_path / "tuned", drift=0.05, encoder_seed=8)
    folder = tmp_path / "tuned" / "text_encoder"
    if damage == "LFS":
        (folder / "model.safetensors").write_text(POINTER)
    elif damage == "cut":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    else:
        (folder / "config.json").write_text("{")
    (note,) = notes(delta, other)
    assert "not compared" in note


def grown(folder: Path, more: int, first: float = 0.0) -> None:
    """More tokens than the vocabulary has, as textual inversion adds them; `first` is added to a row that was there."""
    words = '{"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}'
    (folder / "tokenizer" / "vocab.json").write_text(words)
    (folder / "tokenizer" / "merges.txt").write_text("a b\n")
    file = folder / "text_encoder" / "model.safetensors"
    found = load_file(file)
    rows = found.pop("embed.weight")
    rows[0] += first
    found["token_embedding.weight"] = torch.cat([rows, torch.ones(more, rows.shape[1])])
    save_file(found, file)


@pytest.mark.parametrize(("first", "same"), [(0.0, True), (0.5, False)])
def test_tokens_that_were_added_make_no_other_encoder(first: float, same: bool, tmp_path: Path) -> None:
    pipeline(tmp_path / "base")
    pipeline(tmp_path / "tuned", drift=0.05)
    grown(tmp_path / "base", 0)
    grown(tmp_path / "tuned", 2, first)
    delta, other = delta_for(open_model(tmp_path / "base")), open_model(tmp_path / "tuned")
    if same:
        assert "added tokens" in notes(delta, other)[0]
    else:
        with refused("E623"):
            plan_apply([delta], other, allow_finetune=True)


def test_a_weight_mark_leaves_the_projection_out(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    marks = []
    for more in ({}, {"text_projection.weight": torch.ones(2, 2)}, {"x": torch.ones(1)}):
        save_file({"text_model.a": torch.ones(3), **more}, file)
        marks.append(weight_mark(open_model(file).component("text_encoder")))
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("alike", [True, False])
def test_an_encoder_in_a_single_file_is_compared(alike: bool, tmp_path: Path) -> None:
    import ldm_files

    base = ldm_files.pico_folder(tmp_path / "base", ldm_files.PICO_SD1)
    tuned = ldm_files.tuned_folder(base, tmp_path / "tuned")
    if not alike:
        file = tuned / "text_encoder" / "model.safetensors"
        save_file({name: value * 1.5 for name, value in load_file(file).items()}, file, {"format": "pt"})
    single = open_model(ldm_files.single_file(tuned, tmp_path / "alone.safetensors"))
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {base}\nedits: [{{erase: circle, to: square}}]\npreserve: {{prompts: [a]}}\n")
    built = api.build(path, tmp_path / "out")
    assert built is not None and built.delta is not None and set(built.delta.extra[PARTS]) == {"text_encoder"}
    if alike:
        assert "vocabulary was not" in notes(built.delta, single)[0]
    else:
        with refused("E623"):
            plan_apply([built.delta], single, allow_finetune=True)


def checked(folder: Path) -> list[str]:
    path = folder.parent / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {folder}\nedits: [{{erase: circle, to: square}}]\n")
    return [one.code for one in api.check(path).diagnostics]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("text_encoder/model.safetensors", POINTER, "E618"),
        ("unet/diffusion_pytorch_model.safetensors", POINTER, "E618"),
        ("tokenizer/vocab.json", POINTER, "E618"),
        ("tokenizer/tokenizer_config.json", "{", "E617"),
        ("text_encoder/config.json", "[]", "E617"),
        ("text_encoder/config.json", '{"model_type": "bert", "architectures": ["BertModel"]}', "E205"),
        ("text_encoder/config.json", None, "E205"),
        ("text_encoder/model.safetensors", "cut", "E612"),
        ("text_encoder/model.safetensors", None, "E611"),
    ],
)
def test_check_says_what_a_build_could_not_load(name: str, text: str | None, code: str, tmp_path: Path) -> None:
    from editc.demo import MODEL

    shutil.copytree(MODEL, tmp_path / "m")
    file = tmp_path / "m" / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert checked(tmp_path / "m") == [code]


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    from editc.demo import MODEL

    shutil.copytree(MODEL, tmp_path / "m")
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        file = tmp_path / "m" / name
        kept = file.rename(tmp_path / "kept")
        file.symlink_to(tmp_path / "nowhere")
        assert checked(tmp_path / "m") == ["E610"]
        file.unlink()
        kept.rename(file)
    assert checked(tmp_path / "m") == []
