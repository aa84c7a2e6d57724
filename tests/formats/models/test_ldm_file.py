"""An LDM single file and the diffusers folder of the same model are one model to editc."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_files
import torch
from ldm_files import PICO_SD1, PICO_SDXL, open_clip, pico_folder, single_file, tuned_folder, unet_of
from safetensors.torch import load_file, save_file
from tiny_files import delta_for, refused

from editc import api
from editc.backends.encoders import load
from editc.core.delta import Delta
from editc.core.family import CLIP_ROWS
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.formats import inspect as inspecting
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.apply.target import ApplyPlan
from editc.formats.containers.safetensors import read_header
from editc.formats.models import ldm_encoder
from editc.formats.models.fingerprint import encoder_fingerprint
from editc.formats.models.model import open_model
from editc.manifests.decode import decode
from editc.opening.clip_folder import open_clip as open_clip_folder
from editc.opening.encoder import find_encoder, load_clip

MANIFEST = """editc: 1
model: MODEL
edits: [{erase: circle, to: square}]
contexts: ['a {}', '{}']
preserve: {prompts: [a star]}
"""


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `m`, and its LDM file `m.safetensors` far from any encoder."""
    root = tmp_path_factory.mktemp("sd1")
    pico_folder(root / "m", PICO_SD1)
    (root / "alone").mkdir()
    single_file(root / "m", root / "alone" / "m.safetensors")
    return root


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sdxl")
    pico_folder(root / "m", PICO_SDXL)
    (root / "alone").mkdir()
    single_file(root / "m", root / "alone" / "m.safetensors", encoder="sdxl")
    return root


