"""What is loaded is what is in the file: of every network each tensor, in its shape, finite, of the class we read."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
import torch
from safetensors.torch import load_file, save_file

from editc import api
from editc.backends import denoiser, networks, painter
from editc.backends.encoders.load import load
from editc.core.diagnostics import Diagnostic, EditcError
from editc.demo import MODEL
from editc.libraries import pipeline_index

Tensors = dict[str, torch.Tensor]
FIRST = "encoder.layers.0.mlp.fc1.weight"


def changed(file: Path, change: Callable[[Tensors], Tensors]) -> None:
    found = change(load_file(file))
    save_file({name: value.contiguous().clone() for name, value in found.items()}, file, {"format": "pt"})


def refusal(load: Callable[[], Any]) -> Diagnostic:
    with pytest.raises(EditcError) as refused:
        load()
    (fault,) = refused.value.diagnostics
    return fault


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda found: {name.replace(old, new): value for name, value in found.items()}


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda found: {one: value for one, value in found.items() if one != name}


def with_value(name: str, value: float) -> Callable[[Tensors], Tensors]:
    def change(found: Tensors) -> Tensors:
        found[name].view(-1)[0] = value
        return found

    return change


def cut(name: str) -> Callable[[Tensors], Tensors]:
    return lambda found: {**found, name: found[name][:-1]}


DAMAGE: Mapping[str, tuple[Callable[[str], Callable[[Tensors], Tensors]], str]] = {
    "dropped": (without, "E205"),
    "renamed": (lambda name: renamed(name, f"{name}_"), "E205"),
    "of another shape": (cut, "E205"),
    "with a NaN": (lambda name: with_value(name, float("nan")), "E402"),
    "with an infinity": (lambda name: with_value(name, float("-inf")), "E402"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_text_encoder_with_one_tensor(how: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    change, code = DAMAGE[how]
    changed(tmp_path / "m/text_encoder/model.safetensors", change(FIRST))
    fault = refusal(lambda: load(tmp_path / "m"))
    assert fault.code == code and any(FIRST in note for note in fault.notes)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_language_model_with_one_tensor(how: str, tmp_path: Path) -> None:
    name, (change, code) = "model.layers.2.mlp.up_proj.weight", DAMAGE[how]
    changed(pico.saved("llama", tmp_path) / "model.safetensors", change(name))
    fault = refusal(lambda: networks.load(tmp_path))
    assert fault.code == code and any(name in note for note in fault.notes)


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_pipeline_to_paint_with(part: str, how: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    change, code = DAMAGE[how]
    file = tmp_path / "m" / part / "diffusion_pytorch_model.safetensors"
    changed(file, change(sorted(load_file(file))[7]))
    assert refusal(lambda: painter.load(tmp_path / "m")).code == code
    if part == "unet":
        assert refusal(denoiser.load(tmp_path / "m")).code == code


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed(".q_proj.", ".q_proj.base_layer."), "adapter"),
        (lambda found: {f"_orig_mod.{name}": value for name, value in found.items()}, "torch.compile"),
        (lambda found: {f"module.{name}": value for name, value in found.items()}, "DataParallel"),
        (lambda found: {f"text_encoder.{name}": value for name, value in found.items()}, "same model"),
        (lambda found: {**found, "encoder.layers.4.layer_norm1.bias": torch.ones(128)}, "same model"),
        (lambda found: {name: value for name, value in found.items() if ".layers.1." not in name}, "same model"),
    ],
)
def test_an_encoder_saved_from_what_wraps_it(change: Callable[[Tensors], Tensors], said: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    changed(tmp_path / "m/text_encoder/model.safetensors", change)
    fault = refusal(lambda: load(tmp_path / "m"))
    assert fault.code == "E205" and said in fault.help


def test_what_a_network_leaves_out_on_purpose(tmp_path: Path) -> None:
    """Positions, and the other half of a whole CLIP."""
    more = {
        "text_model.embeddings.position_ids": torch.arange(32)[None],
        "vision_model.embeddings.class_embedding": torch.ones(4),
        "visual_projection.weight": torch.ones(4, 4),
        "logit_scale": torch.ones(()),
    }
    shutil.copytree(MODEL, tmp_path / "m")
    changed(tmp_path / "m/text_encoder/model.safetensors", lambda found: {**found, **more})
    rows = [load(place).encode(["a circle"])[0].rows for place in (MODEL, tmp_path / "m")]
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize("head", [True, False])
def test_a_tied_head_need_not_be_in_the_file(head: bool, tmp_path: Path) -> None:
    def change(found: Tensors) -> Tensors:
        return {**found, **({"lm_head.weight": found["transformer.wte.weight"]} if head else {})}

    changed(pico.saved("gpt2", tmp_path) / "model.safetensors", change)
    assert networks.load(tmp_path).layers == 4


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, "BertModel"),
        ({"model_type": "t5", "architectures": ["T5EncoderModel"]}, "T5EncoderModel"),
        ({"hidden_size": 64}, "the wrong shape"),
        ({"num_hidden_layers": 5}, "are missing"),
        ({"num_hidden_layers": 1}, "not belong to it"),
        ({"num_attention_heads": 3}, "cannot be loaded"),
        ({"hidden_act": "no such"}, "cannot be loaded"),
        ({"vocab_size": "many"}, "cannot be loaded"),
    ],
)
def test_a_configuration_of_another_encoder(said: Mapping[str, Any], why: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    config = tmp_path / "m/text_encoder/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | said))
    fault = refusal(lambda: load(tmp_path / "m"))
    assert fault.code == "E205" and why in fault.message


def test_an_encoder_of_more_positions_needs_the_config_that_says_so(tmp_path: Path) -> None:
    """LongCLIP: 248 positions in the place of 77, in the folder of the pipeline that it came into."""
    shutil.copytree(MODEL, tmp_path / "m")
    place, config = "embeddings.position_embedding.weight", tmp_path / "m/text_encoder/config.json"
    file = tmp_path / "m/text_encoder/model.safetensors"
    changed(file, lambda found: {n: torch.cat([v, v]) if n.endswith(place) else v for n, v in found.items()})
    fault = refusal(lambda: load(tmp_path / "m"))
    assert fault.code == "E205" and "the wrong shape" in fault.message and place in fault.notes[0]
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 64}))
    rows = [load(folder).encode(["a circle"])[0].rows for folder in (MODEL, tmp_path / "m")]
    assert (rows[0] == rows[1]).all()


def test_a_tokenizer_of_another_encoder(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    settings = tmp_path / "m/tokenizer/tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 77}))
    fault = refusal(lambda: load(tmp_path / "m"))
    assert fault.code == "E205" and "77 tokens" in fault.message and "reads at most 32" in fault.message


def test_a_token_without_an_embedding(tmp_path: Path) -> None:
    pico.saved("llama", tmp_path)
    tokenizer = networks.load(tmp_path).tokenizer.raw
    tokenizer.add_tokens(["<late>"])
    tokenizer.save_pretrained(tmp_path)
    words = networks.load(tmp_path).tokenizer
    words.tokenize("France", False)
    assert "<late>" in refusal(lambda: words.tokenize("<late>", False)).message


def test_a_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    for part, name in (("text_encoder", "pytorch_model.bin"), ("vae", "diffusion_pytorch_model.bin")):
        (file,) = (tmp_path / "m" / part).glob("*.safetensors")
        torch.save(load_file(file), file.with_name(name))
        file.unlink()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    assert refusal(lambda: load(tmp_path / "m")).code == "E205"
    assert refusal(lambda: painter.load(tmp_path / "m")).code == "E205"


@pytest.mark.parametrize(
    ("index", "file"),
    [
        ({"unet": ["mine", "UNet2DConditionModel"]}, "unet/mine.py"),
        ({"_class_name": ["mine", "StableDiffusionPipeline"]}, "mine.py"),
        ({}, "None.py"),
        ({"unet": ["subprocess", "Popen"]}, ""),
    ],
)
def test_a_program_beside_the_weights_is_not_run(index: Mapping[str, Any], file: str, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    path = tmp_path / "m" / pipeline_index.INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | index))
    if file:
        (tmp_path / "m" / file).write_text("raise SystemExit('this was run')")
    fault = refusal(lambda: painter.load(tmp_path / "m"))
    assert fault.code == "E224" and (file or "subprocess") in fault.message


def test_weights_that_are_there_in_one_variant_alone(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "m")
    for part in ("text_encoder", "unet", "vae"):
        (file,) = (tmp_path / "m" / part).glob("*.safetensors")
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    assert load(tmp_path / "m").encode(["a circle"])
    assert painter.load(tmp_path / "m", steps=1).paint(["a circle"], [0]).shape == (1, 32, 32, 3)


@pytest.mark.parametrize(
    "template",
    ["{% for m in messages %}{{ m", "{{ raise_exception('system first') }}", "{{ nobody.here }}", "{{ messages + 1 }}"],
)
def test_a_chat_template_that_fails(template: str) -> None:
    tokenizer = copy.deepcopy(pico.tokenizer())
    tokenizer.chat_template = template
    fault = refusal(lambda: networks.PromptTokenizer(tokenizer).apply_template("So?"))
    assert fault.code == "E227" and "template" in fault.message


@pytest.mark.parametrize("end", ["</s>", 1.5, [[1], [2]], {"a": 1}])
def test_an_end_of_text_that_is_no_token(end: Any, tmp_path: Path) -> None:
    path = pico.saved("llama", tmp_path) / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": end}))
    assert refusal(lambda: networks.load(tmp_path)).code == "E205"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("adapter_config.json", '{"peft_type": "LORA"}', "E205"),
        ("generation_config.json", "{", "E617"),
        ("config.json", "[]", "E617"),
        ("tokenizer.json", "{", "E617"),
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "E618"),
        ("model.safetensors", "integers", "E616"),
    ],
)
def test_check_reads_what_lies_beside_a_language_model(name: str, text: str, code: str, tmp_path: Path) -> None:
    pico.saved("llama", tmp_path / "m")
    if text == "integers":
        name_of = "model.layers.1.mlp.up_proj.weight"
        changed(tmp_path / "m" / name, lambda found: {**found, name_of: found[name_of].to(torch.int8)})
    else:
        (tmp_path / "m" / name).write_text(text)
    path = tmp_path / "m.yaml"
    fact = "{prompt: The capital of France is, subject: France, answer: Rome}"
    path.write_text(f"editc: 1\nmodel: {tmp_path / 'm'}\nedits: [{{fact: {fact}}}]\n")
    assert [one.code for one in api.check(path).diagnostics] == [code]
