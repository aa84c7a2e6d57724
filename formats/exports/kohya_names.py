"""kohya's names for the modules of a UNet, and for the tensors of an adapter."""

from __future__ import annotations

from collections.abc import Mapping

UP, DOWN, ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"
"""The endings of the up matrix (left), the down matrix (right) and alpha, after the module's name. The scale is alpha /
rank."""
PREFIX = "lora_unet_"
"""The beginning of the names of a UNet's modules."""
TRAINED: Mapping[str, str] = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
"""Modules of SDXL that kohya's trainer calls otherwise. diffusers 0.42 does not find them under its own names."""


def module_name(name: str) -> str:
    """kohya's name for the module of a UNet's parameter."""
    plain = name.removesuffix(".weight")
    return PREFIX + flatten(TRAINED.get(plain, plain))


def flatten(name: str) -> str:
    """Replace the dots in a module's name by `_`."""
    return name.replace(".", "_")
