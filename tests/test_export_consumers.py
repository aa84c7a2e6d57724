"""Every format of every family that it suits, read by the real programs: all is matched, and without error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import consumer_models as pico
import numpy as np
import pytest
import tiny_files as tiny
import torch
from safetensors.numpy import load_file, save_file

from editc import api, registry
from editc.formats import consumers, exported, lowering
from editc.formats import export as export_
from editc.formats.apply import apply, plan_apply
from editc.formats.checkpoint import Model, open_model
from editc.formats.doctor.examine import examine
from editc.formats.export import Export, export
from editc.formats.exporting import Job, Trial, Written
from editc.formats.lora import ALPHA, DOWN, UP, module
from editc.ir import Delta
from editc.numerics import dtypes
from editc.records import patched_site, stored_shape

pytestmark = pytest.mark.filterwarnings("ignore")
ADAPTERS = ("diff", "diffusers", "kohya", "peft")
CASES = [
    (family, name)
    for family in pico.MODELS
    for name in (*ADAPTERS, "checkpoint")
    if not registry.resolve("format", name).suits(family) and not (name == "diff" and family in pico.TEXTS)
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes each family's model once."""
    made: dict[str, Model] = {}

    def model(family: str) -> Model:
        if family not in made:
            made[family] = pico.made(family, tmp_path_factory.mktemp("models") / family)
        return made[family]

    return model


def edit(model: Model, family: str, form: str = "shared", ranks: tuple[int, ...] = (3,)) -> Delta:
    return pico.delta(model, family, pico.sites(model, family), form, ranks)


def whole(made: Export, count: int) -> None:
    """The trial was made, everything was matched, and nothing is off by anything."""
    assert not made.failures and len(made.trials) == 1
    (trial,) = made.trials
    assert not trial.skipped and (trial.matched, trial.total, trial.error) == (count, count, 0.0)


def results(model: Model, delta: Delta, allow_finetune: bool = False) -> dict[str, Any]:
    """By tensor the weights (d_out, d_in) after `delta`, in float64 and not rounded."""
    found = {}
    for target in plan_apply([delta], model, allow_finetune).targets:
        site = target.record.site
        stored = model.component(site.component).read(site.name).reshape(stored_shape(site))
        found[site.name] = patched_site(stored.T if site.transposed else stored, target.factors, target.k)
    return found


