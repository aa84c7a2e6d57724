"""Find out from config.json alone which class of text encoder a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail

CLIP_TYPES, T5_TYPES = ("clip_text_model", "clip"), ("t5",)
"""The values of `model_type` in config.json for the encoders that families read."""
CLIP_UNUSED = (r"^(vision_model|visual_projection|text_projection)\.", r"^logit_scale$")
"""Patterns of tensors of a whole CLIP that its text model does not use. Some folders hold a whole CLIP as
`text_encoder`."""


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
