"""A trained edit of the text encoder on the real bundled model: apply, revert, verify, attack, export and link it, and
what is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_families

from editc import api
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.formats.apply.plan import plan_apply
from editc.formats.models.model import open_model

pytestmark = pytest.mark.slow

METHODS: Mapping[str, str] = {
    "few-shot": "steps: 2, pictures: 2",
    "advunlearn": "steps: 2, sentences: 2, every: 1, attack_steps: 2, prompts: 2",
    "des": "steps: 4, sentences: 2",
}
MANIFEST = """\
editc: 1
model: {model}
contexts: ["a {{}}", "a red {{}}"]
edits: [{{erase: fish, to: arrow, method: {method}, {options}, picture_steps: 4, rank: 1}}]
preserve: {{corpus: none, prompts: [a boat on sand, a red cat, a star, a house]}}
"""


def files(folder: Path) -> Mapping[str, str]:
    """Relative path -> sha256 of every file."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def write(folder: Path, method: str, more: str = "", model: str = "editc:demo", options: str = "") -> Path:
    path = folder / f"{method}.yaml"
    path.write_text(MANIFEST.format(model=model, method=method, options=options or METHODS[method]) + more)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, api.Built]:
    folder, found = tmp_path_factory.mktemp("text"), {}
    for method in METHODS:
        one = api.build(write(folder, method), folder / method)
        assert one is not None and one.delta is not None
        found[method] = one
    return found


