"""How near ComfyUI comes to `apply`: `PYTHONPATH=COMFYUI python -m benchmarks.comfyui`, in a Python that runs ComfyUI.

COMFYUI is a checkout of ComfyUI. The bundled model is put into ComfyUI's own UNet and ModelPatcher, on the CPU, and the
delta is added by the nodes of integrations/comfyui, and by ComfyUI's own loader of LoRAs from what `export --as kohya`
makes of it. Each row says how many of the edited weights differ from those that `apply` writes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import comfy_cases
import consumer_models as pico
import ldm_files
import torch
from safetensors.torch import load_file

from editc import api
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

CPU = torch.device("cpu")
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
FORMS = ("shared", "low-rank", "dense")


def main() -> None:
    """Print a row for each number format and form of the delta."""
    sys.argv = [sys.argv[0], "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    print("| weights | delta | edited | by the node | with little memory | after another patch | as a LoRA |")
    print("|---|---|---|---|---|---|---|")
    for dtype in DTYPES:
        for form in FORMS:
            with tempfile.TemporaryDirectory() as place:
                print("| " + " | ".join(row(Path(place), dtype, form)) + " |", flush=True)


def row(place: Path, dtype: torch.dtype, form: str) -> Iterator[str]:
    """The counts for one delta."""
    import comfy.model_patcher

    file = ldm_files.single_file(comfy_cases.MODEL, place / "checkpoint.safetensors", dtype)
    model = open_model(file)
    delta = write_delta(pico.delta(model, "sd1", pico.sites(model, "sd1"), form), place / "delta.safetensors")
    api.apply(place / "delta.safetensors", file, out=place / "applied.safetensors")
    wanted = {name.removeprefix("model."): value for name, value in load_file(place / "applied.safetensors").items()}
    base = network({name: value for name, value in load_file(file).items() if ".diffusion_model." in name}, dtype)
    patcher = comfy.model_patcher.ModelPatcher(base, CPU, CPU)
    edit = comfy_cases.part_of_pack("edit")
    edited = edit.apply_delta(delta, patcher).model
    zero = {key: ("diff", (torch.zeros_like(base.state_dict()[key]),)) for key in edited.patches}
    other = patcher.clone()
    other.add_patches(zero)
    yield str(dtype).removeprefix("torch.")
    yield form
    yield f"{sum(base.state_dict()[key].numel() for key in zero):,}"
    yield f"{differing(edited, wanted):,}"
    yield f"{sum(int((late(edited, key) != wanted[key]).sum()) for key in zero):,}"
    yield f"{differing(edit.apply_delta(delta, other).model, wanted):,}"
    yield f"{differing(lora(place, patcher), wanted):,}" if form == "low-rank" else ""


def network(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> Any:
    """ComfyUI's UNet with these weights, as its models hold one."""
    import comfy.model_detection
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    own = {name.removeprefix("model."): value for name, value in tensors.items()}
    sizes = comfy.model_detection.detect_unet_config(own, "diffusion_model.")
    sizes |= {"num_heads": -1, "num_head_channels": 8, "dtype": dtype}
    unet = UNetModel(**sizes, device=CPU, operations=comfy.ops.manual_cast)
    base: Any = torch.nn.Module()
    base.diffusion_model, base.model_config = unet, type("Config", (), {"unet_config": sizes})
    base.load_state_dict(own)
    return base


def differing(patcher: Any, wanted: Mapping[str, torch.Tensor]) -> int:
    """How many weights differ from the wanted ones while the model is loaded. It must be the old one afterwards."""
    before = {name: value.clone() for name, value in patcher.model.state_dict().items()}
    now = patcher.patch_model(CPU).state_dict()
    found = sum(int((value != wanted[name]).sum()) for name, value in now.items())
    patcher.unpatch_model(CPU)
    assert all(torch.equal(value, before[name]) for name, value in patcher.model.state_dict().items())
    return found


def late(patcher: Any, key: str) -> torch.Tensor:
    """The weight as ComfyUI computes it at each use where a model does not fit into the memory of the card."""
    import comfy.model_patcher

    patch = comfy.model_patcher.LowVramPatch(key, patcher.patches)
    found: torch.Tensor = patch(patcher.model.state_dict()[key].clone())
    return found


def lora(place: Path, patcher: Any) -> Any:
    """The model with the delta's export, by ComfyUI's own loader."""
    import comfy.lora

    file = place / "lora.safetensors"
    api.export(place / "delta.safetensors", "kohya", file, place / "checkpoint.safetensors", tried=False)
    found = patcher.clone()
    found.add_patches(comfy.lora.load_lora(load_file(file), comfy.lora.model_lora_keys_unet(patcher.model, {})))
    return found


if __name__ == "__main__":
    main()
