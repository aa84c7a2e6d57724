"""Loading where the weights are somewhere else: offloaded by a hook, compiled, adapted, tied, on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import consumer_models as pico
import live_cases as live
import pytest
import torch
from fake_device import on_fake_device

import editc
from editc.core.delta import Delta
from editc.formats.models.model import open_model

CPU = torch.device("cpu")


def _hooked(network: Any, folder: Path) -> Any:
    """As `enable_model_cpu_offload` does it."""
    from accelerate import cpu_offload_with_hook

    return cpu_offload_with_hook(network, CPU)[0]


def _sequential(network: Any, folder: Path, **given: Any) -> Any:
    """As `enable_sequential_cpu_offload` does it: between uses every parameter is on the device `meta`."""
    from accelerate import cpu_offload

    made = cpu_offload(network, CPU, **given)
    assert {one.device.type for one in made.parameters()} == {"meta"}
    return made


def _whole_attentions(network: Any, folder: Path) -> Any:
    return _sequential(network, folder, preload_module_classes=["Attention"])


def _on_disk(network: Any, folder: Path) -> Any:
    from accelerate import disk_offload

    return disk_offload(network, folder / "offloaded", CPU)


def _dispatched(network: Any, folder: Path) -> Any:
    """As `device_map` does it: some parts stay, the others are on the disk."""
    from accelerate import dispatch_model

    places = {name: "disk" if "blocks" in name else "cpu" for name, _ in network.named_children()}
    return dispatch_model(network, places, main_device="cpu", offload_dir=folder / "parts", force_hooks=True)


def _in_groups(network: Any, folder: Path) -> Any:
    network.enable_group_offload(onload_device=CPU, offload_type="leaf_level")
    return network


def _compiled(network: Any, folder: Path) -> Any:
    return torch.compile(network, backend="eager")


def _compiled_blocks(network: Any, folder: Path) -> Any:
    network.compile_repeated_blocks(backend="eager")
    return network


def _in_parallel(network: Any, folder: Path) -> Any:
    return torch.nn.DataParallel(network)


def _trainable(network: Any, folder: Path) -> Any:
    return network.requires_grad_(True)


HOOKS: Mapping[str, Callable[[Any, Path], Any]] = {
    one.__name__.strip("_"): one
    for one in (
        *(_hooked, _sequential, _whole_attentions, _on_disk, _dispatched, _in_groups),
        *(_compiled, _compiled_blocks, _in_parallel, _trainable),
    )
}


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live.saved("sd1", tmp_path_factory.mktemp("sd1") / "m").path


@pytest.fixture(scope="module")
def delta(sd1: Path) -> Delta:
    return live.delta_for("sd1", open_model(sd1))


@pytest.fixture(scope="module")
def predictions(sd1: Path, delta: Delta) -> tuple[torch.Tensor, torch.Tensor]:
    """Without the delta, and with it, in a network that nothing is hooked into."""
    network = live.unet(sd1)
    before = live.predict(network)
    with editc.load(network, delta):
        edited = live.predict(network)
    assert not torch.equal(before, edited)
    return before, edited


@pytest.mark.parametrize("hook", HOOKS)
def test_the_edit_is_in_what_runs(hook: str, sd1: Path, delta: Delta, predictions: Any, tmp_path: Path) -> None:
    before, edited = predictions
    network = HOOKS[hook](live.unet(sd1), tmp_path)
    assert torch.equal(live.predict(network), before)
    with editc.load(network, delta):
        assert torch.equal(live.predict(network), edited) and torch.equal(live.predict(network), edited)
    assert torch.equal(live.predict(network), before)


@pytest.mark.parametrize("hook", ["hooked", "sequential", "in_groups", "compiled", "trainable"])
def test_a_hook_may_come_between_load_and_unload(
    hook: str, sd1: Path, delta: Delta, predictions: Any, tmp_path: Path
) -> None:
    before, edited = predictions
    network = live.unet(sd1)
    loaded = editc.load(network, delta)
    hooked = HOOKS[hook](network, tmp_path)
    assert torch.equal(live.predict(hooked), edited)
    loaded.unload()
    assert torch.equal(live.predict(hooked), before)


def test_what_was_on_the_disk_is_read_from_there_again(sd1: Path, delta: Delta, tmp_path: Path) -> None:
    network = _on_disk(live.unet(sd1), tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "offloaded").iterdir()}
    name = delta.sites[0].site.name
    place = name.rpartition(".")[0]
    loader = network.get_submodule(place)._hf_hook.weights_map.dataset
    with editc.load(network, delta):
        assert name in loader.state_dict
    assert not loader.state_dict and {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_gradients_do_not_matter(context: Any, sd1: Path, delta: Delta) -> None:
    network = live.unet(sd1).requires_grad_(True)
    with live.unchanged(network), context(), editc.load(network, delta) as loaded:
        assert loaded.tensors == len(delta.sites)
    assert all(one.requires_grad and one.grad is None for one in network.parameters())
    with torch.inference_mode():
        frozen = live.unet(sd1)
        frozen.load_state_dict({n: v.clone() for n, v in frozen.state_dict().items()}, assign=True)
    with live.unchanged(frozen), editc.load(frozen, delta):
        pass


def test_a_layout_of_memory_stays(sd1: Path, tmp_path: Path) -> None:
    model = open_model(sd1)
    sites = [one for one in pico.every_site(model) if "conv" in one.name][:3]
    delta = pico.delta(model, "sd1", sites, "low-rank")
    pipe = live.in_memory("sd1", sd1, torch.float32)
    patched = live.applied(pipe, delta, tmp_path)
    pipe.unet.to(memory_format=torch.channels_last)
    strides = [one.stride() for one in pipe.unet.parameters()]
    with live.unchanged(pipe), editc.load(pipe, delta):
        assert live.differences(pipe, patched, delta) == []
        assert [one.stride() for one in pipe.unet.parameters()] == strides


def test_a_model_that_peft_adapts(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = live.saved("llama", tmp_path / "m")
    delta = live.delta_for("llama", model)
    network = live.in_memory("llama", tmp_path / "m", torch.float32)
    adapted = get_peft_model(network, LoraConfig(target_modules=["down_proj", "v_proj"], init_lora_weights=False))
    with live.unchanged(adapted), editc.load(adapted, delta) as loaded:
        assert loaded.tensors == len(delta.sites)
        assert "base_layer" in loaded.plan.slot(loaded.plan.targets[0]).name


@pytest.mark.parametrize("apart", [False, True])
def test_tied_weights_that_are_offloaded(apart: bool, tmp_path: Path) -> None:
    """A model that comes from a GPU has a copy for each name."""
    from accelerate import cpu_offload
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 64}
    network = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, tie_word_embeddings=True)).eval()
    network.save_pretrained(tmp_path / "m")
    model = open_model(tmp_path / "m")
    (stored,) = (n for n in model.component().names() if n.endswith(("embed_tokens.weight", "lm_head.weight")))
    delta = pico.delta(model, "llama", [pico.site(model, "model", stored, "mlp")], "low-rank")
    ids = torch.arange(5)[None]
    with torch.no_grad():
        before = network(ids).logits
        with editc.load(network, delta):
            edited = network(ids).logits
        held = {n: v.clone() if apart else v for n, v in network.state_dict().items()}
        cpu_offload(network, CPU, state_dict=held)
        with editc.load(network, delta):
            assert torch.equal(network(ids).logits, edited)
        assert torch.equal(network(ids).logits, before) and not torch.equal(before, edited)


@pytest.mark.parametrize("way", ["to", "enable_model_cpu_offload", "enable_sequential_cpu_offload"])
@on_fake_device
def test_a_pipeline_that_a_device_runs(way: str, tmp_path: Path) -> None:
    delta = live.delta_for("sd1", live.saved("sd1", tmp_path / "m"))

    def paint(pipe: Any) -> torch.Tensor:
        pipe.set_progress_bar_config(disable=True)
        draw = torch.Generator().manual_seed(0)
        sizes = {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "latent"}
        found: torch.Tensor = pipe("a circle", generator=draw, **sizes).images
        return found.cpu()

    plain, pipe = (live.in_memory("sd1", tmp_path / "m", torch.float32) for _ in range(2))
    before = paint(plain)
    with editc.load(plain, delta):
        edited = paint(plain)
    pipe.to("fake") if way == "to" else getattr(pipe, way)(device="fake")
    assert torch.equal(paint(pipe), before)
    with editc.load(pipe, delta):
        assert torch.equal(paint(pipe), edited) and not torch.equal(before, edited)
    assert torch.equal(paint(pipe), before)
