"""Load the text encoders of a pipeline's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from editc.backends.encoders.clip import ClipEncoder, TextModel
from editc.backends.encoders.clip_transformers import TransformersClip, tokenize_with
from editc.backends.encoders.joined import JoinedEncoder, ProjectedEncoder
from editc.backends.encoders.t5 import T5Encoder, T5Model, Tokenize
from editc.backends.encoders.t5_transformers import TransformersT5, tokenize_t5_with
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

OpenClip: TypeAlias = Callable[[Path, str], tuple[Callable[[Sequence[str]], Tokens], TextModel] | None]
"""Opens a CLIP of a pipeline, by its folder's name, and its tokenizer; None where transformers must."""
OpenT5: TypeAlias = Callable[[Path, str], tuple[Tokenize | None, T5Model, int] | None]
"""Opens a T5 of a pipeline, by its folder's name, and its tokenizer, and says how many token embeddings it has. None
where transformers must open it, or only its tokenizer."""


def _nothing(folder: Path, part: str) -> None:
    """Leaves an encoder to transformers."""


@dataclass(frozen=True)
class PartLoader:
    """Loads each encoder of a pipeline once, without transformers where it can."""

    folder: Path
    """The pipeline."""
    open_clip: OpenClip = _nothing
    """Opens a CLIP."""
    open_t5: OpenT5 = _nothing
    """Opens a T5."""
    device: str = "cpu"
    """Where transformers runs an encoder. What opens one without transformers runs it on the CPU."""
    loaded: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Folder of an encoder -> its tokenizer and its model. Filled by `load`."""

    def load(self, part: str, t5: bool) -> tuple[Any, Any]:
        """The tokenizer and the model of one encoder. Raises E205 where it cannot be read."""
        if part not in self.loaded:
            light = self._open_t5(part) if t5 else self.open_clip(self.folder, part)
            self.loaded[part] = light or _load_part(self.folder, part, t5, self.device)
        return self.loaded[part]

    def runners(self) -> Mapping[str, str]:
        """Folder of each encoder that was loaded -> what runs it: `numpy`, `transformers`, `transformers on cuda:0`."""
        return {part: str(model.name) for part, (_, model) in sorted(self.loaded.items())}

    def _open_t5(self, part: str) -> tuple[Any, Any] | None:
        light = self.open_t5(self.folder, part)
        if light is None:
            return None
        tokenize, model, embeddings = light
        if tokenize is None:
            tokenizer = _load_tokenizer(self.folder, part, True)
            _require_fit(self.folder, part, tokenizer, embeddings, None)
            tokenize = tokenize_t5_with(tokenizer)
        return tokenize, model


def load(folder: Path, mark: str = "") -> Encoder:
    """Load the one CLIP encoder of the pipeline in `folder`. `mark` is its fingerprint. Raises E205 where it cannot be
    read."""
    return load_streams(PartLoader(folder), CLIP_ROWS, mark)["text"]


def load_streams(
    parts: PartLoader, streams: Mapping[str, Stream], mark: str = "", weights: Weights | None = None
) -> Mapping[str, Encoder]:
    """Load an encoder for each stream whose parts the pipeline has. Each part is loaded once.

    `mark` is the fingerprint of all encoders. `weights` are those of the edited component, for streams that go through
    its projection. Raises E205 where `text` has no encoder or a part cannot be read.
    """
    require_parts(parts.folder, streams["text"])
    found = {name: _load_stream(parts, stream, mark, weights) for name, stream in streams.items()}
    return {name: encoder for name, encoder in found.items() if encoder is not None}


def _load_stream(parts: PartLoader, stream: Stream, mark: str, weights: Weights | None) -> Encoder | None:
    """Load the encoder of one stream; None where the pipeline has none of its parts."""
    encoders = tuple(
        _make_encoder(parts.folder, stream, mark, *parts.load(part, stream.take == "t5"))
        for part in encoder_parts(parts.folder, stream)
    )
    if not encoders:
        return None
    one = encoders[0] if len(encoders) == 1 else JoinedEncoder(encoders)
    return ProjectedEncoder.from_weights(one, weights, stream.through) if stream.through and weights else one


def _make_encoder(folder: Path, stream: Stream, mark: str, tokenize: Any, model: Any) -> Encoder:
    """Wrap a loaded part as the stream reads it."""
    if stream.take != "t5":
        return ClipEncoder(tokenize, model, mark, stream.take, stream.masked, stream.attended)
    length = stream.lengths.get(_pipeline_class(folder), stream.length)
    return T5Encoder(tokenize, model, length, mark, stream.masked, stream.lowered)


def _load_part(folder: Path, part: str, t5: bool, device: str = "cpu") -> tuple[Any, Any]:
    """Load the tokenizer and the model of one encoder by transformers, the model in float32 on a device."""
    import torch
    import transformers

    refuse_other_class(folder, part, t5)
    tokenizer = _load_tokenizer(folder, part, t5)
    with quiet():
        network = getattr(transformers, encoder_class(folder / part, t5))
        unused = () if t5 else CLIP_UNUSED
        model = load_network(network, folder / part, f"the model's `{part}`", unused, dtype=torch.float32)
    positions = getattr(model.config, "max_position_embeddings", None)
    _require_fit(folder, part, tokenizer, len(model.get_input_embeddings().weight), positions)
    model = model.to(device)
    if t5:
        return tokenize_t5_with(tokenizer), TransformersT5(model)
    return tokenize_with(tokenizer), TransformersClip(model)


def _load_tokenizer(folder: Path, part: str, t5: bool) -> Any:
    """Load the tokenizer of one encoder by transformers."""
    import transformers

    kind = transformers.T5TokenizerFast if t5 else transformers.CLIPTokenizerFast
    with quiet(), library_errors(f"the model's `{tokenizer_of(part)}` cannot be loaded", folder):
        return kind.from_pretrained(folder / tokenizer_of(part), local_files_only=True)


def _require_fit(folder: Path, part: str, tokenizer: Any, embeddings: int, positions: int | None) -> None:
    """Raise E205 where the tokenizer makes tokens, or a number of tokens, that the encoder has no embedding for."""
    last, longest = max(tokenizer.get_vocab().values(), default=-1), tokenizer.model_max_length
    if last >= embeddings:
        why = f"has token ids up to {last}, but `{part}` has only {embeddings} embeddings"
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
