"""A language model as it is loaded: what is refused, what its fingerprint tells, and how its layers multiply."""

from __future__ import annotations

import copy
import gc
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
import torch

from editc.backends.networks import CausalNetwork, PromptTokenizer, load, pause_garbage_collection
from editc.backends.networks.products import use_onednn
from editc.core.diagnostics import EditcError


def test_a_weight_that_is_learned_and_another_precision_go_as_before() -> None:
    layer = use_onednn(torch.nn.Linear(6, 4))
    layer(torch.ones(2, 6)).sum().backward()
    assert torch.equal(layer.weight.grad, torch.full((4, 6), 2.0))
    half = use_onednn(torch.nn.Linear(6, 4).to(torch.bfloat16).requires_grad_(False))
    assert half(torch.ones(2, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_the_fingerprint_tells_words_and_settings_apart() -> None:
    plain, bos, other = pico.network("llama"), pico.network("llama", True), pico.network("llama")
    tokenizer = copy.deepcopy(pico.tokenizer())
    tokenizer.chat_template += " "
    other.model.config.rms_norm_eps *= 2
    marks = {one.fingerprint() for one in (plain, bos, CausalNetwork(plain.model, PromptTokenizer(tokenizer)), other)}
    assert len(marks) == 4 and pico.network("llama").fingerprint() == plain.fingerprint()


def test_a_chat_template_that_asks_the_clock_is_told_one_day() -> None:
    tokenizer = copy.deepcopy(pico.tokenizer())
    tokenizer.chat_template = "Today is {{ strftime_now('%d %B %Y') }}. " + tokenizer.chat_template
    assert PromptTokenizer(tokenizer).apply_template("So?").startswith("Today is 26 Jul 2024. ")


def test_layers_that_are_no_attention_are_refused(tmp_path: Path) -> None:
    """Padding behind a text would be read as words."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kinds = ["linear_attention", "full_attention"] * 2
    config = AutoConfig.for_model("qwen3_5_text", vocab_size=400, **pico.COMMON, layer_types=kinds)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    pico.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(EditcError) as refused:
        load(tmp_path)
    assert refused.value.diagnostics[0].code == "E206" and "linear_attention" in refused.value.diagnostics[0].message


@pytest.mark.parametrize("strange", [{"auto_map": {"AutoModelForCausalLM": "own.Model"}}, {}])
def test_code_beside_a_model_is_not_run_and_nobody_is_asked(
    strange: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pico.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", **strange}))
    (tmp_path / "own.py").write_text("raise SystemExit('this was run')")
    with pytest.raises(EditcError) as refused:
        load(tmp_path)
    assert refused.value.diagnostics[0].code == "E205" and not capsys.readouterr().out


def test_garbage_is_looked_for_again() -> None:
    for running in (True, False):
        (gc.enable if running else gc.disable)()
        try:
            with suppress(ValueError), pause_garbage_collection():
                assert not gc.isenabled()
                raise ValueError
            assert gc.isenabled() == running
        finally:
            gc.enable()
