"""Models of every family in memory, deltas for them, and what `apply` makes of the same weights on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import consumer_models as pico
import tiny_language
import torch

from editc import api
from editc.core.delta import Delta, Site
from editc.formats.delta.container import write_delta
from editc.formats.models.model import Model, open_model
from editc.live.slots import find_slots
from editc.live.storage import read

DTYPES: Mapping[str, torch.dtype] = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PIPELINES = ("sd1", "sdxl", "flux", "sd3", "pixart", "cascade", "kandinsky22")
EXPERTS: Mapping[str, str] = {
    "mixtral": "model.layers.{}.block_sparse_moe.experts.{}.w2.weight",
    "qwen3_moe": "model.layers.{}.mlp.experts.{}.down_proj.weight",
}
"""Kind of model -> the name of an expert's matrix in its files."""
FAMILIES = (*pico.MODELS, *EXPERTS, *(kind for kind in tiny_language.KINDS if kind not in ("llama", "gpt2", *EXPERTS)))
"""Every family with a pico model: of diffusers, of transformers, with experts, that sees."""


def saved(family: str, folder: Path) -> Model:
    """The family's pico model on the disk."""
    if family in pico.MODELS:
        return pico.made(family, folder)
    return open_model(tiny_language.saved(family, folder))


def sites(family: str, model: Model) -> list[Site]:
    """What the delta edits: the family's own sites; of a language model, matrices of two layers."""
    if family in pico.MODELS:
        return pico.sites(model, family)
    names = [name(family, layer) for layer in (0, 2) for name in (tiny_language.writer, tiny_language.attention)]
    if family in EXPERTS:
        names = [EXPERTS[family].format(layer, n) for layer in (0, 2) for n in (1, 3)] + names[1::2]
    if family == "gpt_oss":  # its experts are one tensor in the file too, and no delta edits them
        names = names[1::2]
    turned = [one for one in names if family == "gpt2"]
    return [pico.site(model, "model", name, "mlp", name in turned) for name in names]


def delta_for(family: str, model: Model, form: str = "shared") -> Delta:
    return pico.delta(model, family, sites(family, model), form)


def in_memory(family: str, folder: Path, dtype: torch.dtype) -> Any:
    """The model as its own library loads it."""
    if family in PIPELINES:
        from diffusers import DiffusionPipeline

        return DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    if family == "sd2":
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    sees = hasattr(AutoConfig.from_pretrained(folder), "vision_config")
    return (AutoModelForImageTextToText if sees else AutoModelForCausalLM).from_pretrained(folder, dtype=dtype)


def applied(model: Any, delta: Delta, folder: Path) -> Model:
    """What `apply` makes of the model, saved by its own library in the dtypes that it has in memory."""
    model.save_pretrained(folder / "base")
    write_delta(delta, folder / "d.safetensors")
    api.apply(folder / "d.safetensors", folder / "base", out=folder / "patched")
    return open_model(folder / "patched")


def differences(model: Any, stored: Model, delta: Delta) -> list[str]:
    """The tensors of the edited components whose bytes in memory are not those on the disk."""
    found = []
    for part in {record.site.component for record in delta.sites}:
        root, weights = getattr(model, "components", {}).get(part, model), stored.component(part)
        slots = find_slots(root, weights.names())
        assert len(slots) == len(weights.names()), sorted(set(weights.names()) - slots.keys())[:4]
        found += [name for name, slot in slots.items() if read(slot) != weights.raw(name)]
    return found


def state_of(model: Any) -> dict[str, bytes]:
    """The bytes of every parameter and buffer of a module or a pipeline, and where it lies."""
    parts = getattr(model, "components", None) or {"": model}
    return {
        f"{part}/{name}": _bytes(values)
        for part, module in parts.items()
        if isinstance(module, torch.nn.Module)
        for name, values in (*module.named_parameters(), *module.named_buffers())
    }


def _bytes(values: torch.Tensor) -> bytes:
    flat = values.detach().cpu().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes()) + str(values.dtype).encode()


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Within it the model may change; behind it every byte is what it was."""
    before = state_of(model)
    try:
        yield
    finally:
        after = state_of(model)
        assert before.keys() == after.keys() and not [name for name in before if before[name] != after[name]]


def unet(folder: Path) -> Any:
    """The UNet of a pico pipeline, which computes without gradients."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(folder / "unet").requires_grad_(False)


def predict(network: Any) -> torch.Tensor:
    """What a UNet predicts for fixed inputs."""
    draw = torch.Generator().manual_seed(0)
    given = torch.randn(1, 4, 8, 8, generator=draw), torch.tensor([3]), torch.randn(1, 5, 32, generator=draw)
    found: torch.Tensor = network(*given).sample
    return found
