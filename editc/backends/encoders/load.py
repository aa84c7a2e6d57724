"""Load the text encoders of a pipeline's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from editc.backends.encoders.clip import ClipEncoder, TextModel
from editc.backends.encoders.clip_transformers import TransformersClip, tokenize_with
from editc.backends.encoders.joined import JoinedEncoder, ProjectedEncoder
from editc.backends.encoders.t5 import T5Encoder
from editc.backends.encoders.tokens import Tokens
from editc.core.diagnostics import fail
from editc.core.family import CLIP_ROWS, Stream
from editc.core.ports import Encoder, Weights
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, load_network
from editc.libraries.text_encoders import (
    CLIP_UNUSED,
    encoder_class,
    encoder_parts,
    refuse_other_class,
    require_parts,
    tokenizer_of,
)

OpenPart: TypeAlias = Callable[[Path, str], tuple[Callable[[Sequence[str]], Tokens], TextModel] | None]
"""Opens an encoder of a pipeline, by its folder's name, and its tokenizer; None where transformers must."""


def load(folder: Path, mark: str = "") -> Encoder:
    """Load the one CLIP encoder of the pipeline in `folder`. `mark` is its fingerprint. Raises E205 where it cannot be
    read."""
    return load_streams(folder, CLIP_ROWS, mark)["text"]


def load_streams(
    folder: Path,
    streams: Mapping[str, Stream],
    mark: str = "",
    weights: Weights | None = None,
    open_part: OpenPart = lambda folder, part: None,
) -> Mapping[str, Encoder]:
    """Load an encoder for each stream whose parts the pipeline has. Each part is loaded once.

    `mark` is the fingerprint of all encoders. `weights` are those of the edited component, for streams that go through
    its projection. `open_part` opens a CLIP without transformers where it can. Raises E205 where `text` has no encoder
    or a part cannot be read.
    """
    require_parts(folder, streams["text"])
    loaded: dict[str, tuple[Any, Any]] = {}
    found = {name: _load_stream(folder, stream, mark, weights, loaded, open_part) for name, stream in streams.items()}
    return {name: encoder for name, encoder in found.items() if encoder is not None}


def _load_stream(
    folder: Path,
    stream: Stream,
    mark: str,
    weights: Weights | None,
    loaded: dict[str, tuple[Any, Any]],
    open_part: OpenPart,
) -> Encoder | None:
    """Load the encoder of one stream; None where the pipeline has none of its parts. `loaded` keeps parts for other
    streams."""
    parts = encoder_parts(folder, stream)
    for part in parts:
        if part not in loaded:
            light = None if stream.take == "t5" else open_part(folder, part)
            loaded[part] = light or _load_part(folder, part, stream.take == "t5")
    encoders = tuple(_make_encoder(folder, stream, mark, *loaded[part]) for part in parts)
    if not encoders:
        return None
    one = encoders[0] if len(encoders) == 1 else JoinedEncoder(encoders)
    return ProjectedEncoder.from_weights(one, weights, stream.through) if stream.through and weights else one


def _make_encoder(folder: Path, stream: Stream, mark: str, tokenizer: Any, model: Any) -> Encoder:
    """Wrap a loaded part as the stream reads it."""
    if stream.take != "t5":
        return ClipEncoder(tokenizer, model, mark, stream.take, stream.masked, stream.attended)
    length = stream.lengths.get(_pipeline_class(folder), stream.length)
    return T5Encoder(tokenizer, model, length, mark, stream.masked, stream.lowered)


def _load_part(folder: Path, part: str, t5: bool) -> tuple[Any, Any]:
    """Load the tokenizer and the model of one encoder, the model in float32."""
    import transformers

    refuse_other_class(folder, part, t5)
    kind = transformers.T5TokenizerFast if t5 else transformers.CLIPTokenizerFast
    with quiet():
        with library_errors(f"the model's `{tokenizer_of(part)}` cannot be loaded", folder):
            tokenizer = kind.from_pretrained(folder / tokenizer_of(part), local_files_only=True)
        network = getattr(transformers, encoder_class(folder / part, t5))
        model = load_network(network, folder / part, f"the model's `{part}`", () if t5 else CLIP_UNUSED)
    _require_fit(folder, part, tokenizer, model)
    return (tokenizer, model.float()) if t5 else (tokenize_with(tokenizer), TransformersClip(model.float()))


def _require_fit(folder: Path, part: str, tokenizer: Any, model: Any) -> None:
    """Raise E205 where the tokenizer makes tokens, or a number of tokens, that the encoder has no embedding for."""
    rows, last = len(model.get_input_embeddings().weight), max(tokenizer.get_vocab().values(), default=-1)
    longest, positions = tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)
    if last >= rows:
        why = f"has token ids up to {last}, but `{part}` has only {rows} embeddings"
    elif positions is not None and longest > positions:
        why = f"makes up to {longest:g} tokens, but `{part}` reads at most {positions} (see `model_max_length`)"
    else:
        return
    message = f"the model's tokenizer and text encoder do not fit together: `{tokenizer_of(part)}` {why}"
    raise fail("E205", message, place=str(folder), help="use the tokenizer that was saved with this text encoder")


def _pipeline_class(folder: Path) -> str:
    """Return the pipeline's class name from model_index.json; '' where the folder does not say."""
    try:
        named = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(named.get("_class_name", "")) if isinstance(named, dict) else ""
