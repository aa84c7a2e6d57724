"""The text encoders in a pipeline's folder: which are there, and of which class, by config.json alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail
from editc.core.family import Stream

CLIP_TYPES, T5_TYPES = ("clip_text_model", "clip"), ("t5",)
"""The values of `model_type` in config.json for the encoders that families read."""
CLIP_UNUSED = (r"^(vision_model|visual_projection|text_projection)\.", r"^logit_scale$")
"""Patterns of tensors of a whole CLIP that its text model does not use. Some folders hold a whole CLIP as
`text_encoder`."""


def encoder_parts(folder: Path, stream: Stream) -> list[str]:
    """List the encoders of a stream that the pipeline has, each with its tokenizer."""
    return [part for part in stream.parts if (folder / part).is_dir() and (folder / tokenizer_of(part)).is_dir()]


def require_parts(folder: Path, stream: Stream) -> None:
    """Raise E205 where a pipeline has no encoder of a stream."""
    if not encoder_parts(folder, stream):
        parts = [name for part in stream.parts for name in (part, tokenizer_of(part))]
        lacking = next((part for part in parts if not (folder / part).is_dir()), parts[0])
        help_text = "a build derives its keys with the text encoder: name a whole diffusers pipeline folder"
        raise fail("E205", f"the model has no `{lacking}`", place=str(folder), help=help_text)


def tokenizer_of(part: str) -> str:
    """Return the name of the tokenizer's folder for an encoder's folder."""
    return part.replace("text_encoder", "tokenizer")


def refuse_other_class(folder: Path, part: str, t5: bool) -> None:
    """Raise E205 where the encoder `part` of a pipeline is of another class than the family reads.

    Another class would make other rows. A config.json without a class is left to the library.
    """
    said = _read_config(folder / part)
    known = T5_TYPES if t5 else CLIP_TYPES
    if said.get("model_type", known[0]) in known:
        return
    named = said.get("architectures")
    other = named[0] if isinstance(named, list) and named else said["model_type"]
    message = f"the model's `{part}` is a {other}, but the family needs a {'T5 encoder' if t5 else 'CLIP text model'}"
    help_text = "name a model whose text encoder has this class; editc supports no other"
    raise fail("E205", message, place=str(folder / part), help=help_text)


def encoder_class(folder: Path, t5: bool) -> str:
    """Return the name of the class in transformers; for a CLIP the one with a projection if config.json names it."""
    if t5:
        return "T5EncoderModel"
    projected = "CLIPTextModelWithProjection" in (_read_config(folder).get("architectures") or ())
    return "CLIPTextModelWithProjection" if projected else "CLIPTextModel"


def _read_config(folder: Path) -> Mapping[str, Any]:
    """Read config.json; {} where there is none or it cannot be read, which the library will report."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
