"""Every format of every family that it suits, read by the real programs: all is matched, and without error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import consumer_models as pico
import export_cases
import numpy as np
import pytest
import tiny_files as tiny
from export_cases import assert_whole, edit, results
from safetensors.numpy import load_file

from editc import api
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.exports import lowering, read
from editc.formats.exports.format import Format, Job
from editc.formats.exports.kohya_names import ALPHA, DOWN, UP, module_name
from editc.formats.exports.write import export
from editc.formats.models.model import open_model
from editc.libraries import extras
from editc.registry.formats import FORMATS

models = export_cases.models
CASES = [
    (family, name) for name in FORMATS.names() for family in pico.MODELS if not FORMATS.resolve(name).suits(family)
]
UNHELD = {"onnx-multiplier": "E667"}
"""Formats that hold no delta of `edit`, whose groups are none of a family's: the code of the refusal."""


@pytest.mark.parametrize("family,name", CASES)
def test_every_format_is_read_whole(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """Each trial is made, and matches everything without error, or within the bound that its arithmetic has; and the
    file as a delta gives what the delta gives, to the rounding of its factors."""
    model, form = models(family), FORMATS.resolve(name)
    if extras.missing_packages(*form.needs):
        pytest.skip("not installed")
    delta, out = edit(model, family), tmp_path / f"export{Path(form.output).suffix}"
    if name in UNHELD:
        with tiny.refused(UNHELD[name]):
            export(Job(delta, model, out), name)
        return
    made = export(Job(delta, model, out), name)
    assert not made.failures
    for trial in made.trials:
        assert not trial.skipped and trial.matched == trial.total == len(delta.sites) and trial.error <= trial.bound
    if not read.is_delta(out):
        assert plan_apply([delta], open_model(out)).status == "already"
        return
    back = read.read_delta(out)
    assert back.delta_id == made.written.delta.delta_id
    assert back.extra.get("from", back.delta_id) == delta.delta_id
    assert plan_apply([back], model).tier == "exact"
    wanted = results(model, delta)
    # a dense difference is nudged to give the result in the base's own dtype; factors are rounded to float32
    step = 1e-3 if name == "diff" and delta.sites[0].site.dtype == "F16" else 1e-6
    for tensor, values in results(model, back).items():
        assert np.abs(values - wanted[tensor]).max() <= step * np.abs(wanted[tensor]).max()


def test_every_program_is_tried() -> None:
    """Only a delta as it is has no program to read it."""
    assert {name for name in FORMATS.names() if FORMATS.resolve(name).trials is Format.trials} == {"safetensors"}


@pytest.mark.parametrize("family,name", [("sd1", "kohya"), ("flux", "diffusers"), ("llama", "peft"), ("sd1", "diff")])
def test_applying_the_export_is_applying_the_lowered_delta(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """The same bytes on the disk, and the exported file is then known to be in the model."""
    model = models(family)
    made = export(Job(edit(model, family), model, tmp_path / "export"), name, tried=False)
    apply(plan_apply([read.read_delta(tmp_path / "export")], model), tmp_path / "one")
    apply(plan_apply([made.written.delta], model), tmp_path / "two")
    assert tiny.contents(tmp_path / "one") == tiny.contents(tmp_path / "two")
    assert api.status(str(tmp_path / "one"), [tmp_path / "export"]).deltas[0].presence == "applied"


@pytest.mark.parametrize("family,name", [("sd1", "kohya"), ("sd3", "diffusers"), ("llama", "peft")])
@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_rounded_factors_are_read_whole_and_their_cost_is_told(
    family: str, name: str, dtype: Any, models: Any, tmp_path: Path
) -> None:
    """The file is about half as large, its own results are recorded, and the loss is what the changes differ by."""
    model = models(family)
    delta = edit(model, family, "low-rank")
    made = export(Job(delta, model, tmp_path / "export", dtype), name)
    assert_whole(made, len(delta.sites))
    assert {"F16": 1e-5, "BF16": 1e-4}[dtype] < made.written.rounding < {"F16": 1e-3, "BF16": 8e-3}[dtype]
    exact = {record.site.name: left.astype(np.float64) @ right for record, left, right in lowering.pairs(delta)}
    lost = [
        np.linalg.norm(left.astype(np.float64) @ right - exact[record.site.name])
        / np.linalg.norm(exact[record.site.name])
        for record, left, right in lowering.pairs(made.written.delta)
    ]
    assert max(lost) == pytest.approx(made.written.rounding, rel=1e-6)
    assert [r.result for r in made.written.delta.sites] != [r.result for r in delta.sites]
    stored = load_file(made.written.files[0]) if dtype == "F16" else {}
    assert all(values.dtype == np.float16 for values in stored.values())


@pytest.mark.parametrize("family,name", [("sd1", "kohya"), ("sd1", "diff"), ("flux", "diffusers")])
def test_a_fine_tune_gets_its_own_export(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """A shared edit is W U V of the fine-tune's W, not of the base's: the control is the base's own export."""
    model = models(family)
    delta = edit(model, family)
    tuned = pico.fine_tuned(model.path, tmp_path / "tuned", delta.sites[0].site.component)
    with tiny.refused("E622"):
        export(Job(delta, tuned, tmp_path / "no"), name)
    made = export(Job(delta, tuned, tmp_path / "export", allow_finetune=True), name)
    assert_whole(made, len(delta.sites))
    assert plan_apply([made.written.delta], tuned).tier == "exact"
    wanted, found = results(tuned, delta, True), results(tuned, made.written.delta)
    base = export(Job(delta, model, tmp_path / "base"), name, tried=False).written.delta
    other = results(tuned, base, True)
    for tensor, values in wanted.items():
        size = np.abs(values - tuned.component(delta.sites[0].site.component).read(tensor)).max()
        assert np.abs(found[tensor] - values).max() < 1e-5 * size < np.abs(other[tensor] - values).max()


# ---------------------------------------------------------------- convolutions, transposed, ranks, components


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("name", ["kohya", "diff"])
def test_every_module_of_a_unet_can_be_said(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """Linear layers, 1x1 and 3x3 convolutions, samplers, time and pooled embeddings, of ranks 1 to 5."""
    model = models(family)
    delta = pico.delta(model, family, pico.every_site(model), "low-rank", (1, 2, 3, 4, 5))
    made = export(Job(delta, model, tmp_path / "export"), name)
    assert_whole(made, len(delta.sites))
    assert read.read_delta(tmp_path / "export").delta_id == made.written.delta.delta_id
    unet, file = model.component("unet"), load_file(tmp_path / "export")
    windows = {unet.shape(record.site.name)[2:] for record in delta.sites}
    assert windows == {(), (3, 3), (1, 1)} if family == "sd1" else (3, 3) in windows
    for record in delta.sites:
        rows, *rest = unet.shape(record.site.name)
        key = module_name(record.site.name)
        if name == "diff":
            assert file[f"{key}.diff"].shape == (rows, *rest)
        else:
            rank = len(file[key + DOWN])
            assert file[key + DOWN].shape == (rank, *rest) and rank in (1, 2, 4, 8) and file[key + ALPHA] == 1
            assert file[key + UP].shape == ((rows, rank, 1, 1) if rest[1:] else (rows, rank))


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_every_module_of_a_transformer_can_be_said(family: str, models: Any, tmp_path: Path) -> None:
    """SD3's patches go through a 2x2 convolution."""
    model = models(family)
    delta = pico.delta(model, family, pico.every_site(model, "transformer"), "low-rank", (1, 2, 3, 4, 5))
    made = export(Job(delta, model, tmp_path / "export"), "diffusers")
    assert_whole(made, len(delta.sites))
    assert read.read_delta(tmp_path / "export").delta_id == made.written.delta.delta_id
    with tiny.refused("E676"):
        export(Job(delta, None, tmp_path / "other"), "diffusers")


def test_a_convolution_is_never_written_as_a_matrix(models: Any, tmp_path: Path) -> None:
    """Without the model nobody knows its window: refused. Of the family's own sites it is known that they have none."""
    model = models("sd1")
    convolved = pico.delta(model, "sd1", pico.every_site(model), "low-rank")
    dense = pico.delta(model, "sd1", pico.every_site(model), "dense")
    with tiny.refused("E676"):
        export(Job(convolved, None, tmp_path / "export"), "kohya")
    with tiny.refused("E676"):
        export(Job(dense, None, tmp_path / "export"), "diff")
    assert not (tmp_path / "export").exists()
    made = export(Job(edit(model, "sd1", "low-rank"), None, tmp_path / "export"), "kohya")
    assert made.trials[0].skipped and not made.failures


@pytest.mark.parametrize("name", ["kohya", "diff", "peft"])
def test_two_components_go_into_no_file_of_one(name: str, models: Any, tmp_path: Path) -> None:
    """A text encoder's matrix beside the UNet's: its loader would pass over it, so it is not written."""
    model = models("sd1")
    encoder = next(name for name in model.component("text_encoder").names() if name.endswith("fc1.weight"))
    both = [*pico.sites(model, "sd1"), pico.site(model, "text_encoder", encoder, "te")]
    delta = pico.delta(model, "sd1" if name != "peft" else "pico", both, "low-rank")
    with tiny.refused("E683"):
        export(Job(delta, model, tmp_path / "export"), name)
    assert not (tmp_path / "export").exists()
    made = export(Job(delta, model, tmp_path / "whole"), "checkpoint")
    assert "diffusers" in made.trials[0].consumer and "transformers" in made.trials[0].consumer
    assert_whole(made, len(delta.sites))


@pytest.mark.parametrize("form", ["low-rank", "xor"])
def test_what_a_delta_has_in_bits_is_in_a_dense_export(form: str, models: Any, tmp_path: Path) -> None:
    """`editc diff` of two float16 files: the difference gives the edited bytes; low rank without bits, or E677."""
    model = models("sd2")
    first = edit(model, "sd2", "low-rank" if form == "low-rank" else "dense")
    apply(plan_apply([first], model), tmp_path / "edited")
    found = api.diff(str(model.path), str(tmp_path / "edited"), tmp_path / "d", form=form, mend="exact")
    assert found is not None
    delta = pico.changed(read.read_delta(tmp_path / "d"), family="sd2")
    assert {factors.form for factors in delta.factors.values()} == {form}
    made = export(Job(delta, model, tmp_path / "diff"), "diff")
    assert_whole(made, len(delta.sites))
    assert [r.result["F16"] for r in made.written.delta.sites] == [r.result["F16"] for r in delta.sites]
    if form == "xor":
        with tiny.refused("E677"):
            export(Job(delta, model, tmp_path / "kohya"), "kohya")
    else:
        assert_whole(export(Job(delta, model, tmp_path / "kohya"), "kohya"), len(delta.sites))