@pytest.mark.parametrize("method", METHODS)
def test_apply_writes_the_text_encoder_alone_and_revert_brings_every_byte_back(
    method: str, built: Mapping[str, api.Built], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = files(model)
    assert api.apply(str(built[method].files[0]), str(model), in_place=True)[1].status == "done"
    after = files(model)
    changed = [name for name in before if after[name] != before[name]]
    assert changed == ["text_encoder/model.safetensors"]
    api.revert(str(model))
    assert files(model) == before


@pytest.mark.parametrize("method", METHODS)
def test_the_report_names_the_part_and_its_drift(method: str, built: Mapping[str, api.Built]) -> None:
    delta = built[method].delta
    assert delta is not None and delta.family == "sd-text"
    assert {record.site.component for record in delta.sites} == {"text_encoder"}
    claims = {claim["name"]: claim["value"] for claim in delta.claims}
    assert claims["preserve_drift"] > 0 and claims["unconditional_drift"] >= 0 and "erase_residual" not in claims


def test_few_shot_leaves_all_attention_but_the_last(built: Mapping[str, api.Built]) -> None:
    delta = built["few-shot"].delta
    assert delta is not None
    attention = {record.site.name for record in delta.sites if record.site.role.endswith("_proj")}
    assert len(attention) == 4 and all(".layers.3." in name for name in attention)
    assert len(delta.sites) == 4 + 2 * 4


def test_des_again_is_the_same_delta(built: Mapping[str, api.Built], tmp_path: Path) -> None:
    again = api.build(write(tmp_path, "des"), tmp_path / "out")
    assert again is not None and again.delta is not None and built["des"].delta is not None
    assert again.delta.delta_id == built["des"].delta.delta_id


def test_verify_measures_the_same_on_the_base(built: Mapping[str, api.Built]) -> None:
    verified = api.verify(built["des"].files[0], "editc:demo")
    assert verified.tier == "exact" and not verified.failures


def test_a_fine_tuned_encoder_is_not_refused_for_being_another(built: Mapping[str, api.Built], tmp_path: Path) -> None:
    """The delta edits the encoder itself, so its fingerprint says nothing: the matrices are compared."""
    from safetensors.numpy import load_file, save_file

    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    place = model / "text_encoder" / "model.safetensors"
    tensors = load_file(place)
    tensors = {k: v * np.float16(1.01) if k.endswith("fc1.weight") else v for k, v in tensors.items()}
    save_file(tensors, place, {"format": "pt"})
    delta = built["des"].delta
    assert delta is not None
    plan = plan_apply([delta], open_model(str(model)), allow_finetune=True)
    assert any(target.state == "relative" for target in plan.targets)
    assert any("vocabulary" in note for note in plan.notes)


def test_kohya_has_its_names_and_diffusers_loads_every_matrix(built: Mapping[str, api.Built], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    out = tmp_path / "te.safetensors"
    found = api.export(built["des"].files[0], "kohya", out, "editc:demo")
    (trial,) = found.trials
    assert not trial.skipped and trial.matched == trial.total == 24 and trial.error == 0
    assert all(name.startswith("lora_te_text_model_encoder_layers_") for name in load_file(out))


@pytest.mark.parametrize("form", ["onnx-graph", "onnx-adapter", "onnx-multiplier", "peft", "diff"])
def test_formats_that_cannot_hold_it_are_refused(form: str, built: Mapping[str, api.Built], tmp_path: Path) -> None:
    with pytest.raises(EditcError) as error:
        api.export(built["des"].files[0], form, tmp_path / "out", "editc:demo")
    assert [one.code for one in error.value.diagnostics] == ["E680"]


def test_two_of_them_are_linked_and_one_with_a_unets_is_refused(built: Mapping[str, api.Built], tmp_path: Path) -> None:
    pair = [str(built[method].files[0]) for method in ("des", "few-shot")]
    linked = tmp_path / "both.safetensors"
    api.link(pair, linked, model="editc:demo")
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = files(model)
    assert api.apply(str(linked), str(model), in_place=True)[1].status == "done"
    api.revert(str(model))
    assert files(model) == before
    unet = api.build(_closed(tmp_path), tmp_path / "unet")
    assert unet is not None
    with pytest.raises(EditcError) as error:
        api.link([pair[0], str(unet.files[0])], tmp_path / "no.safetensors", model="editc:demo")
    assert [one.code for one in error.value.diagnostics] == ["E651"]


def _closed(folder: Path) -> Path:
    path = folder / "closed.yaml"
    path.write_text(
        'editc: 1\nmodel: editc:demo\ncontexts: ["a {}"]\nedits: [{erase: fish, to: arrow}]\n'
        "preserve: {corpus: none, prompts: [a boat on sand]}\n"
    )
    return path


@pytest.mark.parametrize(
    "more",
    [
        "constraints: {recoverable: 0.2}\n",
        "constraints: {erase_residual: 0.2}\n",
        "verify: {images: {detector: editc:demo}, attacks: {rece: {at_most: 0.1}, names: {}}}\n",
        "verify: {images: {detector: editc:demo}, attacks: [certificate]}\n",
    ],
)
def test_what_it_cannot_have_is_refused_by_check(more: str, tmp_path: Path) -> None:
    found = api.check(write(tmp_path, "des", more))
    assert [one.code for one in found.diagnostics if one.is_error] == ["E247"]


def test_attacks_that_write_prompts_go_through_it_and_blind_ones_are_left_out(tmp_path: Path) -> None:
    more = (
        "verify:\n  images: {detector: editc:demo, steps: 4, prompts_per_concept: 1, erased_at_most: 1}\n"
        "  attacks: {certificate: {pictures: 1}, ring: {pictures: 1, generations: 1}}\n"
        "constraints: {bystander_loss: 1}\n"
    )
    built = api.build(write(tmp_path, "des", more), tmp_path / "out")
    assert built is not None and built.delta is not None
    assert {one.attack for one in built.verified.report.attacks} == {"ring"}
    told = [one for one in built.warnings if one.code == "E513" and "certificate" in one.message]
    assert told and "text encoder" in told[0].message


def test_other_models_have_no_text_encoder_to_edit(tmp_path: Path) -> None:
    found = api.check(write(tmp_path, "des", model=str(tiny_families.saved("sdxl", tmp_path / "model"))))
    assert [one.code for one in found.diagnostics if one.is_error] == ["E245"]
