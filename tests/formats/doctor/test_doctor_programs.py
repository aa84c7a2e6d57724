"""What ComfyUI, A1111 and vLLM make of an adapter: as measured in one, as the others' code says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from adapter_cases import ADAPTERS, K, kohya, old, ones, pair, unet
from doctor_cases import MEASURED, made, verdict

from editc.formats.doctor.examine import examine, scale_text
from editc.formats.doctor.models import published_modules
from editc.formats.doctor.spelling import read_adapter_file


@pytest.mark.parametrize("name", MEASURED)
def test_comfyui_patches_as_many_modules_as_were_measured(name: str) -> None:
    said = verdict(ADAPTERS / name, "ComfyUI")
    assert (said.count("applied"), len(said.rows)) == MEASURED[name]
    assert said.outcome == ("applies" if MEASURED[name][0] else "nothing")


def test_the_scale_in_comfyui_and_a1111_is_each_modules_own() -> None:
    """Where diffusers gives 42 of 56 modules a part of their delta, these two are exact."""
    path = ADAPTERS / "sdxl" / "bad_kohya_mixed_rank_alpha.safetensors"
    wrong = verdict(path, "diffusers")
    assert (wrong.outcome, wrong.count("applied"), wrong.count("wrong")) == ("partly", 14, 42)
    ranks = {module.name: module.rank for module in read_adapter_file(path)}
    assert all(row.scale == 1 / ranks[row.module] for row in wrong.rows)
    for loader in ("ComfyUI", "A1111"):
        assert scale_text(verdict(path, loader)) == "scale 1"


def test_comfyui_takes_the_unets_modules_that_are_no_attention_matrices(tmp_path: Path) -> None:
    """`unet.*.proj_in` and the feed forward are found, `unet.*.to_k` are not: half an edit."""
    inner = "down_blocks.0.attentions.0."
    said = verdict(made(tmp_path, {**unet(), **pair(f"unet.{inner}proj_in", (16, 16))}), "ComfyUI")
    assert (said.outcome, said.count("applied"), said.count("lost")) == ("partly", 1, 1)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a1111_numbers_attention_blocks_as_ldm_does(kind: Any) -> None:
    """Its formula (input block 1 + 3 level + number, output block 3 level + number) gives LDM's names."""
    known = published_modules(kind)
    homes = {parts[0]: original for original, parts in known.originals.items()}
    checked = 0
    for module, original in homes.items():
        way, _, rest = module.removeprefix("unet.").partition("_blocks.")
        level, kind_, number, *inner = rest.split(".") if way in ("down", "up") else ("", "", "")
        if kind_ != "attentions":
            continue
        block = 3 * int(level) + int(number) + (way == "down")
        assert original == f"{'input' if way == 'down' else 'output'}_blocks.{block}.1.{'.'.join(inner)}"
        checked += 1
    assert checked > 100


def test_a1111_cuts_at_the_first_dot_and_stops_at_endings_it_does_not_know(tmp_path: Path) -> None:
    assert verdict(made(tmp_path, unet()), "A1111").outcome == "nothing"
    assert verdict(made(tmp_path, {kohya(K) + ".diff": ones(16, 24)}), "A1111").outcome == "applies"
    assert (
        verdict(made(tmp_path, {**old(), kohya(K[:-1] + "v") + ".set_weight": ones(16, 24)}), "A1111").outcome
        == "refused"
    )
    assert verdict(made(tmp_path, old()), "A1111").outcome == "applies"


def test_text_encoders_of_sdxl_have_numbers_in_a1111(tmp_path: Path) -> None:
    inner = "text_model.encoder.layers.0.mlp.fc1"
    mixed = pair(kohya("output_blocks.1.1.transformer_blocks.9.ff.net.2"), (16, 64), style="kohya")
    for prefix, outcome in (("lora_te_", "partly"), ("lora_te1_", "applies"), ("lora_te2_", "applies")):
        path = made(tmp_path, mixed | pair(kohya(inner, prefix), (32, 16), style="kohya"))
        assert examine(path).known.kind == "sdxl"
        assert verdict(path, "A1111").outcome == outcome


VLLM: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "as it is": ({}, "applies"),
    "rslora": ({"use_rslora": True}, "applies"),
    "rank": ({"r": 32}, "refused"),
    "dora": ({"use_dora": True}, "refused"),
    "bias": ({"bias": "all"}, "refused"),
    "modules to save": ({"modules_to_save": ["lm_head"]}, "refused"),
    "alpha pattern": ({"alpha_pattern": {"layers.0.mlp.down_proj": 16}}, "partly"),
    "no alpha": ({"lora_alpha": None}, "refused"),
}


@pytest.mark.parametrize("change", VLLM)
def test_what_vllm_takes(change: str, tmp_path: Path) -> None:
    config, outcome = VLLM[change]
    path = Path(shutil.copytree(ADAPTERS / "llama" / "peft_llama", tmp_path / "adapter"))
    told = json.loads((path / "adapter_config.json").read_text()) | config
    (path / "adapter_config.json").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
    said = verdict(path, "vLLM")
    assert said.outcome == outcome
    if change == "rank":
        assert "--max-lora-rank 32" in said.advice and "32 is greater than max_lora_rank 16" in said.error
    if change == "rslora":
        assert scale_text(said) == f"scale {8 / 8**0.5:g}"
