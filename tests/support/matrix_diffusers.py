"""Adapters that diffusers, PEFT and transformers save for pipelines, loaded again by diffusers, against the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from adapter_cases import pair
from loaders import Cell, assert_agreement, encoders, judged, muted, part, through_diffusers, verdict
from safetensors.torch import load_file, save_file

Tensors = dict[str, Any]
KINDS = ("sd1", "sdxl", "flux", "sd3")
ATTENTION = ["to_k", "to_q"]


@cache
def folder(kind: str, home: Path) -> Path:
    """The pico pipeline on disk."""
    for name, model in (part(kind) | encoders(kind)).items():
        model.save_pretrained(home / kind / name)
    return home / kind


def trained(model: Any, **settings: Any) -> Any:
    """The model with an adapter whose matrices are random."""
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(len(settings))
    options = {"r": 2, "lora_alpha": 2, "target_modules": ATTENTION, "init_lora_weights": False}
    config = LoraConfig(**{**options, **settings})
    inject_adapter_in_model(config, model)
    model.peft_config, model._hf_peft_config_loaded = {"default": config}, True
    return model


def state(model: Any) -> Tensors:
    from peft.utils import get_peft_model_state_dict

    return {name: value.detach().clone() for name, value in get_peft_model_state_dict(model).items()}


def body(kind: str) -> str:
    return "unet" if kind in ("sd1", "sdxl") else "transformer"


def pipeline(kind: str) -> Any:
    import diffusers

    names = {"sd1": "StableDiffusion", "sdxl": "StableDiffusionXL", "flux": "Flux", "sd3": "StableDiffusion3"}
    return getattr(diffusers, names[kind] + "Pipeline")


def weights(
    kind: str, out: Path, stated: bool = False, texts: Mapping[str, Any] | None = None, **settings: Any
) -> Path:
    """As the pipeline's `save_lora_weights` writes it, with or without the config in its metadata."""
    name = body(kind)
    model = trained(part(kind)[name], **settings)
    given: dict[str, Any] = {f"{name}_lora_layers": state(model)}
    if stated:
        given[f"{name}_lora_adapter_metadata"] = model.peft_config["default"].to_dict()
    for encoder, options in (texts or {}).items():
        clip = trained(encoders(kind)[encoder], **options)
        given[f"{encoder}_lora_layers"] = state(clip)
        if stated:
            given[f"{encoder}_lora_adapter_metadata"] = clip.peft_config["default"].to_dict()
    pipeline(kind).save_lora_weights(out, **given)
    return out / "pytorch_lora_weights.safetensors"


def changed(kind: str, out: Path, change: Callable[[Tensors], Tensors], **settings: Any) -> Path:
    """What `save_lora_weights` writes, with other names."""
    file = weights(kind, out, **settings)
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file)
    return file


def converted(kind: str, out: Path, old: bool) -> Path:
    """Through diffusers' own converters: to kohya's names, or to those of its versions before PEFT."""
    from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya

    tensors = load_file(weights(kind, out, texts=_texts(kind)))
    made = convert_state_dict_to_diffusers(tensors) if old else convert_state_dict_to_kohya(tensors)
    save_file({name: value.contiguous() for name, value in made.items()}, out / "made.safetensors")
    return out / "made.safetensors"


def bare(kind: str, out: Path) -> Path:
    """As `save_lora_adapter` of the network alone writes it: without `unet.`"""
    trained(part(kind)[body(kind)]).save_lora_adapter(out)
    return out / "pytorch_lora_weights.safetensors"


def raw(kind: str, out: Path, name: str) -> Path:
    """The network's own state, in which the adapter's name is in every name."""
    model = part(kind)[body(kind)]
    from peft import LoraConfig

    model.add_adapter(
        LoraConfig(r=2, lora_alpha=2, target_modules=ATTENTION, init_lora_weights=False), adapter_name=name
    )
    found = {f"{body(kind)}.{n}": v.contiguous() for n, v in model.state_dict().items() if ".lora_" in n}
    out.mkdir(parents=True)
    save_file(found, out / "raw.safetensors")
    return out / "raw.safetensors"


def _texts(kind: str) -> dict[str, Any]:
    return {name: {"target_modules": ["q_proj", "out_proj", "fc1"]} for name in encoders(kind)}


def _projected(tensors: Tensors, kind: str, style: str, rank: int = 2, alpha: float | None = None) -> Tensors:
    """With OneTrainer's matrix behind the second encoder, in its names or in PEFT's."""
    if "text_encoder_2" not in encoders(kind):
        return tensors
    name = "lora_te2_text_projection" if style == "kohya" else "text_encoder_2.text_projection"
    size = encoders(kind)["text_encoder_2"].text_projection.weight.shape
    made = pair(name, tuple(size), rank=rank, style=style, alpha=alpha)
    return tensors | {key: torch.from_numpy(value) for key, value in made.items()}


