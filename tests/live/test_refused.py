"""What is refused, with which words, and that the weights are then what they were."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import consumer_models as pico
import live_cases as live
import numpy as np
import pytest
import tiny_files
import torch
from tiny_files import refused

import editc
from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model
from editc.live import load as loading
from editc.live import storage
from editc.live.slots import find_slots


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live.saved("sd1", tmp_path_factory.mktemp("sd1") / "m").path


@pytest.fixture(scope="module")
def delta(sd1: Path) -> Delta:
    return live.delta_for("sd1", open_model(sd1))


@pytest.fixture()
def network(sd1: Path) -> Any:
    return live.unet(sd1)


def stronger(delta: Delta, sd1: Path) -> Delta:
    """Another delta for the same base and tensors, of another concept."""
    factors = next(iter(delta.factors.values()))
    made = tiny_files.delta_of(
        open_model(sd1), [record.site for record in delta.sites], replace(factors, left=(2 * factors.left[0],))
    )
    return tiny_files.sealed(replace(made, edits=({"kind": "erase", "concept": "star"},)))


def words(error: EditcError) -> str:
    return " ".join((one := error.diagnostics[0]).message.split()) + " " + one.help


def load_and_unload(network: Any, delta: Delta, allowed: bool) -> None:
    editc.load(network, delta, allow_finetune=allowed).unload()


def told(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call refuses, but for the name of the place."""
    try:
        call()
    except EditcError as error:
        return tuple(replace(one, place="") for one in error.diagnostics)
    return ()


# ---------------------------------------------------------------- the weights


def test_the_words_are_those_of_apply(sd1: Path, delta: Delta, tmp_path: Path) -> None:
    """Each model refuses the delta in memory as it does on the disk, but for the name of the place."""
    write_delta(delta, tmp_path / "d.safetensors")
    changes: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "stranger": torch.randn_like,
        "tuned": lambda values: values * 1.01,
        "narrow": lambda values: values.to(torch.float16).to(torch.bfloat16),
    }
    for name, change in changes.items():
        network = live.unet(sd1)
        network.load_state_dict({n: change(v) for n, v in network.state_dict().items()}, assign=True)
        network.save_pretrained(tmp_path / name)
        for allowed in (False, True):
            on_disk = partial(editc.plan_apply, tmp_path / "d.safetensors", tmp_path / name, allow_finetune=allowed)
            in_memory = partial(load_and_unload, network, delta, allowed)
            assert told(on_disk) == told(in_memory), (name, allowed)


def test_another_delta_that_is_loaded_is_named(sd1: Path, delta: Delta, network: Any) -> None:
    other = stronger(delta, sd1)
    with editc.load(network, delta), refused("E622") as error:
        editc.load(network, other)
    assert "this model already carries `circle`" in words(error) and delta.delta_id[:12] in words(error)
    assert "editc link" in words(error)
    with editc.load(network, other) as loaded:  # nothing of the first is left
        assert loaded.tensors == len(delta.sites)


def test_what_is_in_already_is_left(sd1: Path, delta: Delta, network: Any, tmp_path: Path) -> None:
    write_delta(delta, tmp_path / "d.safetensors")
    editc.apply(tmp_path / "d.safetensors", sd1, out=tmp_path / "out")
    edited = live.unet(tmp_path / "out")
    with live.unchanged(edited), editc.load(edited, delta) as loaded:
        assert loaded.plan.status == "already" and loaded.tensors == 0
    with editc.load(network, delta):
        with live.unchanged(network), editc.load(network, delta) as again:
            assert again.plan.status == "already"
        with refused("E643") as error:
            editc.load(network, delta, strength=0.5)
        assert "holds the whole edit" in words(error)


def test_deltas_that_edit_the_same_tensors(sd1: Path, delta: Delta, network: Any) -> None:
    with refused("E624"), live.unchanged(network):
        editc.load(network, [delta, stronger(delta, sd1)])


