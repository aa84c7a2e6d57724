"""The real loaders, run on pico models: what diffusers and PEFT make of an adapter file, as matrices or as an error."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapter_cases import ADAPTERS

from editc.core.delta import Array
from editc.formats.doctor.examine import Examination, examine
from editc.formats.doctor.verdict import LoaderVerdict
from editc.formats.models.model import open_model
from editc.libraries.foreign import quiet


@dataclass(frozen=True)
class Measured:
    """What a loader did: the matrix that it adds to each module (`unet.down_blocks...`), or the error it raised."""

    deltas: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """One adapter, what the doctor says of it and what its library did."""

    family: str
    spelling: str
    outcome: str
    measured: str
    contradictions: tuple[str, ...]
    rules: tuple[str, ...]


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """No talk of the libraries: their warnings are not errors here, for what they do is what is measured."""
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        yield


def through_diffusers(kind: str, path: Path, parts: Mapping[str, Any]) -> Measured:
    """`load_lora_weights` of the pipeline of that kind (sd1, sdxl, flux, sd3), with these parts of a pipeline."""
    from diffusers.loaders import (
        FluxLoraLoaderMixin,
        SD3LoraLoaderMixin,
        StableDiffusionLoraLoaderMixin,
        StableDiffusionXLLoraLoaderMixin,
    )

    mixins = {
        "sd1": StableDiffusionLoraLoaderMixin,
        "sdxl": StableDiffusionXLLoraLoaderMixin,
        "flux": FluxLoraLoaderMixin,
        "sd3": SD3LoraLoaderMixin,
    }
    empty = {"text_encoder": None, "text_encoder_2": None, "text_encoder_3": None, "unet": None, "transformer": None}
    body = {"hf_device_map": None, "components": {}, **empty, **parts}
    pipeline = type("Pipeline", (mixins[kind],), body)()
    with muted():
        try:
            pipeline.load_lora_weights(str(path))
        except Exception as error:
            return Measured(error=f"{type(error).__name__}: {error}")
    return Measured({f"{name}.{m}": d for name, part in parts.items() for m, d in added(part).items()})


def through_peft(folder: Path, model: Any) -> Measured:
    """`PeftModel.from_pretrained` of an adapter folder."""
    from peft import PeftModel

    with muted():
        try:
            loaded = PeftModel.from_pretrained(model, str(folder))
        except Exception as error:
            return Measured(error=f"{type(error).__name__}: {error}")
    return Measured({name.removeprefix("base_model.model."): delta for name, delta in added(loaded).items()})


def added(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Module -> what its adapter adds to the weight; those that add nothing are left out, and those that were made and
    never filled."""
    found = {}
    for name, module in model.named_modules():
        for adapter in getattr(module, "lora_A", ()):
            made = module.get_delta_weight(adapter).detach()
            delta = np.zeros(1) if made.is_meta else made.double().numpy()
            if np.any(delta):
                found[name] = delta
    return found


def part(kind: str) -> dict[str, Any]:
    """A fresh pico UNet or transformer."""
    from diffusers import FluxTransformer2DModel, UNet2DConditionModel

    torch.manual_seed(0)
    if kind in ("sd1", "sdxl"):
        config = json.loads((ADAPTERS / {"sd1": "sd15", "sdxl": "sdxl"}[kind] / "config.json").read_text())
        return {"unet": UNet2DConditionModel.from_config(config)}
    if kind == "sd3":
        import tiny_families

        return {"transformer": tiny_families.sd3().transformer}
    made = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )
    return {"transformer": made}


def encoders(kind: str) -> dict[str, Any]:
    """The CLIPs of a pipeline of that kind; FLUX's second encoder is a T5, which no adapter here has."""
    from tiny_families import clip

    first = {"text_encoder": clip(16, kind == "sd3", 1)}
    return first | ({"text_encoder_2": clip(24, True, 2)} if kind in ("sdxl", "sd3") else {})


def judged(path: Path, folder: Path) -> Examination:
    return examine(path, open_model(folder))


def verdict(found: Examination, loader: str) -> LoaderVerdict:
    return next(one for one in found.verdicts if one.loader == loader)


def assert_agreement(said: LoaderVerdict, measured: Measured, found: Examination) -> None:
    """The doctor and the library say the same, of the whole file and of each module."""
    if measured.error:
        assert said.outcome == "refused", (said.outcome, measured.error)
        assert said.error.split(":")[0] == measured.error.split(":")[0]
        return
    assert said.outcome != "refused", said.error
    expected = predicted(said, found)
    assert {home.replace("text_model.", "") for home in expected} == {
        n.replace("text_model.", "") for n in measured.deltas
    }
    got = {name.replace("text_model.", ""): delta for name, delta in measured.deltas.items()}
    for home, delta in expected.items():
        np.testing.assert_allclose(got[home.replace("text_model.", "")], delta, rtol=1e-4, atol=1e-5, err_msg=home)


def predicted(said: LoaderVerdict, found: Examination) -> dict[str, np.ndarray[Any, Any]]:
    """Target -> scale times up times down, for every module that the doctor says is loaded; fused ones cut by rows."""
    from safetensors.numpy import load_file

    file = found.adapter.path
    tensors = load_file(file / "adapter_model.safetensors" if file.is_dir() else file)
    modules = {module.name: module for module in found.adapter}
    deltas: dict[str, Array] = {}
    for row in said.rows:
        if row.fate == "lost":
            continue
        module = modules[row.module]
        down, up = (tensors[row.module + end].astype(float) for end in module.ends)
        assert row.scale is not None
        delta = row.scale * np.tensordot(up.reshape(up.shape[0], -1), down, 1)
        targets = row.target.split(" + ")
        deltas |= dict(zip(targets, np.split(delta, len(targets)), strict=True))
    return {name: delta for name, delta in deltas.items() if np.any(delta)}
