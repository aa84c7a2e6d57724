"""The pack is what ComfyUI and its registry expect of one, and its nodes say what a user wants to know."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import comfy_cases as comfy
import consumer_models as pico
import pytest
import torch
from places import ROOT
from signing_cases import key_files

from editc import api
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

NODES = comfy.load_pack().NODE_CLASS_MAPPINGS
nodes = comfy.part_of_pack("nodes")
places = comfy.part_of_pack("places")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return comfy.demo_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def models(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's folder of models, with a delta in it."""
    monkeypatch.setitem(sys.modules, "folder_paths", comfy.fake_folder_paths(tmp_path))
    (tmp_path / "editc").mkdir()
    model = open_model(checkpoint)
    made = pico.delta(model, "sd1", pico.sites(model, "sd1")[:2], "shared")
    write_delta(made, tmp_path / "editc" / "circle.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_declared_as_comfyui_reads_it(name: str, models: Path) -> None:
    node = NODES[name]
    fields = node.INPUT_TYPES()
    assert set(fields) <= {"required", "optional"} and callable(getattr(node(), node.FUNCTION))
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) and node.CATEGORY and node.DESCRIPTION
    assert all(isinstance(kind, str | list) for group in fields.values() for kind, *_ in group.values())
    assert comfy.load_pack().NODE_DISPLAY_NAME_MAPPINGS.keys() == NODES.keys()


def test_the_deltas_of_the_folder_are_listed(models: Path) -> None:
    kinds, _ = NODES["EditcApply"].INPUT_TYPES()["required"]["delta"]
    assert kinds == ["circle.safetensors"]


def test_applying_says_what_is_in_the_model_now(models: Path, checkpoint: Path) -> None:
    model, clip = comfy.load_checkpoint(checkpoint)
    edited, same, text = NODES["EditcApply"]().apply(model, "circle.safetensors", nodes.REFUSE, clip)
    assert len(edited.patches) == 2 and same is clip
    assert "for: Stable Diffusion 1.x" in text and "2 matrices in unet" in text and nodes_unsigned() in text
    back, _, told = NODES["EditcRevert"]().revert(edited, "all", clip)
    assert back.patches == {} and told.startswith("took out delta")


def nodes_unsigned() -> str:
    return str(comfy.part_of_pack("about").UNSIGNED)


def test_inspecting_says_that_a_model_is_another_one_and_is_no_error(models: Path, checkpoint: Path) -> None:
    model, _ = comfy.load_checkpoint(checkpoint)
    (text,) = NODES["EditcInspect"]().inspect("circle.safetensors", model)["result"]
    assert "this model: 2 matrices: the very weights that the delta was made for" in text
    for weight in model.model.state_dict().values():
        weight.copy_(torch.rand_like(weight))
    shown = NODES["EditcInspect"]().inspect("circle.safetensors", model)
    assert "this model: refused\nE622" in shown["result"][0] and shown["ui"]["text"] == list(shown["result"])


def test_a_refusal_says_what_to_do(models: Path, checkpoint: Path) -> None:
    model, _ = comfy.load_checkpoint(checkpoint)
    for weight in model.model.state_dict().values():
        weight.copy_(torch.rand_like(weight))
    with pytest.raises(nodes.RefusedError, match=r"E622: 2 of 2 target tensors(.|\n)*What to do: "):
        NODES["EditcApply"]().apply(model, "circle.safetensors", nodes.REFUSE)


def test_a_key_that_did_not_sign_the_delta_refuses_it(models: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = models / "editc"
    mine, other = key_files(folder, "mine"), key_files(folder, "other")
    api.sign(folder / "circle.safetensors", mine.secret)
    model, _ = comfy.load_checkpoint(checkpoint)
    node = NODES["EditcApply"]()
    _, _, text = node.apply(model, "circle.safetensors", nodes.REFUSE, public_key=mine.shown.name)
    assert "signature: by " in text
    with pytest.raises(nodes.RefusedError, match="not one of yours"):
        node.apply(model, "circle.safetensors", nodes.REFUSE, public_key=str(other.shown))


def test_a_changed_delta_makes_comfyui_run_the_node_again(models: Path) -> None:
    mark = NODES["EditcApply"].IS_CHANGED("circle.safetensors")
    assert mark == NODES["EditcApply"].IS_CHANGED("circle.safetensors")
    with (models / "editc" / "circle.safetensors").open("ab") as file:
        file.write(b" ")
    assert NODES["EditcApply"].IS_CHANGED("circle.safetensors") != mark


def test_the_queries_keys_and_values_that_flux_has_in_one_weight_are_rows_of_it() -> None:
    shapes = {"diffusion_model.double_blocks.0.img_attn.qkv.weight": (12, 4)}
    shapes |= {"diffusion_model.single_blocks.1.linear1.weight": (28, 4), "diffusion_model.txt_in.weight": (4, 6)}
    found = places.model_places(shapes)
    value = found["transformer", "transformer_blocks.0.attn.to_v.weight"]
    assert value.patch_key == ("diffusion_model.double_blocks.0.img_attn.qkv.weight", (0, 8, 4))
    assert found["transformer", "single_transformer_blocks.1.proj_mlp.weight"].patch_key[1] == (0, 12, 16)
    assert found["transformer", "context_embedder.weight"].patch_key == "diffusion_model.txt_in.weight"


def test_the_metadata_is_what_the_registry_asks_for() -> None:
    pack = tomllib.loads((comfy.PACK / "pyproject.toml").read_text(encoding="utf-8"))
    project, own = pack["project"], tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[A-Za-z][\w.-]{0,98}", project["name"]) and "comfyui" not in project["name"].lower()
    assert project["version"] == own["project"]["version"]
    assert {"PublisherId", "DisplayName", "Icon"} <= pack["tool"]["comfy"].keys()


def test_the_pack_loads_where_only_editc_s_own_packages_are(tmp_path: Path) -> None:
    """Neither torch nor anything of an extra is imported before a node runs."""
    shutil.copytree(comfy.PACK, tmp_path / "custom_nodes" / "editc")
    refused = "torch transformers diffusers scipy PIL jinja2 tokenizers cryptography"
    script = f"""
import importlib.util, sys
sys.modules |= dict.fromkeys({refused.split()!r})
spec = importlib.util.spec_from_file_location("pack", "custom_nodes/editc/__init__.py")
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])
print(*sys.modules["pack"].NODE_CLASS_MAPPINGS)
"""
    done: Any = subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [*NODES], done.stderr