def test_a_model_that_lacks_what_is_edited(sd1: Path, delta: Delta, network: Any) -> None:
    pipe = live.in_memory("sd1", sd1, torch.float32)
    pipe.unet = None
    with refused("E615") as error:
        editc.load(pipe, delta)
    assert "text_encoder" in words(error)
    with refused("E620"):
        editc.load(pipe.text_encoder, delta)
    wide = live.unet(sd1)
    name = delta.sites[0].site.name.removesuffix(".weight")
    wide.get_submodule(name).weight = torch.nn.Parameter(torch.zeros(3, 3))
    with refused("E621"):
        editc.load(wide, delta)


@pytest.mark.parametrize("what", ["model.safetensors", 3, None, {"unet": 1}])
def test_what_is_no_model(what: Any, delta: Delta) -> None:
    with refused("E640") as error:
        editc.load(what, delta)
    assert "editc.apply" in words(error)


# ---------------------------------------------------------------- where weights are


def test_weights_that_are_fused_or_nowhere(delta: Delta, sd1: Path, network: Any) -> None:
    network.fuse_qkv_projections()
    with refused("E644") as error, live.unchanged(network):
        editc.load(network, delta)
    assert "unfuse_qkv_projections" in words(error)
    network.unfuse_qkv_projections()
    editc.load(network, delta).unload()
    with refused("E644") as error:
        editc.load(live.unet(sd1).to("meta"), delta)
    assert "device `meta`" in words(error)


def test_groups_that_diffusers_offloads_to_the_disk(delta: Delta, network: Any, tmp_path: Path) -> None:
    given = {"onload_device": torch.device("cpu"), "offload_type": "leaf_level"}
    network.enable_group_offload(**given, offload_to_disk_path=str(tmp_path / "groups"))
    with refused("E644") as error:
        editc.load(network, delta)
    assert "enable_group_offload" in words(error)


class Packed(torch.Tensor):  # type: ignore[misc]
    """A tensor of a library that holds others inside, as those of torchao and quanto do."""

    def __tensor_flatten__(self) -> Any: ...


class Int8Params(torch.nn.Parameter):  # type: ignore[misc]
    """As bitsandbytes calls its own."""


@pytest.mark.parametrize("kind", ["packed", "int8", "gptq", "float8"])
def test_quantised_weights(kind: str, delta: Delta, network: Any) -> None:
    for record in delta.sites:
        layer = network.get_submodule(record.site.name.removesuffix(".weight"))
        if kind == "packed":
            layer.weight = torch.nn.Parameter(layer.weight.data.as_subclass(Packed), requires_grad=False)
        elif kind == "int8":
            layer.weight = Int8Params(layer.weight.data.to(torch.int8), requires_grad=False)
        elif kind == "float8":
            layer.weight = torch.nn.Parameter(layer.weight.data.to(torch.float8_e4m3fn), requires_grad=False)
        else:
            del layer.weight
            layer.register_buffer("qweight", torch.zeros(2, 2, dtype=torch.int32))
    with refused("E690" if kind == "float8" else "E691") as error, live.unchanged(network):
        editc.load(network, delta)
    assert "quantised" in words(error)
    said = {"packed": "Packed", "int8": "Int8Params", "gptq": "GPTQ", "float8": "F8_E4M3"}[kind]
    assert said in error.diagnostics[0].notes[0]


# ---------------------------------------------------------------- strength


@pytest.mark.parametrize("strength", [0, -1, 1.6, float("nan"), float("inf")])
def test_a_strength_out_of_range(strength: float, delta: Delta, network: Any) -> None:
    with refused("E643") as error, live.unchanged(network):
        editc.load(network, delta, strength=strength)
    assert "at most 1.5" in words(error)


