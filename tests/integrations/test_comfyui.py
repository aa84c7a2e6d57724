"""The nodes for ComfyUI give its weights the values that `editc apply` writes, and leave its own objects alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy_cases as comfy
import consumer_models as pico
import ldm_files
import pytest
import torch
from safetensors.torch import load_file, save_file

from editc import api
from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

edit = comfy.part_of_pack("edit")


@dataclass(frozen=True)
class Case:
    """A checkpoint, a delta for it, and the weights that `editc apply` makes of it."""

    file: Path
    delta: Delta
    applied: Mapping[str, torch.Tensor]


def make_case(folder: Path, form: str = "shared", component: str = "unet") -> Case:
    file = comfy.demo_checkpoint(folder)
    model = open_model(file)
    if component == "unet":
        chosen = pico.sites(model, "sd1")[:4]
    else:
        names = [f"text_model.encoder.layers.0.self_attn.{part}_proj.weight" for part in "qv"]
        chosen = [pico.site(model, "text_encoder", name, "text") for name in names]
    delta = write_delta(pico.delta(model, "sd1", chosen, form), folder / "delta.safetensors")
    api.apply(folder / "delta.safetensors", file, out=folder / "applied.safetensors")
    return Case(file, delta, load_file(folder / "applied.safetensors"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("sd1"))


def weights_of(patcher: comfy.ModelPatcher) -> Mapping[str, torch.Tensor]:
    """The weights with which ComfyUI would paint."""
    found = {key: value.clone() for key, value in patcher.patch_model().state_dict().items()}
    patcher.unpatch_model()
    return found


def differing(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor], prefix: str = "model.") -> list[str]:
    """The names of `one` whose weights `two` has otherwise, with `prefix` before the name."""
    return [name for name, value in one.items() if not torch.equal(value, two[prefix + name])]


def codes(error: pytest.ExceptionInfo[EditcError]) -> list[str]:
    return [one.code for one in error.value.diagnostics]


def test_a_model_gets_the_weights_that_apply_writes(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    edited = edit.apply_delta(case.delta, model)
    assert edited.changed == len(case.delta.sites) == len(edited.model.patches)
    assert len(differing(weights_of(model), case.applied)) == edited.changed, "the edit is there to be seen"
    assert differing(weights_of(edited.model), case.applied) == []


@pytest.mark.parametrize("form", ["low-rank", "dense"])
def test_every_form_of_an_edit_is_exact(form: str, tmp_path: Path) -> None:
    case = make_case(tmp_path, form)
    model, _ = comfy.load_checkpoint(case.file)
    assert differing(weights_of(edit.apply_delta(case.delta, model).model), case.applied) == []


def test_a_model_that_was_loaded_in_another_number_format_gets_that_format_s_result(case: Case, tmp_path: Path) -> None:
    wide = tmp_path / "wide.safetensors"
    save_file({name: value.float() for name, value in load_file(case.file).items()}, wide)
    write_delta(case.delta, tmp_path / "delta.safetensors")
    api.apply(tmp_path / "delta.safetensors", wide, out=tmp_path / "applied.safetensors")
    model, _ = comfy.load_checkpoint(case.file, torch.float32)
    edited = edit.apply_delta(case.delta, model)
    assert "another number format" in edited.notes[0]
    assert differing(weights_of(edited.model), load_file(tmp_path / "applied.safetensors")) == []


def test_the_model_that_was_given_is_not_changed(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    before, mark = weights_of(model), model.patches_uuid
    edited = edit.apply_delta(case.delta, model)
    assert edited.model is not model and edited.model.patches_uuid != mark
    assert (model.patches, model.attachments, model.patches_uuid) == ({}, {}, mark)
    assert all(torch.equal(value, before[key]) for key, value in weights_of(model).items())


def test_a_text_encoder_is_edited_in_the_clip_and_asked_for_where_none_is_connected(tmp_path: Path) -> None:
    case = make_case(tmp_path, "low-rank", "text_encoder")
    model, clip = comfy.load_checkpoint(case.file)
    with pytest.raises(EditcError) as refused:
        edit.apply_delta(case.delta, model)
    assert codes(refused) == ["E615"] and "connect the CLIP" in str(refused.value.diagnostics[0].help)
    edited = edit.apply_delta(case.delta, model, clip)
    assert edited.model is model and clip.patcher.patches == {}
    named = {"cond_stage_model." + key.removeprefix("clip_l."): v for key, v in weights_of(edited.clip.patcher).items()}
    assert differing(named, case.applied, "") == []


def test_weights_that_are_not_the_recorded_ones_are_refused_unless_a_fine_tune_is_asked_for(
    case: Case, tmp_path: Path
) -> None:
    tuned = ldm_files.tuned_folder(MODEL, tmp_path / "tuned")
    model, _ = comfy.load_checkpoint(ldm_files.single_file(tuned, tmp_path / "tuned.safetensors"))
    with pytest.raises(EditcError) as refused:
        edit.apply_delta(case.delta, model)
    assert codes(refused) == ["E622"]
    edited = edit.apply_delta(case.delta, model, allow_finetune=True)
    assert "fine-tune" in edited.notes[0] and edited.changed == len(case.delta.sites)


def test_a_model_of_another_architecture_is_refused(case: Case) -> None:
    transformer = comfy.ModelPatcher(comfy.Weights({"diffusion_model.blocks.0.cross_attn.weight": torch.ones(4, 4)}))
    with pytest.raises(EditcError) as refused:
        edit.apply_delta(case.delta, transformer)
    assert codes(refused) == ["E615"]


def test_a_lora_before_the_delta_stays_and_is_told(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    (key, *_) = edit.apply_delta(case.delta, model).model.patches
    lora = model.clone()
    lora.add_patches({key: ("diff", (torch.full_like(model.model.state_dict()[key], 0.5),))})
    both = edit.apply_delta(case.delta, lora)
    assert any("other patches are on 1 matrix" in note for note in both.notes)
    found = weights_of(both.model)[key].float() - weights_of(lora)[key].float()
    wanted = case.applied[f"model.{key}"].float() - load_file(case.file)[f"model.{key}"].float()
    assert torch.allclose(found, wanted, atol=1e-3) and not torch.allclose(wanted, torch.zeros_like(wanted), atol=1e-3)


def test_a_lora_after_the_delta_is_added_to_the_edited_weight(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    edited = edit.apply_delta(case.delta, model).model
    (key, *_) = edited.patches
    later = edited.clone()
    later.add_patches({key: ("diff", (torch.ones_like(model.model.state_dict()[key]),))})
    assert torch.equal(weights_of(later)[key], (case.applied[f"model.{key}"].float() + 1).half())


def test_taking_a_delta_out_leaves_the_other_patches(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    edited = edit.apply_delta(case.delta, model).model
    (key, *_) = edited.patches
    later = edited.clone()
    later.add_patches({key: ("diff", (torch.ones_like(model.model.state_dict()[key]),))})
    back = edit.revert_deltas(later)
    assert list(back.model.patches) == [key] and back.model.attachments == {} and back.changed == len(case.delta.sites)
    assert len(later.patches[key]) == 2, "the node before keeps its patches"
    with pytest.raises(EditcError) as nothing:
        edit.revert_deltas(back.model)
    assert codes(nothing) == ["E634"]


def test_a_delta_is_added_once_and_another_for_the_same_matrices_is_refused(case: Case, tmp_path: Path) -> None:
    model, _ = comfy.load_checkpoint(case.file)
    edited = edit.apply_delta(case.delta, model).model
    again = edit.apply_delta(case.delta, edited)
    assert again.model is edited and again.notes == ("this delta is in it already",)
    opened = open_model(case.file)
    other = write_delta(
        pico.delta(opened, "sd1", pico.sites(opened, "sd1")[:2], "low-rank"), tmp_path / "d.safetensors"
    )
    with pytest.raises(EditcError) as refused:
        edit.apply_delta(other, edited)
    assert codes(refused) == ["E624"]


def test_a_checkpoint_that_holds_the_edit_is_left_as_it_is(case: Case) -> None:
    model, _ = comfy.load_checkpoint(case.file.parent / "applied.safetensors")
    edited = edit.apply_delta(case.delta, model)
    assert edited.model is model and edited.notes[-1] == edit.EDITED_FILE


def test_a_model_that_is_on_the_graphics_card_is_read_without_its_patches(case: Case) -> None:
    """ComfyUI puts patched weights into the network while it paints, and keeps the old ones beside it."""
    model, _ = comfy.load_checkpoint(case.file)
    edited = edit.apply_delta(case.delta, model)
    edited.model.patch_model()
    again: Any = edit.apply_delta(case.delta, model)
    assert "the very weights" in again.notes[0]
    assert differing(weights_of(again.model), case.applied) == []
