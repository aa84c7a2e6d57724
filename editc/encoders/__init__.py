"""Text encoders as ports: prompts in, rows out, with the place in the prompt that each row speaks of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.diagnostics import fail
from editc.encoders.batches import quiet
from editc.encoders.clip import ClipEncoder
from editc.encoders.joined import Joined, Projected
from editc.encoders.t5 import T5Encoder
from editc.family import CLIP_ROWS, Stream
from editc.ports import Encoder, Weights

__all__ = ["ClipEncoder", "Joined", "Projected", "T5Encoder", "load", "load_streams", "quiet"]


def load(folder: Path, mark: str = "") -> Encoder:
    """The one CLIP encoder of the pipeline in `folder`, with its fingerprint; E205 when it cannot be read."""
    return load_streams(folder, CLIP_ROWS, mark)["text"]


def load_streams(
    folder: Path, streams: Mapping[str, Stream], mark: str = "", weights: Weights | None = None
) -> Mapping[str, Encoder]:
    """The encoder of every stream that the pipeline in `folder` has the parts for, each part loaded once.

    `weights` are those of the edited component, for streams that go through a projection. E205 when `text` is not
    among them, or a part cannot be read.
    """
    loaded: dict[str, tuple[Any, Any]] = {}
    found = {name: _stream(folder, stream, mark, weights, loaded) for name, stream in streams.items()}
    if found.get("text") is None:
        raise _missing(folder, streams["text"])
    return {name: encoder for name, encoder in found.items() if encoder is not None}


def _stream(
    folder: Path, stream: Stream, mark: str, weights: Weights | None, loaded: dict[str, tuple[Any, Any]]
) -> Encoder | None:
    present = [part for part in stream.parts if (folder / part).is_dir() and (folder / _tokenizer(part)).is_dir()]
    for part in present:
        if part not in loaded:
            loaded[part] = _part(folder, part, stream.take == "t5")
    encoders = tuple(_encoder(folder, stream, mark, *loaded[part]) for part in present)
    if not encoders:
        return None
    one = encoders[0] if len(encoders) == 1 else Joined(encoders)
    return Projected.of(one, weights, stream.through) if stream.through and weights else one


def _encoder(folder: Path, stream: Stream, mark: str, tokenizer: Any, model: Any) -> Encoder:
    if stream.take != "t5":
        return ClipEncoder(tokenizer, model, mark, stream.take, stream.masked, stream.attended)
    length = stream.lengths.get(_pipeline(folder), stream.length)
    return T5Encoder(tokenizer, model, length, mark, stream.masked, stream.lowered)


def _part(folder: Path, part: str, t5: bool) -> tuple[Any, Any]:
    """The tokenizer and the model of one encoder, in float32. A CLIP has a projection if its config says so."""
    import transformers

    with quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(folder / part, local_files_only=True)
            projected = "CLIPTextModelWithProjection" in (config.architectures or ())
            name = "T5EncoderModel" if t5 else "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
            kind = transformers.T5TokenizerFast if t5 else transformers.CLIPTokenizerFast
            tokenizer = kind.from_pretrained(folder / _tokenizer(part), local_files_only=True)
            model = getattr(transformers, name).from_pretrained(folder / part, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise fail("E205", f"the model's `{part}` cannot be read: {first[:200]}", place=str(folder)) from error
    return tokenizer, model.float().eval()


def _tokenizer(part: str) -> str:
    return part.replace("text_encoder", "tokenizer")


def _pipeline(folder: Path) -> str:
    """The pipeline's class, '' where the folder does not say."""
    try:
        named = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(named.get("_class_name", "")) if isinstance(named, dict) else ""


def _missing(folder: Path, stream: Stream) -> Exception:
    parts = [name for part in stream.parts for name in (part, _tokenizer(part))]
    lacking = next((part for part in parts if not (folder / part).is_dir()), parts[0])
    return fail(
        "E205",
        f"the model has no `{lacking}`",
        place=str(folder),
        help="a build derives its keys with the text encoder: name a whole diffusers pipeline folder",
    )
