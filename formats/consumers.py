"""The real programs that read exports, where they are installed: what each one holds after loading, against the file.

No base weights are needed: an adapter's matrices are compared, times the scale that the program gives them. Of a model
only its configuration is read, so this takes little memory whatever the model's size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from editc.formats.checkpoint import Model
from editc.formats.exporting import Job, Trial, Written
from editc.formats.lowering import pairs
from editc.ir import Array, Delta


def diffusers_unet(job: Job, written: Written) -> Trial:
    """diffusers' own loader of LoRA files, on a UNet of the model's configuration."""
    missing = _missing("diffusers", "peft", "torch")
    config = _config(job.model, "unet")
    if missing or config is None:
        return Trial("diffusers", skipped=missing or "the model has no unet/config.json")
    import diffusers
    import transformers

    transformers.logging.set_verbosity_error()
    diffusers.utils.logging.set_verbosity_error()
    kind = diffusers.StableDiffusionXLPipeline if "sdxl" in written.delta.family else diffusers.StableDiffusionPipeline
    unet = _hollow(diffusers.UNet2DConditionModel, config)
    state, alphas, *_ = kind.lora_state_dict(str(written.files[0]), unet_config=unet.config)
    kind.load_lora_into_unet(state, network_alphas=alphas, unet=unet)
    return compared(f"diffusers {diffusers.__version__}", written.delta, adapters(unet))


def adapters(model: Any) -> dict[str, Array]:
    """By parameter the change (d_out, d_in) that a model's PEFT layers add, in float64."""
    found = {}
    for name, layer in model.named_modules():
        for adapter, part in getattr(layer, "lora_A", {}).items():
            up, down = layer.lora_B[adapter].weight, part.weight
            left, right = (w.detach().double().numpy().reshape(len(w), -1) for w in (up, down))
            found[f"{name}.weight"] = layer.scaling[adapter] * (left @ right)
    return found


def compared(consumer: str, delta: Delta, held: Mapping[str, Array]) -> Trial:
    """`held`, what a consumer adds by parameter, against a low-rank delta."""
    worst, matched = 0.0, 0
    for record, left, right in pairs(delta):
        change = held.get(record.site.name)
        if change is not None:
            matched += 1
            ours = left.astype(np.float64) @ right.astype(np.float64)
            worst = max(worst, float(np.abs(change - ours).max()))
    strangers = held.keys() - {record.site.name for record in delta.sites}
    return Trial(consumer, matched, len(delta.sites) + len(strangers), worst)


def _missing(*libraries: str) -> str:
    absent = [name for name in libraries if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


def _config(model: Model | None, component: str) -> dict[str, Any] | None:
    """The component's config.json, from a pipeline's folder or its own."""
    if model is None or model.kind == "file":
        return None
    path: Path = model.path / component / "config.json" if model.kind == "pipeline" else model.path / "config.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _hollow(kind: Any, config: Mapping[str, Any]) -> Any:
    """A model whose weights were never written: pages that nothing touches take no memory."""
    import torch

    with torch.device("meta"):
        model = kind.from_config(dict(config))
    return model.to_empty(device="cpu")
