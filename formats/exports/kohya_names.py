"""kohya's names of a UNet's modules and of the tensors that make up an adapter."""

from __future__ import annotations

from collections.abc import Mapping

UP, DOWN, ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"
"""What follows a module's name: the left matrix, the right matrix, and the number that over the rank is the scale."""
PREFIX = "lora_unet_"
"""What the names of a UNet's modules begin with."""
TRAINED: Mapping[str, str] = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
"""Modules of SDXL that kohya's trainer names otherwise; diffusers (0.42) loses them under its own names."""


def module_name(name: str) -> str:
    """kohya's name of the module of a UNet's parameter."""
    plain = name.removesuffix(".weight")
    return PREFIX + flatten(TRAINED.get(plain, plain))


def flatten(name: str) -> str:
    """A module's name without dots."""
    return name.replace(".", "_")
