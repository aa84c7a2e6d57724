"""A delta in a model in memory: what `apply` writes bit for bit, and nothing of it behind `unload`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import consumer_models as pico
import live_cases as live
import numpy as np
import pytest
import tiny_files
import torch

import editc
from editc.core.delta import Delta, Factors
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model
from editc.live.slots import find_slots
from editc.live.storage import read
from editc.numerics.bits import dtypes


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico Stable Diffusion in float32 on the disk."""
    return live.saved("sd1", tmp_path_factory.mktemp("sd1") / "m").path


@pytest.fixture(scope="module")
def delta(sd1: Path) -> Delta:
    return live.delta_for("sd1", open_model(sd1))


@pytest.mark.parametrize("dtype", live.DTYPES)
@pytest.mark.parametrize("family", live.FAMILIES)
def test_a_loaded_delta_is_the_applied_one(family: str, dtype: str, tmp_path: Path) -> None:
    delta = live.delta_for(family, live.saved(family, tmp_path / "m"))
    model = live.in_memory(family, tmp_path / "m", live.DTYPES[dtype])
    patched = live.applied(model, delta, tmp_path)
    assert len(live.differences(model, patched, delta)) == len(delta.sites)
    with live.unchanged(model), editc.load(model, delta) as loaded:
        assert loaded.tensors == len(delta.sites)
        assert live.differences(model, patched, delta) == []


@pytest.mark.parametrize("form", ["low-rank", "dense", "xor"])
def test_every_form_is_taken_out_again(sd1: Path, form: Any, tmp_path: Path) -> None:
    model = open_model(sd1)
    names = [one.name for one in pico.sites(model, "sd1")[:3]]
    delta = tiny_files.delta_for(model, form, names) if form == "xor" else live.delta_for("sd1", model, form)
    pipe = live.in_memory("sd1", sd1, torch.float32)
    patched = live.applied(pipe, delta, tmp_path)
    with live.unchanged(pipe), editc.load(pipe, delta):
        assert live.differences(pipe, patched, delta) == []


def test_a_text_encoder_is_found_under_the_names_of_any_version(sd1: Path, tmp_path: Path) -> None:
    model = open_model(sd1)
    weights = model.component("text_encoder")
    names = [name for name in weights.names() if "self_attn" in name and name.endswith("proj.weight")]
    sites = [pico.site(model, "text_encoder", name, "k") for name in names]
    delta = pico.delta(model, "sd-text", sites, "low-rank")
    pipe = live.in_memory("sd1", sd1, torch.float32)
    patched = live.applied(pipe, delta, tmp_path)
    with live.unchanged(pipe), editc.load(pipe, delta) as loaded:
        assert loaded.tensors == len(names) and live.differences(pipe, patched, delta) == []
    with live.unchanged(pipe), editc.load(pipe.text_encoder, delta) as loaded:
        assert loaded.tensors == len(names)


def test_every_matrix_of_an_expert_has_its_part_of_a_stack(tmp_path: Path) -> None:
    model = live.saved("mixtral", tmp_path / "m")
    name = "model.layers.1.block_sparse_moe.experts.2.w{}.weight"
    sites = [pico.site(model, "model", name.format(n), "mlp") for n in (1, 2, 3)]
    sites.append(pico.site(model, "model", "model.layers.1.block_sparse_moe.gate.weight", "mlp"))
    delta = pico.delta(model, "mixtral", sites, "low-rank")
    network = live.in_memory("mixtral", tmp_path / "m", torch.float32)
    patched = live.applied(network, delta, tmp_path)
    with live.unchanged(network), editc.load(network, delta):
        assert live.differences(network, patched, delta) == []


def test_several_deltas_are_loaded_at_once_or_one_after_the_other(sd1: Path, tmp_path: Path) -> None:
    model = open_model(sd1)
    first, second = (
        pico.delta(model, "sd1", sites, "shared")
        for sites in (pico.sites(model, "sd1")[:4], pico.sites(model, "sd1")[4:])
    )
    for i, one in enumerate((first, second)):
        write_delta(one, tmp_path / f"{i}.safetensors")
    pipe = live.in_memory("sd1", sd1, torch.float32)
    with live.unchanged(pipe):
        with editc.load(pipe, [tmp_path / "0.safetensors", str(tmp_path / "1.safetensors")]) as both:
            together = live.state_of(pipe)
            assert both.tensors == 8 and len(both.plan.deltas) == 2
        one, other = editc.load(pipe, tmp_path / "0.safetensors"), editc.load(pipe, second)
        assert live.state_of(pipe) == together
        one.unload()  # they edit other matrices, so the order does not matter
        other.unload()


