"""Which class of text encoder a folder holds, by its config.json alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail

CLIP_TYPES, T5_TYPES = ("clip_text_model", "clip"), ("t5",)
"""What `model_type` says of the encoders that families read."""
CLIP_UNUSED = (r"^(vision_model|visual_projection|text_projection)\.", r"^logit_scale$")
"""Tensors of a whole CLIP that its text model leaves out: some folders hold the whole one as `text_encoder`."""


def refuse_other_class(folder: Path, part: str, t5: bool) -> None:
    """Raises E205 where the encoder `part` of a pipeline is of another class than a CLIP, or a T5: its rows would be
    made another way. A config.json that says nothing of its class is left to the library."""
    said = _read_config(folder / part)
    known = T5_TYPES if t5 else CLIP_TYPES
    if said.get("model_type", known[0]) in known:
        return
    named = said.get("architectures")
    other = named[0] if isinstance(named, list) and named else said["model_type"]
    message = f"the model's `{part}` is a {other}, and the family reads a {'T5 encoder' if t5 else 'CLIP text model'}"
    help_text = "name a model whose text encoder is of that class; editc has no other encoders"
    raise fail("E205", message, place=str(folder / part), help=help_text)


def encoder_class(folder: Path, t5: bool) -> str:
    """The class in transformers; a CLIP has a projection if its config says so."""
    if t5:
        return "T5EncoderModel"
    projected = "CLIPTextModelWithProjection" in (_read_config(folder).get("architectures") or ())
    return "CLIPTextModelWithProjection" if projected else "CLIPTextModel"


def _read_config(folder: Path) -> Mapping[str, Any]:
    """config.json; {} where there is none or it cannot be read, which the library will say."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