def projections(folder: Path) -> list[str]:
    return sorted(name for name in unet_of(folder) if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")))


def as_diffusers(file: Path, folder: Path) -> Mapping[str, torch.Tensor]:
    """The UNet as diffusers itself reads it from the single file."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_single_file(
        str(file), config=str(folder), subfolder="unet", local_files_only=True, torch_dtype=torch.float16
    )
    return dict(unet.state_dict())


def raw_parts(file: Path) -> dict[str, bytes]:
    data = file.read_bytes()
    return {name: data[entry.start : entry.end] for name, entry in read_header(file).entries.items()}


def planned(delta: Delta, place: Path, **options: Any) -> ApplyPlan:
    return plan_apply([delta], open_model(place), **options)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize("made_from", ["folder", "file"])
def test_one_delta_serves_the_folder_and_the_file(
    kind: str, made_from: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root: Path = request.getfixturevalue(kind)
    folder, file = root / "m", root / "alone" / "m.safetensors"
    delta = delta_for(open_model(folder if made_from == "folder" else file), names=projections(folder))
    plans = [planned(delta, folder), planned(delta, file)]
    assert [(plan.tier, plan.status) for plan in plans] == [("exact", "ready")] * 2
    done = [apply(plan, out=tmp_path / name) for plan, name in zip(plans, ("m", "m.safetensors"), strict=True)]
    assert done[0].results == done[1].results and len(done[0].results) == len(projections(folder))
    theirs, ours = as_diffusers(tmp_path / "m.safetensors", folder), unet_of(tmp_path / "m")
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert not torch.equal(ours[projections(folder)[0]], unet_of(folder)[projections(folder)[0]])
    before, after = raw_parts(file), raw_parts(tmp_path / "m.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert len(changed) == len(projections(folder)) and all(".attn2.to_" in name for name in changed)
    for place in (tmp_path / "m", tmp_path / "m.safetensors"):
        assert status(open_model(place), [delta]).applied == (delta.delta_id,)
        assert planned(delta, place).status == "already"


def test_in_place_and_back_is_bit_for_bit(sd1: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(sd1 / "alone" / "m.safetensors", tmp_path / "m.safetensors"))
    before = file.read_bytes()
    delta = delta_for(open_model(sd1 / "m"), names=projections(sd1 / "m"))
    apply(planned(delta, file), in_place=True)
    assert file.read_bytes() != before
    assert status(open_model(file)).applied == (delta.delta_id,), "the journal alone is enough"
    assert revert(open_model(file)).tensors == len(projections(sd1 / "m"))
    assert Path(file).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors"]


def test_a_half_precision_export_is_a_cast_and_another_model_is_refused(sd1: Path, tmp_path: Path) -> None:
    wide = {name: value.float() for name, value in unet_of(sd1 / "m").items()}
    shutil.copytree(sd1 / "m", tmp_path / "wide")
    save_file(wide, tmp_path / "wide" / "unet" / "diffusion_pytorch_model.safetensors")
    delta = delta_for(open_model(tmp_path / "wide"), names=projections(sd1 / "m"))
    assert planned(delta, sd1 / "alone" / "m.safetensors").tier == "cast"
    for dtype, tier in ((torch.float32, "exact"), (torch.bfloat16, "cast")):
        assert planned(delta, single_file(sd1 / "m", tmp_path / "m.safetensors", dtype)).tier == tier
    other = single_file(tuned_folder(sd1 / "m", tmp_path / "tuned"), tmp_path / "other.safetensors")
    with refused("E622"):
        planned(delta, other)
    plan = planned(delta, other, allow_finetune=True)
    assert plan.tier == "relative" and plan.distance == pytest.approx(0.03, rel=0.2)
    stranger = single_file(pico_folder(tmp_path / "stranger", PICO_SD1, seed=5), tmp_path / "stranger.safetensors")
    with refused("E695"):
        planned(delta, stranger, allow_finetune=True)


def test_an_ema_copy_is_left_alone_and_said_to_be(sd1: Path, tmp_path: Path) -> None:
    file = single_file(sd1 / "m", tmp_path / "m.safetensors", ema=True)
    delta = delta_for(open_model(sd1 / "m"), names=projections(sd1 / "m"))
    plan = planned(delta, file)
    assert plan.tier == "exact" and any("EMA copy" in note for note in plan.notes)
    apply(plan, out=tmp_path / "out.safetensors")
    before, after = raw_parts(file), raw_parts(tmp_path / "out.safetensors")
    assert sum(name.startswith("model_ema.diffusion_model") for name in before) > 680
    assert all(before[name] == after[name] for name in before if name.startswith("model_ema."))
    assert not any("EMA" in note for note in planned(delta, sd1 / "alone" / "m.safetensors").notes)


def test_inspect_names_the_parts_and_counts_the_rest(sd1: Path, sdxl: Path) -> None:
    found = inspecting.inspect(str(sd1 / "alone" / "m.safetensors"))
    whole = read_header(sd1 / "alone" / "m.safetensors").entries
    assert found["layout"] == "LDM file" and found["unreadable"] == []
    parts = found["components"]
    assert set(parts) == {"unet", "text_encoder", "others"}
    assert parts["unet"]["tensors"] == len(unet_of(sd1 / "m"))
    assert sum(part["tensors"] for part in parts.values()) == len(whole)
    assert sum(part["bytes"] for part in parts.values()) == sum(e.end - e.start for e in whole.values())
    second = inspecting.inspect(str(sdxl / "alone" / "m.safetensors"))["components"]
    assert set(second) == {"unet", "text_encoder", "text_encoder_2", "others"}
    model = open_model(sd1 / "alone" / "m.safetensors")
    assert len(model.component().tensors) == len(whole), "without a part's name it is the file as it is"
    with refused("E615"):
        model.component("vae")


def build(folder: Path, model: Path, more: str = "") -> Delta:
    (folder / "m.yaml").write_text(MANIFEST.replace("MODEL", str(model)) + more)
    built = api.build(folder / "m.yaml", folder / "out")
    assert built is not None and built.delta is not None
    return built.delta


@pytest.mark.parametrize("words", ["beside", "pipeline", "tokenizer"])
def test_a_build_from_the_file_is_the_build_from_the_folder(sd1: Path, tmp_path: Path, words: str) -> None:
    """Where the settings are not beside it, the pico encoder's odd width asks for them."""
    file = Path(shutil.copy(sd1 / "alone" / "m.safetensors", tmp_path))
    more = ""
    if words == "beside":
        for part in ("tokenizer", "text_encoder"):
            shutil.copytree(sd1 / "m" / part, tmp_path / part)
        shutil.copy(sd1 / "m" / "prompts.txt", tmp_path)
    elif words == "pipeline":
        more = f"encoder: {sd1 / 'm'}\n"
    else:
        shutil.copytree(sd1 / "m" / "tokenizer", tmp_path / "words")
        shutil.copy(sd1 / "m" / "text_encoder" / "config.json", tmp_path / "words")
        more = "encoder: words\n"
    (tmp_path / "base").mkdir()
    made, base = build(tmp_path, file, more), build(tmp_path / "base", sd1 / "m")
    assert made.encoder == base.encoder != ""
    assert made.sites == base.sites and made.family == base.family == "sd1"
    assert all(
        np.array_equal(a, b) for a, b in zip(made.factors["text"].right, base.factors["text"].right, strict=True)
    )
    assert planned(made, sd1 / "m").tier == planned(base, file).tier == "exact"


def test_the_encoder_of_a_fine_tuned_file_is_its_own_and_not_the_folder_s(sd1: Path, tmp_path: Path) -> None:
    shutil.copytree(sd1 / "m", tmp_path / "tuned")
    weights = tmp_path / "tuned" / "text_encoder" / "model.safetensors"
    save_file({name: value * 1.25 for name, value in load_file(weights).items()}, weights)
    file = single_file(tmp_path / "tuned", tmp_path / "tuned.safetensors")
    tuned, mixed = tmp_path / "a", tmp_path / "b"
    tuned.mkdir()
    mixed.mkdir()
    right = build(tuned, tmp_path / "tuned")
    assert build(mixed, file, f"encoder: {sd1 / 'm'}\n").encoder == right.encoder
    assert right.encoder != encoder_fingerprint(sd1 / "m")
    delta = delta_for(open_model(sd1 / "m"), names=projections(sd1 / "m"))
    other = single_file(tuned_folder(sd1 / "m", tmp_path / "o"), tmp_path / "o.safetensors")
    (note,) = [one for one in planned(delta, other, allow_finetune=True).notes if "text encoder" in one]
    assert "not compared" in note and "the delta does not record the weights" in note
    shutil.copytree(sd1 / "m" / "tokenizer", tmp_path / "tokenizer")
    shutil.copytree(sd1 / "m" / "text_encoder", tmp_path / "text_encoder")
    assert not any("text encoder" in note for note in planned(delta, other, allow_finetune=True).notes)


def test_open_clip_in_a_file_gives_the_folder_s_rows(sd1: Path, tmp_path: Path) -> None:
    """SD 2: joint projections are cut, the last layer is left out, and padding is token 0."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    file = single_file(sd1 / "m", tmp_path / "m.safetensors", encoder="open_clip")
    model = open_model(file)
    pieces = model.component("text_encoder")
    stored = load_file(sd1 / "m" / "text_encoder" / "model.safetensors")
    clip = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in stored.items()}
    assert set(pieces.names()) == set(clip)
    for name, value in clip.items():
        assert np.array_equal(pieces.read(name), value.double().numpy()), name
    for part in ("tokenizer", "text_encoder"):
        shutil.copytree(sd1 / "m" / part, tmp_path / part)
    found = ldm_encoder.assemble_encoder(model, tmp_path)
    assert found is not None and found.pad_id == 0
    assert found.fingerprint() == encoder_fingerprint(sd1 / "m")
    ours = load_clip(replace(found, pad_id=None), "")
    theirs = load.load_streams(load.PartLoader(sd1 / "m", open_clip_folder), CLIP_ROWS)["text"]
    pairs = zip(ours.encode(["a circle"]), theirs.encode(["a circle"]), strict=True)
    assert all(np.array_equal(a.rows, b.rows) for a, b in pairs)
    padded = load_clip(found, "").encode(["a circle"])[0]
    assert padded.tokens[-1] == 0 != ours.encode(["a circle"])[0].tokens[-1]

    class Config:
        hidden_size = 32

    class Text:
        config = Config()

    made = open_clip(clip, "cond_stage_model.model.", torch.zeros(32, 32))
    judged = convert_open_clip_checkpoint(Text(), dict(made))
    assert all(torch.equal(judged[name], clip[name]) for name in clip), "the fixture is what diffusers reads"


def check_fails(folder: Path, code: str, model: Path, more: str = "") -> str:
    (folder / "m.yaml").write_text(MANIFEST.replace("MODEL", str(model)) + more)
    with refused(code) as error:
        api.build(folder / "m.yaml", folder / "out")
    assert error.diagnostics[0].span is not None, "it underlines the manifest"
    return error.diagnostics[0].help


@pytest.mark.slow
def test_what_a_build_from_one_file_lacks_is_named(sd1: Path, sdxl: Path, tmp_path: Path) -> None:
    file = sd1 / "alone" / "m.safetensors"
    assert "encoder: FOLDER" in check_fails(tmp_path, "E220", file)
    assert "encoder: FOLDER" in check_fails(tmp_path, "E220", file, f"encoder: {tmp_path}\n")
    check_fails(tmp_path, "E220", file, f"encoder: {file}\n")
    check_fails(tmp_path, "E614", file, "encoder: nobody/nothing\n")
    check_fails(tmp_path, "E223", file, f"encoder: {sd1 / 'm' / 'tokenizer'}\n")
    bare = single_file(sd1 / "m", tmp_path / "bare.safetensors", encoder="none")
    check_fails(tmp_path, "E220", bare)
    check_fails(tmp_path, "E220", bare, f"encoder: {sd1 / 'm' / 'tokenizer'}\n")
    assert build(tmp_path, bare, f"encoder: {sd1 / 'm'}\n").encoder == encoder_fingerprint(sd1 / "m")
    check_fails(tmp_path, "E221", sd1 / "m" / "unet", "verify: {images: {detector: 'editc:demo', erased_at_most: 1}}\n")
    other = pico_folder(tmp_path / "other", PICO_SD1)
    weights = other / "text_encoder" / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    check_fails(tmp_path, "E222", sd1 / "m", f"encoder: {other}\n")


def test_an_sdxl_file_needs_its_encoders_as_folders_and_they_must_be_its_own(sdxl: Path, tmp_path: Path) -> None:
    """Two encoders are not put together from the file; which folder serves is decided by the weights."""
    model = open_model(sdxl / "alone" / "m.safetensors")

    def asked(folder: Path) -> Manifest:
        manifest, _ = decode(Source("m.yaml", f"editc: 1\nmodel: x\nencoder: {folder}\nedits: [{{erase: circle}}]\n"))
        assert manifest is not None
        return manifest

    with refused("E220"):
        find_encoder(asked(sdxl / "m" / "tokenizer"), model)
    with refused("E222"):
        find_encoder(asked(sdxl / "m"), model)  # it has the first encoder only
    shutil.copytree(sdxl / "m", tmp_path / "m")
    second = model.component("text_encoder_2")
    (tmp_path / "m" / "text_encoder_2").mkdir()
    values = {name: torch.from_numpy(second.read(name)).half() for name in second.names()}
    save_file(values, tmp_path / "m" / "text_encoder_2" / "model.safetensors")
    assert find_encoder(asked(tmp_path / "m"), model).fingerprint == encoder_fingerprint(tmp_path / "m")
    values = {name: value + 1 for name, value in values.items()}
    save_file(values, tmp_path / "m" / "text_encoder_2" / "model.safetensors")
    with refused("E222"):
        find_encoder(asked(tmp_path / "m"), model)


def test_a_file_whose_names_contradict_one_another_is_refused(sd1: Path, tmp_path: Path) -> None:
    parts = load_file(sd1 / "alone" / "m.safetensors")
    norm = "model.diffusion_model.input_blocks.1.1.norm"
    save_file(parts | {f"{norm}.gamma": parts[f"{norm}.weight"].clone()}, tmp_path / "m.safetensors")
    with refused("E660"):
        open_model(tmp_path / "m.safetensors").component("unet")
    joint = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias"
    top = {"cond_stage_model.model.transformer.resblocks.1.ln_1.bias": torch.zeros(3)}
    save_file(parts | top | {joint: torch.zeros(4)}, tmp_path / "m.safetensors")
    with refused("E660"):
        open_model(tmp_path / "m.safetensors").component("text_encoder")


def test_a_file_of_the_cache_is_found_by_its_folder(sd1: Path, tmp_path: Path) -> None:
    """A hub repository that is nothing but one LDM file."""
    shutil.copy(sd1 / "alone" / "m.safetensors", tmp_path / "m.safetensors")
    delta = delta_for(open_model(sd1 / "m"), names=projections(sd1 / "m"))
    plan = planned(delta, tmp_path)
    assert plan.model.layout == "folder" and plan.tier == "exact"
    apply(plan, in_place=True)
    revert(open_model(tmp_path))
    assert tiny_files.contents(tmp_path)["m.safetensors"] == (sd1 / "alone" / "m.safetensors").read_bytes()


def test_a_single_file_in_a_pipeline_s_folder_is_not_passed_over_in_silence(sd1: Path, tmp_path: Path) -> None:
    shutil.copytree(sd1 / "m", tmp_path / "m")
    shutil.copy(sd1 / "alone" / "m.safetensors", tmp_path / "m" / "v1-pruned.safetensors")
    delta = delta_for(open_model(sd1 / "m"), names=projections(sd1 / "m"))
    assert any("v1-pruned.safetensors beside" in note for note in planned(delta, tmp_path / "m").notes)
    assert not planned(delta, sd1 / "m").notes
    assert planned(delta, tmp_path / "m" / "v1-pruned.safetensors").tier == "exact"
