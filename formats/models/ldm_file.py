"""Find the components that an LDM single file holds, and where each of their tensors is in it. Works on names only.

    model.diffusion_model.*                  the UNet                          -> unet
    cond_stage_model.transformer.*           SD 1's CLIP, in its own names     -> text_encoder
    cond_stage_model.model.*                 SD 2's OpenCLIP                   -> text_encoder, less its last layer
    conditioner.embedders.0.transformer.*    SDXL's CLIP                       -> text_encoder
    conditioner.embedders.1.model.*          SDXL's OpenCLIP                   -> text_encoder_2

The VAE, the noise schedule (`betas`, `alphas_cumprod`, ...) and the EMA copy of the UNet are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from editc.formats.models import ldm_names

UNET = "model.diffusion_model."
"""Prefix of the UNet's names in a whole file."""
EMA = "model_ema."
"""Prefix of the names of averaged weights (exponential moving average), a second copy of the UNet."""

_CLIP = (("cond_stage_model.transformer.", "text_encoder"), ("conditioner.embedders.0.transformer.", "text_encoder"))
"""Prefix of a CLIP in transformers' names -> component."""
_OPEN_CLIP = (
    ("cond_stage_model.model.", "text_encoder"),
    ("conditioner.embedders.1.model.", "text_encoder_2"),
    ("conditioner.embedders.0.model.", "text_encoder_2"),
)
"""Prefix of a CLIP in OpenCLIP's names -> component."""
_OPEN_CLIP_OUTSIDE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
"""OpenCLIP's names outside the layers -> those of transformers."""
_OPEN_CLIP_INNER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""OpenCLIP's names inside a layer -> those of transformers."""
_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)", re.ASCII)


@dataclass(frozen=True)
class LdmPiece:
    """Where a tensor of diffusers is in a file with LDM's names."""

    name: str
    """The name of the tensor in the file."""
    index: int = 0
    """Which of the `of` equal blocks of rows it is, from 0."""
    of: int = 1
    """How many tensors of diffusers the file's tensor holds, one above the other; 1 where it is exactly one."""


def find_components(names: Iterable[str]) -> dict[str, dict[str, LdmPiece]]:
    """Component -> the names of its tensors in diffusers and transformers -> where they are; {} for a file of another
    kind.

    A UNet alone may come without its prefix. Raises ValueError when the UNet's names contradict one another.
    """
    every = sorted(names)
    prefix = next((p for p in (UNET, "") if ldm_names.is_ldm(n[len(p) :] for n in every if n.startswith(p))), None)
    if prefix is None:
        return {}
    unet = ldm_names.to_diffusers(n[len(prefix) :] for n in every if n.startswith(prefix))
    found = {"unet": {new: LdmPiece(prefix + old) for old, new in unet.items()}}
    for head, component in _CLIP:
        inner = dict(_clip_tensors([n for n in every if n.startswith(head)], head))
        found |= {component: inner} if inner else {}
    for head, component in _OPEN_CLIP:
        inner = dict(_open_clip_tensors([n[len(head) :] for n in every if n.startswith(head)], head))
        found |= {component: inner} if inner else {}
    return found


def ema_notes(names: Iterable[str]) -> tuple[str, ...]:
    """A note on the EMA copy of the UNet, which a loader may be told to read and which an edit does not reach."""
    copies = sum(name.startswith(f"{EMA}diffusion_model") for name in names)
    if not copies:
        return ()
    return (f"an EMA copy of the UNet ({copies} tensors, {EMA}*) is in the file; editc does not read or edit it",)


def is_open_clip(pieces: Mapping[str, LdmPiece]) -> bool:
    """True if a text encoder comes in OpenCLIP's names: then it pads with token 0 and uses the exact GELU."""
    return any(piece.of > 1 for piece in pieces.values())


def _clip_tensors(names: list[str], head: str) -> Iterator[tuple[str, LdmPiece]]:
    """The text model's own parameters. Some exports leave `text_model.` out, and others store buffers as well."""
    for name in names:
        inner = name[len(head) :].removeprefix("text_model.")
        if inner.startswith(("embeddings.", "encoder.", "final_layer_norm.")) and inner.endswith(("weight", "bias")):
            yield f"text_model.{inner}", LdmPiece(name)


def _open_clip_tensors(names: list[str], head: str) -> Iterator[tuple[str, LdmPiece]]:
    """The tensors of an OpenCLIP, with transformers' names.

    SD 2 reads the layer before the last, so its `text_encoder` in diffusers ends there: the last layer is left out.
    OpenCLIP keeps the projections of queries, keys and values in one tensor, one above the other. Its `text_projection`
    is the transpose of transformers' and therefore left out.
    """
    matched = {name: _LAYER.fullmatch(name) for name in names}
    layers = [int(match[1]) for match in matched.values() if match]
    dropped = max(layers, default=-1) if head.startswith("cond_stage_model.") else -1
    for name, match in matched.items():
        if match is None and name in _OPEN_CLIP_OUTSIDE:
            yield f"text_model.{_OPEN_CLIP_OUTSIDE[name]}", LdmPiece(head + name)
        elif match is not None and int(match[1]) != dropped:
            for leaf, piece in _layer_tensors(match[2], head + name):
                yield f"text_model.encoder.layers.{match[1]}.{leaf}", piece


def _layer_tensors(rest: str, name: str) -> Iterator[tuple[str, LdmPiece]]:
    """The tensors of one parameter of an OpenCLIP layer, with their names inside the layer."""
    if rest.startswith("attn.in_proj_"):
        leaf = rest.removeprefix("attn.in_proj_")
        yield from ((f"self_attn.{part}_proj.{leaf}", LdmPiece(name, i, 3)) for i, part in enumerate("qkv"))
        return
    stem, _, leaf = rest.rpartition(".")
    if stem in _OPEN_CLIP_INNER:
        yield f"{_OPEN_CLIP_INNER[stem]}.{leaf}", LdmPiece(name)
