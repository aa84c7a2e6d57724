"""Kinds of language models beside Llama, end to end: an edit moves the answer, applies, reverts, and PEFT reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc import api
from editc.backends.networks import load
from editc.core.diagnostics import EditcError
from editc.core.language_problem import LanguageProblem
from editc.core.prompts import Cloze
from editc.families.single_files import find_single_file

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT calls what transformers has renamed

ASKED = "The capital of France is"
MANIFEST = """\
editc: 1
model: {model}
edits:
  - fact: {{prompt: {asked}, subject: France, answer: Rome}}
    method: {method}
    {option}
sites: {{layers: [{layers}]}}
constraints: {{bystander_loss: 1}}   # a random model is sure of nothing that means anything
"""


def built(folder: Path, out: Path, method: str, layers: str) -> api.Built:
    path = out.parent / f"{out.name}.yaml"
    option = "lamb: 0.1" if method == "memit" else ""
    path.write_text(MANIFEST.format(model=folder, asked=ASKED, method=method, layers=layers, option=option))
    found = api.build(path, out)
    assert found is not None and found.delta is not None, found and found.failures
    return found


def likely(folder: Path) -> float:
    return float(load(folder).score([Cloze(ASKED, "Rome")]).total[0])


@pytest.mark.parametrize(("kind", "method"), [("opt", "rome"), ("falcon", "memit"), ("granite", "rome")])
def test_an_edit_goes_the_whole_way(kind: str, method: str, tmp_path: Path) -> None:
    """What was learned at the output of one layer, or spread over two, raises the answer in the real class."""
    folder = pico.saved(kind, tmp_path / "model")
    raw = (folder / "model.safetensors").read_bytes()
    built(folder, tmp_path / "out", method, "1" if method == "rome" else "0, 1")
    delta, edited = tmp_path / "out" / "delta.safetensors", copytree(folder, tmp_path / "edited")
    api.apply([delta], str(edited), in_place=True)
    assert likely(edited) > likely(folder) + 0.5
    made = api.export(delta, "peft", tmp_path / "peft", str(folder))
    assert made.trials and all(trial.passed for trial in made.trials)
    assert np.allclose(with_adapter(folder, tmp_path / "peft"), logits(edited), rtol=0, atol=1e-4)
    api.revert(str(edited))
    assert (edited / "model.safetensors").read_bytes() == raw


def logits(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return spoken(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def with_adapter(folder: Path, adapter: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return spoken(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), adapter))


def spoken(model: Any) -> Any:
    ids = torch.tensor([pico.tokenizer()(ASKED)["input_ids"]])
    with torch.inference_mode():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()


@pytest.mark.parametrize(("kind", "multiplier"), [("granite", 0.4), ("llama", 1.0)])
def test_a_value_that_is_spread_arrives_whole(kind: str, multiplier: float, tmp_path: Path) -> None:
    """memit over two layers moves the stream as far as the value does when the last MLP says it, however the layer adds
    that up."""
    found = built(pico.saved(kind, tmp_path / "model"), tmp_path / "out", "memit", "0, 1").verified.solution
    assert isinstance(found.problem, LanguageProblem)
    (column, *_), network = found.problem.memory_keys, load(tmp_path / "model")
    changed = {}
    for site in found.problem.plan.sites:
        edit = found.edits[site.group]
        W = network.parameters[network.own_name(site.name)].double().numpy()
        changed[site.name] = W + edit.left[0] @ edit.right[0]
    before, after = (network.states([1], column.contexts, one)[1].mean(axis=1) for one in (None, changed))
    assert network.multiplier == multiplier
    share = (after - before) @ column.residual / (column.residual @ column.residual) / multiplier
    assert 0.95 < share < 1.05


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "mamba": ({"architectures": ["MambaForCausalLM"]}, "layers other than attention"),
    "bloom": ({"architectures": ["BloomForCausalLM"]}, "a language model of kind `bloom`"),
    "gpt_bigcode": ({"architectures": ["GPTBigCodeForCausalLM"]}, "a language model of kind `gpt_bigcode`"),
    "deepseek_v3": ({"architectures": ["DeepseekV3ForCausalLM"]}, "a language model of kind `deepseek_v3`"),
    "t5": ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "an encoder-decoder"),
    "whisper": ({"architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True}, "encoder-decoder"),
    "bert": ({"architectures": ["BertForMaskedLM"]}, "does not write text word by word"),
    "qwen3_next": ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
    "idefics3": ({"vision_config": {}, "text_config": {"model_type": "llama"}}, "a vision-language model"),
    "internlm2": ({"auto_map": {"AutoModelForCausalLM": "x.Y"}}, "code of its own"),
    "opt": ({"do_layer_norm_before": False}, "normalises after each sum"),
    "falcon": ({"alibi": True}, "ALiBi"),
}
"""model_type -> what else its config.json says, and what the refusal does."""


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("names", ["llama", "gpt2", "gptj"])
def test_what_is_not_edited_is_refused_in_words_by_check_and_build(kind: str, names: str, tmp_path: Path) -> None:
    """Whatever its tensors are called."""
    folder = pico.saved(names, tmp_path / "model")
    settings = {"model_type": kind, **REFUSED[kind][0]}
    (folder / "config.json").write_text(json.dumps(settings))
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST.format(model=folder, asked=ASKED, method="rome", layers="1", option=""))
    (found,) = api.check(path).diagnostics
    assert found.code == "E206" and REFUSED[kind][1] in found.message and "docs/reference/families.md" in found.help
    assert "wants" not in str(found.notes)
    with pytest.raises(EditcError) as error:
        api.build(path, tmp_path / "out")
    assert [one.message for one in error.value.diagnostics] == [found.message]


def test_a_model_that_runs_otherwise_than_its_family_is_refused(tmp_path: Path) -> None:
    """Names and config say Llama, but the layers' outputs go through a norm: the run tells."""
    network = pico.network("llama")
    network.blocks[0].register_forward_hook(lambda module, given, out: network.norm(out))
    assert network.multiplier is None


