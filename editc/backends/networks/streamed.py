"""Open a large model whose layers are read when they run: transformers' own code, without the weights of its layers.

It works where each parameter is one tensor of the files, under its own name. Models that transformers converts while
it loads them (stacked experts, quantised weights, models that see) are loaded whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from editc.backends.networks.layer_store import LayerStore, TensorFiles, empty_tensor
from editc.libraries.allocator import give_large_blocks_back
from editc.libraries.device import is_cpu
from editc.libraries.loading import HARMLESS, refuse_values

WHOLE_BYTES = 768 << 20
"""A model whose parameters take no more in float32 is loaded whole. Chosen by hand, for a machine of 4 GB."""
PINNED_BYTES = 384 << 20
"""What of such a model stays in memory: its embeddings, and the lowest layers for which there is room. Most edits read
keys in the lower layers. Chosen by hand."""
FREE_SHARE = 2
"""What a GPU has free is divided by this; so much stays in its memory, where that is more. Chosen by hand: the rest is
for states."""
DTYPES = frozenset({"F32", "F16", "BF16"})
"""Names of the stored dtypes that are read here, as safetensors spells them."""


def open_streamed(kind: Any, folder: Path, device: str) -> tuple[Any, LayerStore, Mapping[str, bytes]] | None:
    """Open the model of a folder on a device, with its layers on disk; also return the sha256 of each parameter.

    `kind` is transformers' class for the model. None where it is small or cannot be streamed: load it whole then.
    Raises E402 for values that are not finite.
    """
    stored = _stored_tensors(folder)
    if stored is None or 4 * sum(count for _, _, count in stored.values()) <= WHOLE_BYTES:
        return None
    model = _without_weights(kind, folder)
    files = None if model is None else _match_names(model, stored)
    layers = None if files is None else _layer_parameters(model)
    if files is None or layers is None:
        return None
    give_large_blocks_back()
    digests = _survey(files, folder)
    _fill_parameters(model, files, {name for own in layers for name in own}, device)
    layers = _layer_parameters(model)
    assert layers is not None
    width = 4 * model.config.get_text_config().hidden_size
    return (
        model.to(device).eval(),
        LayerStore(files, layers, _choose_pinned(model, layers, _room(device)), width),
        digests,
    )


def _stored_tensors(folder: Path) -> Mapping[str, tuple[Path, tuple[int, ...], int]] | None:
    """The tensors of a folder's safetensors files: name -> file, shape, number of entries. None where there are no such
    files, or where a tensor has a dtype that is not read here."""
    from math import prod

    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values()) if index.is_file() else {"model.safetensors"}
        found = {}
        for path in sorted(folder / name for name in names):
            with safe_open(path, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    part = opened.get_slice(name)
                    if part.get_dtype() not in DTYPES:
                        return None
                    found[name] = (path, tuple(part.get_shape()), prod(part.get_shape()))
        return found
    except Exception:  # the way that loads all of it tells what is wrong with the files
        return None


def _without_weights(kind: Any, folder: Path) -> Any:
    """transformers' model for the configuration, with parameters on the device `meta`. None for one that it would
    convert."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if kind is not AutoModelForCausalLM or getattr(config, "quantization_config", None) is not None:
        return None
    with _parameters_on_meta():
        model = kind.from_config(config, dtype=torch.float32, trust_remote_code=False)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Within the `with`, modules are made without memory for their parameters. Buffers, such as rotary frequencies, are
    made as always."""
    import torch

    register = torch.nn.Module.register_parameter

    def on_meta(module: Any, name: str, value: Any) -> None:
        register(module, name, value)
        if value is not None and value.device.type != "meta":  # a tied parameter is there already
            module._parameters[name] = torch.nn.Parameter(value.detach().to("meta"), requires_grad=False)

    torch.nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def _match_names(model: Any, stored: Mapping[str, tuple[Path, tuple[int, ...], int]]) -> TensorFiles | None:
    """Where each parameter stands. None unless each has one tensor of its shape and no tensor is left over."""
    prefix = f"{model.base_model_prefix}."
    places = {}
    for name, one in model.named_parameters():
        where = next((each for each in (name, name.removeprefix(prefix)) if each in stored), None)
        if where is None or stored[where][1] != tuple(one.shape):
            return None
        places[name] = (stored[where][0], where)
    harmless = re.compile("|".join(HARMLESS))
    left = stored.keys() - {where for _, where in places.values()}
    return None if any(harmless.search(name) is None for name in left) else TensorFiles(places)


def _layer_parameters(model: Any) -> list[Mapping[str, Any]] | None:
    """The parameters of each decoder layer by their own names. None where the layers are not found."""
    decoder = model.get_decoder()
    blocks = next((getattr(decoder, name) for name in ("layers", "h") if hasattr(decoder, name)), None)
    if blocks is None:
        return None
    names = {id(one): name for name, one in model.named_parameters()}
    return [{names[id(one)]: one for one in block.parameters()} for block in blocks]


def _survey(files: TensorFiles, folder: Path) -> Mapping[str, bytes]:
    """Read each parameter once; return its sha256 with its name and shape. Raises E402."""
    import torch

    found, wrong = {}, []
    for name in sorted(files.places):
        values = files.read([name])[name]
        if values.numel() and not all(bool(torch.isfinite(one)) for one in torch.aminmax(values)):
            wrong.append(name)
        found[name] = digest_parameter(name, values)
    refuse_values(wrong, "the model", folder)
    return found


def digest_parameter(name: str, values: Any) -> bytes:
    """The sha256 of a parameter with its name and shape."""
    values = values.detach().cpu().contiguous()
    return sha256(f"{name} {tuple(values.shape)} ".encode() + sha256(values.numpy()).digest()).digest()


def _fill_parameters(model: Any, files: TensorFiles, of_layers: set[str], device: str) -> None:
    """Give every parameter memory on the device: its values where it belongs to no layer, else an empty tensor. Tied
    ones stay tied."""
    import torch

    names = {id(one): name for name, one in model.named_parameters()}
    made: dict[str, Any] = {}
    for module in model.modules():
        for own, one in module._parameters.items():
            if one is None:
                continue
            name = names[id(one)]
            if name not in made:
                value = empty_tensor(one.shape, device) if name in of_layers else files.read([name])[name].to(device)
                made[name] = torch.nn.Parameter(value, requires_grad=False)
            module._parameters[own] = made[name]


def _room(device: str) -> int:
    """Bytes of a model that may stay in the memory of a device: PINNED_BYTES, or more on a GPU that says what is
    free."""
    import torch

    free = None if is_cpu(device) else getattr(torch.get_device_module(device), "mem_get_info", None)
    return PINNED_BYTES if free is None else max(PINNED_BYTES, free(device)[0] // FREE_SHARE)


def _choose_pinned(model: Any, layers: list[Mapping[str, Any]], most: int) -> frozenset[int]:
    """The lowest layers that fit into `most` bytes beside what belongs to no layer."""
    whole = 4 * sum(one.numel() for one in model.parameters())
    sizes = [4 * sum(one.numel() for one in own.values()) for own in layers]
    room, found = most - (whole - sum(sizes)), set[int]()
    for layer, size in enumerate(sizes):
        room -= size
        if room < 0:
            break
        found.add(layer)
    return frozenset(found)
