"""List the text encoders of a pipeline's folder, without opening them."""

from __future__ import annotations

from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.family import Stream


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