def test_bits_have_no_strength(sd1: Path, network: Any) -> None:
    model = open_model(sd1)
    bits = tiny_files.delta_for(model, "xor", [one.name for one in pico.sites(model, "sd1")[:2]])
    with refused("E643") as error:
        editc.load(network, bits, strength=0.5)
    assert "bits have no strength" in words(error)
    with refused("E606"):
        editc.load(network.to(torch.float16), bits)


# ---------------------------------------------------------------- faults on the way


def test_an_edit_that_rounding_removes(delta: Delta, network: Any) -> None:
    with refused("E625") as error, live.unchanged(network):
        editc.load(network, delta, strength=1e-12)
    assert "smaller than the dtype can hold" in words(error)


def test_a_result_that_is_not_finite(sd1: Path, delta: Delta) -> None:
    factors = next(iter(delta.factors.values()))
    model, sites = open_model(sd1), [record.site for record in delta.sites]
    huge = tiny_files.delta_of(model, sites, replace(factors, left=(factors.left[0] * np.float32(1e9),)))
    assert "F16" not in huge.sites[0].base
    network = live.unet(sd1).to(torch.float16)
    with refused("E626") as error, live.unchanged(network):
        editc.load(network, huge, allow_finetune=True)
    assert "F16 cannot" in words(error)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_whatever_stops_a_load_nothing_of_it_stays(
    after: int, delta: Delta, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [after]

    def stop(*given: Any) -> None:
        write(*given)
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1

    write = storage.write
    monkeypatch.setattr(loading, "write", stop)
    with live.unchanged(network), pytest.raises(KeyboardInterrupt):
        editc.load(network, delta)
    monkeypatch.undo()
    editc.load(network, delta).unload()


def test_a_delta_that_lies_about_its_result(delta: Delta, network: Any) -> None:
    lies = replace(delta, sites=(*delta.sites[:-1], replace(delta.sites[-1], result={"F32": "0" * 64})))
    with refused("E627"), live.unchanged(network):
        editc.load(network, lies)


# ---------------------------------------------------------------- unload


def test_unloading_twice(delta: Delta, network: Any) -> None:
    with live.unchanged(network), editc.load(network, delta) as loaded:
        loaded.unload()
        assert not loaded.loaded and "unloaded from" in repr(loaded)
    with refused("E641") as error:
        loaded.unload()
    assert "unloaded before" in words(error)


def test_weights_that_changed_meanwhile(delta: Delta, network: Any) -> None:
    (slot,) = find_slots(network, [delta.sites[0].site.name]).values()
    old = slot.owner.weight.clone()
    loaded = editc.load(network, delta)
    with torch.no_grad():
        slot.owner.weight[0, 0] += 1
    with refused("E642") as error, live.unchanged(network):
        loaded.unload()
    assert "lose that change" in words(error) and loaded.loaded
    with torch.no_grad():
        slot.owner.weight.copy_(old)
    loaded.unload()  # one of them holds its old values already, the others their results
    assert torch.equal(slot.owner.weight, old) and not loaded.loaded


def test_another_dtype_meanwhile(delta: Delta, network: Any) -> None:
    loaded = editc.load(network, delta)
    network.to(torch.float16)
    with refused("E642") as error:
        loaded.unload()
    assert "dtype" in error.diagnostics[0].notes[0]


def test_a_delta_on_top_comes_off_first(sd1: Path, delta: Delta, network: Any) -> None:
    other = stronger(delta, sd1)
    with live.unchanged(network):
        below = editc.load(network, delta)
        above = editc.load(network, other, allow_finetune=True)
        with refused("E642") as error, live.unchanged(network):
            below.unload()
        assert f"delta {other.delta_id[:12]} was loaded on top" in error.diagnostics[0].notes[0]
        above.unload()
        below.unload()


def test_a_model_is_not_kept_alive(sd1: Path, delta: Delta) -> None:
    import gc
    from weakref import ref

    network = live.unet(sd1)
    editc.load(network, delta)
    gone = ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_nothing_is_imported_that_the_model_does_not_need() -> None:
    code = "import sys, editc; editc.load; print(sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