@pytest.mark.parametrize("family,name", CASES)
def test_every_format_is_read_whole(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """Matched = total, error 0; and the file as a delta gives what the delta gives, to the rounding of its factors."""
    model = models(family)
    delta = edit(model, family)
    made = export(Job(delta, model, tmp_path / "export"), name)
    whole(made, len(delta.sites))
    if name == "checkpoint":
        assert plan_apply([delta], open_model(tmp_path / "export")).status == "already"
        return
    back = exported.read_delta(tmp_path / "export")
    assert back.delta_id == made.written.delta.delta_id and back.extra["from"] == delta.delta_id
    assert plan_apply([back], model).tier == "exact"
    wanted = results(model, delta)
    # a dense difference is nudged to give the result in the base's own dtype; factors are rounded to float32
    step = 1e-3 if name == "diff" and delta.sites[0].site.dtype == "F16" else 1e-6
    for tensor, values in results(model, back).items():
        assert np.abs(values - wanted[tensor]).max() <= step * np.abs(wanted[tensor]).max()


@pytest.mark.parametrize("family,name", [("sd1", "kohya"), ("flux", "diffusers"), ("llama", "peft"), ("sd1", "diff")])
def test_applying_the_export_is_applying_the_lowered_delta(family: str, name: str, models: Any, tmp_path: Path) -> None:
    """The same bytes on the disk, and the exported file is then known to be in the model."""
    model = models(family)
    made = export(Job(edit(model, family), model, tmp_path / "export"), name, tried=False)
    apply(plan_apply([exported.read_delta(tmp_path / "export")], model), tmp_path / "one")
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
    whole(made, len(delta.sites))
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
    whole(made, len(delta.sites))
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
    whole(made, len(delta.sites))
    assert exported.read_delta(tmp_path / "export").delta_id == made.written.delta.delta_id
    unet, file = model.component("unet"), load_file(tmp_path / "export")
    windows = {unet.shape(record.site.name)[2:] for record in delta.sites}
    assert windows == {(), (3, 3), (1, 1)} if family == "sd1" else (3, 3) in windows
    for record in delta.sites:
        rows, *rest = unet.shape(record.site.name)
        key = module(record.site.name)
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
    whole(made, len(delta.sites))
    assert exported.read_delta(tmp_path / "export").delta_id == made.written.delta.delta_id
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


def test_transposed_matrices_go_through_peft(models: Any, tmp_path: Path) -> None:
    """GPT-2 stores (d_in, d_out); its edit is low-rank in the layer's own sense, and merged it is what apply writes."""
    model = models("gpt2")
    delta = edit(model, "gpt2", "low-rank", (1, 2, 9))
    whole(export(Job(delta, model, tmp_path / "export"), "peft"), len(delta.sites))
    assert (
        next(one for one in examine(tmp_path / "export", model).verdicts if one.loader == "PEFT").outcome == "applies"
    )
    merged = merge(model, tmp_path / "export")
    for name, values in results(model, delta).items():
        assert np.abs(merged[name].T - values).max() < 1e-6


def merge(model: Model, folder: Path) -> dict[str, Any]:
    import peft
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(base, folder).merge_and_unload()
    return {name: values.double().numpy() for name, values in merged.state_dict().items()}


def test_peft_merges_to_base_plus_delta_and_transformers_loads_it(models: Any, tmp_path: Path) -> None:
    """Every tensor of a real Llama, edited or not; and the adapter answers as the edited checkpoint does."""
    import transformers

    model = models("llama")
    delta = edit(model, "llama", "low-rank", (1, 2, 3, 9))
    made = export(Job(delta, model, tmp_path / "export"), "peft")
    whole(made, len(delta.sites))
    assert "--max-lora-rank" not in " ".join(made.written.notes) and len(made.written.delta.factors) == 1
    wanted, merged = results(model, delta), merge(model, tmp_path / "export")
    base = transformers.AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    assert wanted.keys() < merged.keys()
    for name, values in base.state_dict().items():
        assert np.abs(merged[name] - wanted.get(name, values.double().numpy())).max() < 1e-6
    tokens = torch.arange(12)[None]
    before = base(tokens).logits
    base.load_adapter(str(tmp_path / "export"))
    apply(plan_apply([delta], model), tmp_path / "edited")
    edited = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "edited", dtype=torch.float32)
    with torch.no_grad():
        assert (base(tokens).logits - edited(tokens).logits).abs().max() < 1e-5
        assert (before - edited(tokens).logits).abs().max() > 1e-3


def test_ranks_above_sixteen_are_told_to_vllm_users(models: Any, tmp_path: Path) -> None:
    model = models("llama")
    made = export(Job(edit(model, "llama", "low-rank", (17,)), model, tmp_path / "export"), "peft", tried=False)
    assert made.written.notes == ("vLLM needs --max-lora-rank 32",)


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
    whole(made, len(delta.sites))


@pytest.mark.parametrize("form", ["low-rank", "xor"])
def test_what_a_delta_has_in_bits_is_in_a_dense_export(form: str, models: Any, tmp_path: Path) -> None:
    """`editc diff` of two float16 files: the difference gives the edited bytes; low rank without bits, or E677."""
    model = models("sd2")
    first = edit(model, "sd2", "low-rank" if form == "low-rank" else "dense")
    apply(plan_apply([first], model), tmp_path / "edited")
    found = api.diff(str(model.path), str(tmp_path / "edited"), tmp_path / "d", form=form, mend="exact")
    assert found is not None
    delta = pico.changed(exported.read_delta(tmp_path / "d"), family="sd2")
    assert form == "low-rank" or all(factors.form == "xor" for factors in delta.factors.values())
    made = export(Job(delta, model, tmp_path / "diff"), "diff")
    whole(made, len(delta.sites))
    assert [r.result["F16"] for r in made.written.delta.sites] == [r.result["F16"] for r in delta.sites]
    if form == "xor":
        with tiny.refused("E677"):
            export(Job(delta, model, tmp_path / "kohya"), "kohya")
    else:
        whole(export(Job(delta, model, tmp_path / "kohya"), "kohya"), len(delta.sites))


# ---------------------------------------------------------------- a trial can fail