def test_a_share_of_an_edit(sd1: Path, delta: Delta) -> None:
    pipe = live.in_memory("sd1", sd1, torch.float32)
    slots = find_slots(pipe.unet, [record.site.name for record in delta.sites])
    values = {n: np.frombuffer(read(slot), "<f4").astype("f8") for n, slot in slots.items()}
    with editc.load(pipe, delta):
        whole = {n: np.frombuffer(read(slot), "<f4") - values[n] for n, slot in slots.items()}
    with live.unchanged(pipe), editc.load(pipe, delta, strength=0.5) as loaded:
        half = {n: np.frombuffer(read(slot), "<f4") - values[n] for n, slot in slots.items()}
        assert "at strength 0.5 this is another edit" in loaded.notes[0]
    assert all(np.allclose(half[n], whole[n] / 2, atol=1e-6) and half[n].any() for n in slots)


def test_what_is_kept_is_less_than_the_weights(sd1: Path, delta: Delta) -> None:
    pipe = live.in_memory("sd1", sd1, torch.float32)
    edited = sum(4 * r.site.shape[0] * r.site.shape[1] for r in delta.sites)
    assert 0 < editc.load(pipe, delta).bytes_kept < edited / 4


def test_an_edit_that_nothing_leads_back_from_keeps_the_old_bytes(sd1: Path) -> None:
    """W + W U V with I + V U singular takes a direction out for good."""
    model = open_model(sd1)
    sites = pico.sites(model, "sd1")[:1]
    width = sites[0].shape[1]
    direction = np.zeros((width, 1), np.float32)
    direction[0] = 1
    gone = Factors("shared", (0,), (-direction,), (direction.T.copy(),))
    erased = tiny_files.delta_of(model, sites, gone)
    pipe = live.in_memory("sd1", sd1, torch.float32)
    with live.unchanged(pipe), editc.load(pipe, erased) as loaded:
        assert loaded.tensors == 1 and loaded.bytes_kept <= 4 * sites[0].shape[0] * width


def test_tied_weights_change_once(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 64}
    network = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, tie_word_embeddings=True))
    network.save_pretrained(tmp_path / "m")
    model = open_model(tmp_path / "m")
    (stored,) = (n for n in model.component().names() if n.endswith(("embed_tokens.weight", "lm_head.weight")))
    delta = pico.delta(model, "llama", [pico.site(model, "model", stored, "mlp")], "low-rank")
    both = tiny_files.sealed(_twice(delta, "lm_head.weight"))
    for one in (delta, both):
        with live.unchanged(network), editc.load(network, one) as loaded:
            assert loaded.tensors == 1
            assert network.lm_head.weight is network.model.embed_tokens.weight
            assert (
                dtypes.sha256(live.state_of(network)["/model.embed_tokens.weight"][: -len(b"torch.float32")])
                == (delta.sites[0].result["F32"])
            )


def _twice(delta: Delta, name: str) -> Delta:
    """The delta with the same edit of the same base under a second name, as files that were saved untied have it."""
    (group,) = delta.factors.values()
    copy = replace(delta.sites[0], site=replace(delta.sites[0].site, name=name))
    more = replace(group, sites=(0, 1), left=group.left * 2, right=group.right * 2)
    return replace(delta, sites=(delta.sites[0], copy), factors={next(iter(delta.factors)): more})


def test_a_fine_tune_is_refused_unless_it_is_allowed(sd1: Path, delta: Delta, tmp_path: Path) -> None:
    tuned = pico.fine_tuned(sd1, tmp_path / "tuned", "unet")
    pipe = live.in_memory("sd1", tuned.path, torch.float32)
    with tiny_files.refused("E622"), live.unchanged(pipe):
        editc.load(pipe, delta)
    with live.unchanged(pipe), editc.load(pipe, delta, allow_finetune=True) as loaded:
        assert loaded.plan.tier == "relative" and "verify again" in loaded.notes[0]
        plan, _ = editc.apply(_written(delta, tmp_path), tuned.path, out=tmp_path / "out", allow_finetune=True)
        assert live.differences(pipe, open_model(tmp_path / "out"), delta) == [] and plan.tier == "relative"


def _written(delta: Delta, folder: Path) -> Path:
    write_delta(delta, folder / "d.safetensors")
    return folder / "d.safetensors"