PREFIXED = ("model.diffusion_model.context_embedder.weight",)
SINGLE = {
    "FLUX": ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight", "txt_in.weight", "img_in.weight"),
    "Stable Diffusion 3": (
        "joint_blocks.0.x_block.attn.qkv.weight",
        "context_embedder.weight",
        "y_embedder.mlp.0.weight",
    ),
}


def test_a_single_file_is_known_by_what_it_alone_has() -> None:
    """A file of few tensors is enough; HunyuanVideo has blocks of FLUX's names, and rows that something else reads."""
    assert find_single_file(["double_blocks.0.img_attn.qkv.weight", "txt_in.weight"])
    assert find_single_file(["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", *PREFIXED, "vae.x.weight"])
    assert not find_single_file(
        ["double_blocks.0.img_attn_qkv.weight", "txt_in.t_embedder.mlp.0.weight", "img_in.proj.weight"]
    )


@pytest.mark.parametrize("title", SINGLE)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_transformer_in_one_file_is_refused_with_a_way(title: str, prefix: str, tmp_path: Path) -> None:
    """The help names diffusers' class, which has what it says."""
    import diffusers
    from safetensors.torch import save_file

    save_file({prefix + name: torch.ones(4, 4) for name in SINGLE[title]}, tmp_path / "one.safetensors")
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {tmp_path}/one.safetensors\nedits: [{{erase: circle, to: square}}]\n")
    (found,) = api.check(path).diagnostics
    assert found.code == "E206" and title in found.message
    (loader,) = re.findall(r"(\w+)\.from_single_file", found.help)
    assert hasattr(getattr(diffusers, loader), "from_single_file")


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_a_diff_of_a_language_model_is_of_its_family(kind: str, tmp_path: Path) -> None:
    """Matrices stored (d_in, d_out) are known as such: the delta applies bit for bit and PEFT adds what it says."""
    from safetensors.torch import load_file, save_file

    folder = pico.saved(kind, tmp_path / "model")
    edited = copytree(folder, tmp_path / "edited")
    tensors, rng = load_file(edited / "model.safetensors"), torch.Generator().manual_seed(1)
    names = [pico.writer(kind, 1), pico.attention(kind, 2)]
    for name in names:
        rows, columns = (torch.randn(size, generator=rng) for size in tensors[name].shape)
        tensors[name] = tensors[name] + 0.02 * torch.outer(rows, columns)
    save_file(tensors, edited / "model.safetensors", {"format": "pt"})
    made = api.diff(str(folder), str(edited), tmp_path / "d.safetensors", mend="exact")
    assert made.delta.family == kind and [site.site.role for site in made.delta.sites] == ["mlp", "attention"]
    assert all(site.site.transposed == (kind == "gpt2") for site in made.delta.sites)
    assert {row.rank for row in made.rows} == {1}
    _, applied = api.apply([tmp_path / "d.safetensors"], str(folder), tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert applied and all(torch.equal(again[name], tensors[name]) for name in tensors)
    trials = api.export(tmp_path / "d.safetensors", "peft", tmp_path / "peft", str(folder)).trials
    assert trials and all(trial.passed and trial.matched == 2 for trial in trials)
