"""Put together the text encoder inside an LDM single file: its settings, and the tokenizer that lies beside the
file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.formats.models.fingerprint import (
    encoder_fingerprint,
    has_same_weights,
    pipeline_of,
    settings_of,
    single_encoder_fingerprint,
)
from editc.formats.models.layout import has_safetensors
from editc.formats.models.ldm_file import is_open_clip
from editc.formats.models.model import Checkpoint, Model

HEAD_WIDTH = 64
"""Width of an attention head in every CLIP that Stable Diffusion uses."""


@dataclass(frozen=True)
class AssembledEncoder:
    """An encoder put together from the weights in a file and a tokenizer's folder."""

    weights: Checkpoint
    """Its weights, under the names of transformers."""
    settings: Mapping[str, Any]
    """Its configuration, as in a config.json."""
    tokenizer: Path
    """The folder of the tokenizer."""
    pad_id: int | None
    """The id of the padding token. None where it is the tokenizer's own."""

    def fingerprint(self) -> str:
        """What `encoder_fingerprint` would say of a diffusers folder with this encoder and tokenizer."""
        return single_encoder_fingerprint(self.weights, self.settings, self.tokenizer)


def inner_encoders(model: Model) -> tuple[str, ...]:
    """The text encoders that an LDM file holds, by their names in diffusers, sorted; () for every other model."""
    return tuple(sorted(part for part in model.ldm_components() if part.startswith("text_encoder")))


def has_same_encoders(model: Model, folder: Path) -> bool:
    """True if the pipeline `folder` has every encoder that the file has, with the same weights (as float16). False for
    a model without encoders inside."""
    inside = inner_encoders(model)
    return bool(inside) and all(
        (folder / part).is_dir()
        and has_safetensors(folder / part)
        and has_same_weights(model.component(part), folder / part)
        for part in inside
    )


def assemble_encoder(model: Model, folder: Path) -> AssembledEncoder | None:
    """The encoder of SD 1 or SD 2 from the file, with the tokenizer of `folder`, and its config.json where it fits.

    None where the file does not hold exactly one encoder, or the folder holds no tokenizer. Raises E223 when the
    settings cannot be known.
    """
    tokenizer = find_tokenizer(folder)
    if inner_encoders(model) != ("text_encoder",) or tokenizer is None:
        return None
    weights = model.component("text_encoder")
    open_clip = is_open_clip(model.ldm_components()["text_encoder"])
    return AssembledEncoder(weights, _choose_settings(weights, open_clip, folder), tokenizer, 0 if open_clip else None)


def find_tokenizer(folder: Path) -> Path | None:
    """The folder with the vocabulary: `tokenizer` in a pipeline's folder, or the folder itself. None where neither has
    one."""
    for place in (folder / "tokenizer", folder):
        if (place / "vocab.json").is_file() or (place / "tokenizer.json").is_file():
            return place
    return None


def fingerprint_encoder(model: Model) -> str:
    """The fingerprint of the text encoder that belongs to a model; '' where it cannot be known.

    It is the encoder in the file where the file has one and a tokenizer lies beside it, else that of the pipeline's
    folder.
    """
    folder = pipeline_of(model)
    if not inner_encoders(model) or has_same_encoders(model, folder):
        return encoder_fingerprint(model)
    found = assemble_encoder(model, folder)
    return found.fingerprint() if found else ""


def _choose_settings(weights: Checkpoint, open_clip: bool, folder: Path) -> Mapping[str, Any]:
    """The encoder's configuration: from a config.json that agrees with the shapes of the weights, else as published."""
    sizes = _read_sizes(weights)
    for place in (folder / "text_encoder", folder):
        known = settings_of(place)
        known = known.get("text_config", known)
        if all(known.get(name) == size for name, size in sizes.items()):
            return dict(known)
    if sizes["hidden_size"] % HEAD_WIDTH:
        raise _unknown_encoder_error(f"it is {sizes['hidden_size']} wide, a width that no published CLIP has", weights)
    published = {"hidden_act": "gelu" if open_clip else "quick_gelu", "layer_norm_eps": 1e-5}
    return {**sizes, **published, "num_attention_heads": sizes["hidden_size"] // HEAD_WIDTH}


_TOKENS, _POSITIONS = (f"text_model.embeddings.{kind}_embedding.weight" for kind in ("token", "position"))
_FIRST_MLP = "text_model.encoder.layers.0.mlp.fc1.weight"


def _read_sizes(weights: Checkpoint) -> dict[str, int]:
    """The sizes that the shapes of the weights give. Raises E223 where tensors are missing."""
    layers = {name.split(".")[3] for name in weights.names() if name.startswith("text_model.encoder.layers.")}
    shapes = [weights.shape(name) if name in weights.tensors else () for name in (_TOKENS, _POSITIONS, _FIRST_MLP)]
    if any(len(shape) != 2 for shape in shapes):
        raise _unknown_encoder_error("its embeddings or its first layer are missing", weights)
    (vocabulary, width), (positions, _), (inner, _) = shapes
    return {
        "hidden_size": width,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "num_hidden_layers": len(layers),
        "intermediate_size": inner,
    }


def _unknown_encoder_error(reason: str, weights: Checkpoint) -> EditcError:
    """E223: the encoder in the file cannot be put together."""
    message = f"the text encoder in the file cannot be rebuilt: {reason}"
    help_text = "name a folder with its text_encoder/config.json: `encoder: FOLDER`, or a whole pipeline as the model"
    return fail("E223", message, place=next(iter(weights.tensors.values())).file.name, help=help_text)