def test_mixed_ranks_with_alpha_of_each_fail_the_trial(models: Any, tmp_path: Path) -> None:
    """The bug of diffusers 0.42 that kohya's power-of-two form is there for: 1/r of the change, and not a word."""
    model = models("sd1")
    delta = edit(model, "sd1", "low-rank", (1, 2, 3, 4, 5))
    path = tmp_path / "bad.safetensors"
    tensors = {}
    for record, left, right in lowering.pairs(delta):
        key = module(record.site.name)
        tensors |= {key + UP: left, key + DOWN: right.copy(), key + ALPHA: np.array(len(right), np.float32)}
    save_file(tensors, path)
    trial = consumers.diffusers_unet(Job(delta, model, path), Written((path,), delta))
    assert not trial.passed and trial.matched == trial.total and trial.error > 1e-3


def spoiled(monkeypatch: pytest.MonkeyPatch, name: str, trial: Any) -> None:
    from dataclasses import replace

    form = replace(registry.resolve("format", name), trials=trial)
    monkeypatch.setattr(export_, "named", lambda _: form)


def test_a_wrong_file_is_an_error(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E682 where another change is held, a module is missing or too many; E684 where the program stops."""
    model = models("sd1")
    delta = edit(model, "sd1", "low-rank")
    first, last = (module(delta.sites[index].site.name) for index in (0, -1))

    def after(change: Any) -> Any:
        def trial(job: Job, written: Written) -> tuple[Trial, ...]:
            save_file(change(load_file(written.files[0])), written.files[0])
            return (consumers.diffusers_unet(job, written),)

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


def stranger(tensors: dict[str, Any], like: str) -> dict[str, Any]:
    key = like.replace("to_v", "to_q")
    up, down = tensors[like + UP], tensors[like + DOWN][:, :1].repeat(len(tensors[like + UP]), 1)
    return {key + UP: up, key + DOWN: down, key + ALPHA: tensors[like + ALPHA]}


def test_nothing_is_left_where_writing_fails(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle, of a file and of a folder; and an export that does not read back."""
    from editc.formats import files

    model = models("llama")
    delta = edit(model, "llama", "low-rank")
    kept = files.write_new

    def full(path: Path, chunks: Any) -> None:
        kept(path, chunks)
        if path.suffix == ".json" or path.name.startswith("."):
            raise OSError(28, "No space left on device")

    for module_ in ("files", "peft_folder"):
        monkeypatch.setattr(f"editc.formats.{module_}.write_new", full)
    with tiny.refused("E632"):
        export(Job(delta, model, tmp_path / "export"), "peft")
    with tiny.refused("E632"):
        export(Job(delta, model, tmp_path / "export"), "safetensors")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    monkeypatch.setattr("editc.formats.exported.read_delta", lambda place: edit(model, "llama", "dense"))
    with tiny.refused("E681"):
        export(Job(delta, model, tmp_path / "export"), "peft")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- whole pipelines


def test_a_pipeline_paints_alike_with_the_adapter_and_with_the_checkpoint(models: Any, tmp_path: Path) -> None:
    """load_lora_weights of the kohya file against from_pretrained of the edited model, every step and the decoder."""
    model = models("sd1")
    delta = edit(model, "sd1")
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    export(Job(delta, model, tmp_path / "edited"), "checkpoint", tried=False)
    plain, edited, adapted = (
        paint(model.path),
        paint(tmp_path / "edited"),
        paint(model.path, tmp_path / "k.safetensors"),
    )
    assert np.abs(adapted - edited).max() < 1e-4 < 5e-3 < np.abs(plain - edited).max()


def paint(folder: Path, adapter: Path | None = None) -> Any:
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipeline.load_lora_weights(str(adapter.parent), weight_name=adapter.name)
    noise = torch.Generator().manual_seed(0)
    return pipeline("a circle", num_inference_steps=4, generator=noise, output_type="np").images


def test_what_a_pipeline_fuses_is_what_apply_writes(models: Any, tmp_path: Path) -> None:
    """In float32 diffusers' own fuse_lora comes within a few steps of the number format."""
    import diffusers

    model = models("sd1")
    delta = edit(model, "sd1")
    export(Job(delta, model, tmp_path / "k.safetensors"), "kohya", tried=False)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model.path, dtype=torch.float32)
    pipeline.load_lora_weights(str(tmp_path), weight_name="k.safetensors")
    pipeline.fuse_lora()
    held = {n.replace(".base_layer", ""): v.double().numpy() for n, v in pipeline.unet.state_dict().items()}
    for name, values in results(model, delta).items():
        assert np.abs(held[name] - dtypes.rounded(values, "F32")).max() <= 4 * np.spacing(
            np.float32(np.abs(values).max())
        )