def _kohya_projected(kind: str, out: Path, **options: Any) -> Path:
    file = converted(kind, out, old=False)
    save_file(_projected(load_file(file), kind, "kohya", **options), file)
    return file


SPELLINGS: Mapping[str, Callable[[str, Path], Path]] = {
    "save_lora_weights": lambda k, out: weights(k, out),
    "with its metadata": lambda k, out: weights(k, out, stated=True, lora_alpha=4),
    "alpha, no metadata": lambda k, out: weights(k, out, lora_alpha=4),
    "rslora, with metadata": lambda k, out: weights(k, out, stated=True, use_rslora=True, lora_alpha=4),
    "rank pattern": lambda k, out: weights(k, out, rank_pattern={"to_q": 4}),
    "rank pattern, with metadata": lambda k, out: weights(k, out, stated=True, rank_pattern={"to_q": 4}),
    "alpha pattern, with metadata": lambda k, out: weights(k, out, stated=True, alpha_pattern={"to_q": 8}),
    "dora": lambda k, out: weights(k, out, use_dora=True),
    "dora, with metadata": lambda k, out: weights(k, out, stated=True, use_dora=True),
    "more layers": lambda k, out: weights(k, out, target_modules=["to_k", "to_out.0", "proj_in", "ff.net.2", "conv1"]),
    "with text encoders": lambda k, out: weights(k, out, texts=_texts(k)),
    "with text encoders, with metadata": lambda k, out: weights(k, out, stated=True, texts=_texts(k)),
    "text encoders, attention alone": lambda k, out: weights(
        k, out, texts={name: {"target_modules": ["q_proj"]} for name in encoders(k)}
    ),
    "text encoders, mlp alone": lambda k, out: weights(
        k, out, texts={n: {"target_modules": ["fc1"]} for n in encoders(k)}
    ),
    "with a projection": lambda k, out: changed(k, out, lambda t: _projected(t, k, "peft"), texts=_texts(k)),
    "save_lora_adapter": bare,
    "converted to kohya": lambda k, out: converted(k, out, old=False),
    "converted to old names": lambda k, out: converted(k, out, old=True),
    "kohya with a projection": lambda k, out: _kohya_projected(k, out),
    "kohya, a projection of another rank": lambda k, out: _kohya_projected(k, out, rank=3),
    "kohya, a projection of another alpha": lambda k, out: _kohya_projected(k, out, alpha=1.0),
    "`.default_0.` in the names": lambda k, out: raw(k, out, "default_0"),
    "`.default.` in the names": lambda k, out: raw(k, out, "default"),
    "another adapter's name": lambda k, out: raw(k, out, "style"),
    "base_model.model. before": lambda k, out: changed(
        k, out, lambda t: {n.replace(f"{body(k)}.", "base_model.model."): v for n, v in t.items()}
    ),
    "diffusion_model. before": lambda k, out: changed(
        k, out, lambda t: {n.replace(f"{body(k)}.", "diffusion_model."): v for n, v in t.items()}
    ),
    "compiled": lambda k, out: changed(
        k, out, lambda t: {n.replace(f"{body(k)}.", f"{body(k)}._orig_mod."): v for n, v in t.items()}
    ),
    "half precision": lambda k, out: changed(k, out, lambda t: {n: v.half() for n, v in t.items()}),
    "a pair lacks its up": lambda k, out: changed(k, out, lambda t: {n: v for n, v in t.items() if n != sorted(t)[1]}),
}
"""Spelling -> how the file is made."""


def cell(kind: str, spelling: str, home: Path) -> Cell | None:
    """One cell of the matrix; None where the library makes no such file."""
    out = home / "adapters" / kind / str(sorted(SPELLINGS).index(spelling))
    try:
        with muted():
            path = SPELLINGS[spelling](kind, out)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return None
    found = judged(path, folder(kind, home))
    said = verdict(found, "diffusers")
    measured = through_diffusers(kind, path, part(kind) | encoders(kind))
    wrong: tuple[str, ...] = ()
    if said.outcome != "not judged":
        try:
            assert_agreement(said, measured, found)
        except (AssertionError, KeyError, ValueError) as error:
            wrong = (f"{said.outcome} {said.error}: {' '.join(str(error).split())[:300]}",)
    told = measured.error.partition(":")[0] or f"{len(measured.deltas)} taken"
    return Cell(kind, spelling, said.outcome, told, wrong, tuple(rule.name for rule in said.rules))
