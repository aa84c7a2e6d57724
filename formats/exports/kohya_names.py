"""kohya's names for the modules of a UNet and of its text encoder, and for the tensors of an adapter."""

from __future__ import annotations

from collections.abc import Mapping

from editc.core.family import TEXT_ENCODER

UP, DOWN, ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"
"""The endings of the up matrix (left), the down matrix (right) and alpha, after the module's name. The scale is alpha /
rank."""
PREFIX = "lora_unet_"
"""The beginning of the names of a UNet's modules."""
TEXT_PREFIX, NESTED = "lora_te_", "text_model."
"""The beginning of the names of a text encoder's modules, and what stands before a module's name in transformers before
5: kohya's names have it."""
TRAINED: Mapping[str, str] = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
"""Modules of SDXL that kohya's trainer calls otherwise. diffusers 0.42 does not find them under its own names."""


def module_name(name: str, component: str = "unet") -> str:
    """kohya's name for the module of a parameter of a UNet, or of the `component` `text_encoder`."""
    plain = name.removesuffix(".weight")
    if component == TEXT_ENCODER:
        return TEXT_PREFIX + flatten(NESTED + plain.removeprefix(NESTED))
    return PREFIX + flatten(TRAINED.get(plain, plain))


def flatten(name: str) -> str:
    """Replace the dots in a module's name by `_`."""
    return name.replace(".", "_")
