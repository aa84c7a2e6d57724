"""What programs call the tensors of a file: the table against the real transformers, and files of other versions."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import export_cases
import pytest
import torch
from export_cases import assert_whole, edit

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.apply.status import status
from editc.formats.exports import read
from editc.formats.exports.format import Job
from editc.formats.exports.write import export
from editc.formats.models.model import Model, open_model
from editc.formats.models.model_names import spell_for_program
from editc.formats.models.program_names import PROGRAMS, plain_name, program_names

models = export_cases.models
pytestmark = pytest.mark.filterwarnings("ignore")
OTHER = {"gpt2": "gpt2-hub", "gpt2-hub": "gpt2"}


@cache
def hollow(kind: str) -> Any:
    """A model of that type without weights, one layer of each part."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.for_model(kind)
    for part in (config, getattr(config, "text_config", None), getattr(config, "vision_config", None)):
        for field in ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth"):
            if type(getattr(part, field, None)) is int:
                setattr(part, field, 1)
    if kind == "gpt_neo":
        config.attention_types, config.attention_layers = [[["global"], 1]], ["global"]
    for part in (config, getattr(config, "text_config", None)):
        if part is not None and "layer_types" in vars(part):
            part.layer_types = part.layer_types[:1]
    images = "vision_config" in config.to_dict()
    with torch.device("meta"):
        return (AutoModelForImageTextToText if images else AutoModelForCausalLM).from_config(config)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_the_table_is_what_transformers_does(kind: str) -> None:
    """From the names that `save_pretrained` writes, and from the bare model's, to those of the loaded model."""
    from transformers.core_model_loading import revert_weight_conversion

    model, program = hollow(kind), PROGRAMS[kind]
    own = set(model.state_dict())
    file = list(revert_weight_conversion(model, model.state_dict()))
    if program.stacked:
        return
    assert set(program_names(file, program).values()) == own
    bare = [name.removeprefix(f"{program.body}.") for name in own if name.startswith(f"{program.body}.")]
    assert model.base_model_prefix == program.body
    if not program.renamings:
        assert set(program_names(bare, program).values()) <= own


def test_a_language_part_has_the_names_of_a_model_of_text_alone() -> None:
    assert plain_name("language_model.model.layers.0.a.weight") == "model.layers.0.a.weight"
    assert plain_name("h.0.a.weight") == "h.0.a.weight" and plain_name("model.layers.0.a") == "model.layers.0.a"
    assert plain_name("vision_tower.layers.0.a") == "vision_tower.layers.0.a"


def test_names_alone_say_the_program_only_where_they_leave_no_doubt() -> None:
    assert spell_for_program(["h.0.mlp.c_fc.weight"], None) == {
        "h.0.mlp.c_fc.weight": "transformer.h.0.mlp.c_fc.weight"
    }
    file = "language_model.model.layers.0.mlp.up_proj.weight"
    assert spell_for_program([file], None) == {file: "model.language_model.layers.0.mlp.up_proj.weight"}
    for name in ("model.layers.0.mlp.up_proj.weight", "blocks.0.ffn.weight", "layers.0.mlp.up_proj.weight"):
        assert spell_for_program([name], None) == {name: name}


@pytest.mark.parametrize("family", OTHER)
def test_a_delta_is_for_the_model_under_either_names(family: str, models: Any, tmp_path: Path) -> None:
    """GPT-2 from the hub and after `save_pretrained`: applied, known and taken off under the names of the other."""
    delta, other = edit(models(family), family, "low-rank"), models(OTHER[family])
    assert plan_apply([delta], other).tier == "exact"
    apply(plan_apply([delta], other), tmp_path / "patched")
    patched = open_model(tmp_path / "patched")
    (state,) = status(patched, [delta]).deltas
    assert state.presence == "applied" and set(state.tensors.values()) == {"result"}
    assert status(patched).applied == (delta.delta_id,)
    assert plan_apply([delta], patched).status == "already"


@pytest.mark.parametrize("family", ["gpt2", "gpt2-hub", "gemma3"])
@pytest.mark.parametrize("named", [True, False])
def test_peft_is_given_the_programs_names(family: str, named: bool, models: Any, tmp_path: Path) -> None:
    """With the model the trial is whole; without it the same names are written where they leave no doubt."""
    model = models(family)
    delta = edit(model, family, "low-rank")
    made = export(Job(delta, model if named else None, tmp_path / "peft"), "peft")
    if named:
        assert_whole(made, len(delta.sites))
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    head = "model.language_model.layers." if family == "gemma3" else "transformer.h."
    assert all(name.startswith(head) for name in config["target_modules"])
    assert plan_apply([read.read_delta(tmp_path / "peft")], model).tier == "exact"


def test_llama_cpp_is_given_the_language_part_of_a_model_that_sees_images(models: Any, tmp_path: Path) -> None:
    model: Model = models("gemma3")
    delta = edit(model, "gemma3", "low-rank")
    assert_whole(export(Job(delta, model, tmp_path / "lora.gguf"), "gguf-lora"), len(delta.sites))
    assert plan_apply([read.read_delta(tmp_path / "lora.gguf")], model).tier == "exact"
