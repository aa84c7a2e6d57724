"""The names that an adapter can give to the parameters of a UNet or transformer, in every spelling.

kohya writes `lora_unet_` and then `_` for `.`, with the names of diffusers or, for SDXL, LDM's block numbers. diffusers
writes `unet.` or `transformer.` and its own names, or those alone. PEFT puts `base_model.model.` in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from editc.core.ports import Weights
from editc.formats.doctor.models import read_component
from editc.formats.exports.kohya_names import PREFIX, flatten, module_name

TEXT_ENCODERS = (
    "lora_te_",
    "lora_te1_",
    "lora_te2_",
    "lora_te3_",
    "text_encoder.",
    "text_encoder_2.",
    "text_encoder_3.",
)
"""The beginnings of the names of a text encoder's modules."""

Meanings: TypeAlias = Mapping[str, list[tuple[str, ...]]]
"""A module's name -> everything that it may stand for: one parameter, or several that the original code holds as one
matrix, with their rows one below the other."""


def meanings(weights: Weights) -> Meanings:
    """Collect every name that an adapter may give to a matrix or convolution of these weights."""
    shapes = {name: weights.shape(name) for name in weights.names() if name.endswith(".weight")}
    matrices = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if len(shape) in (2, 4)}
    found: dict[str, list[tuple[str, ...]]] = {}
    for plain in matrices:
        for spelled in _spellings(plain):
            found.setdefault(spelled, []).append((f"{plain}.weight",))
    known = read_component(matrices)
    for original, parts in known.originals.items() if known else ():
        meant = tuple(f"{part.partition('.')[2]}.weight" for part in parts)
        for spelled in {PREFIX + flatten(original), f"diffusion_model.{original}"} - found.keys():
            found[spelled] = [meant]
    return found


def plain_module(name: str) -> str:
    """A module's name without the level `.processor` of older versions of diffusers."""
    cut = name.replace(".processor.", ".")
    return f"{cut}.0" if cut.endswith(".to_out") else cut


def _spellings(plain: str) -> set[str]:
    """All names of a parameter's module, from its plain name in diffusers."""
    dotted = {plain, *(f"{head}{plain}" for head in ("unet.", "transformer.", "base_model.model."))}
    flattened = {f"{head}{flatten(plain)}" for head in (PREFIX, "lora_transformer_", "lycoris_")}
    return dotted | flattened | {module_name(f"{plain}.weight")}
