"""Fingerprints of what an edit depends on: a component's weights, and the text encoder whose embeddings are the
keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from editc.core.diagnostics import fail
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.safetensors import read_small
from editc.formats.models.layout import has_weights, subfolders
from editc.formats.models.model import Checkpoint, Model, open_component, open_model
from editc.numerics.bits import dtypes

_HASHED_SETTINGS = ("hidden_act", "num_attention_heads", "layer_norm_eps")
"""Settings that change an encoder's output without changing a tensor. The rest of config.json is bookkeeping."""

TOKEN_EMBEDDINGS = ("token_embedding.weight", "shared.weight", "embed_tokens.weight")
"""Ends of the names of token embeddings (one row for each token), as CLIP and T5 name them."""
_MAX_BYTES = 64_000_000
"""Bytes of a tokenizer's file or a config at most. Chosen by hand; the largest in use have some 35 MB."""
_STEP = 8 << 20
"""Bytes that are rounded to float16 at once. Chosen by hand."""
PROJECTION = "caption_projection."
"""Prefix of the parameters of an edited component (PixArt's) that project the encoder's rows before any site reads
them."""


class TensorReader(Protocol):
    """A component whose tensors can be read: a checkpoint, or the weights that a build is given."""

    def names(self) -> Sequence[str]:
        """The names of all parameters."""

    def read(self, name: str) -> NDArray[np.float64]:
        """The tensor in float64, in its own shape."""


class StoredTensors(Protocol):
    """A component whose tensors can be read as they are stored: a checkpoint, or a module in memory."""

    def names(self) -> Sequence[str]:
        """The names of all parameters."""

    def dtype(self, name: str) -> str:
        """The dtype of a tensor, as safetensors names it."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape."""

    def raw(self, name: str) -> bytes:
        """Its bytes."""


def fingerprint(checkpoint: Checkpoint, edited: Iterable[str] = ()) -> str:
    """sha256 over the name, dtype and shape of every tensor, and over the stored bytes of the tensors in `edited`.

    A plan says with it exactly which weights it was made for, and only tensors that will be edited are read.
    """
    table = [[name, checkpoint.dtype(name), list(checkpoint.shape(name))] for name in checkpoint.names()]
    hashes = {name: dtypes.sha256(checkpoint.raw(name)) for name in sorted(set(edited))}
    return hash_json(["editc-component-1", table, hashes])


def encoder_fingerprint(model: Model | Path | str, rows: Mapping[str, int] | None = None) -> str:
    """sha256 over the weights of every `text_encoder*` and the vocabulary of every `tokenizer*` of a pipeline's folder.

    A component's folder or file counts as the pipeline that it lies in. '' when there is no text encoder. Weights are
    hashed as float16 values, whatever they are stored in: a half-precision copy counts as the same encoder (its
    embeddings differ by some 1e-3), and any other difference counts. Integer buffers and settings that do not change
    the embeddings are left out, because library versions differ in them. `rows`: text encoder -> how many rows of its
    token embeddings count; all of them where it is missing there.

    Raises E611 where the weights of an encoder are there only as pickles.
    """
    return hash_encoders(
        describe_encoders(pipeline_of(model if isinstance(model, Model) else open_model(model)), rows or {})
    )


def describe_encoders(
    folder: Path,
    rows: Mapping[str, int] = MappingProxyType({}),
    digests: Callable[[Checkpoint], Mapping[str, str]] | None = None,
) -> tuple[Any, Any]:
    """All that `encoder_fingerprint` hashes: a map from text encoder to its tensors and settings (as `describe_encoder`
    returns them), and a map from tokenizer to its vocabulary. `rows` as in `encoder_fingerprint`. `digests` tells the
    `half_digests` of an encoder where somebody remembers them."""
    parts = encoder_folders(folder)
    told = digests or (lambda _: {})
    opened = {name: open_component(name, part) for name, part in parts.items() if _is_encoder(name, part)}
    encoders = {
        name: describe_encoder(one, settings_of(parts[name]), rows.get(name), told(one)) for name, one in opened.items()
    }
    return encoders, {name: read_vocabulary(part) for name, part in parts.items() if name.startswith("tokenizer")}


def _is_encoder(name: str, folder: Path) -> bool:
    """True for the folder of a text encoder that has weights."""
    return name.startswith("text_encoder") and has_weights(folder)


def hash_encoders(described: tuple[Any, Any]) -> str:
    """The fingerprint of what `describe_encoders` returned; '' without a text encoder."""
    return hash_json(["editc-encoder-1", *described]) if described[0] else ""


def encoder_folders(folder: Path) -> Mapping[str, Path]:
    """Name -> folder of every `text_encoder*` and `tokenizer*` of a pipeline."""
    return {p.name: p for p in subfolders(folder) if p.name.startswith(("text_encoder", "tokenizer"))}


def projected_fingerprint(mark: str, component: TensorReader) -> str:
    """The fingerprint of the rows that sites read, from the fingerprint `mark` of their encoder.

    It is `mark` itself, unless the component projects the rows first: then the sha256 of `mark` and of the projection
    as float16 values.
    """
    names = sorted(name for name in component.names() if name.startswith(PROJECTION))
    if not mark or not names:
        return mark
    with np.errstate(over="ignore", under="ignore"):
        parts = [[name, dtypes.sha256(component.read(name).astype("<f2").tobytes())] for name in names]
    return hash_json(["editc-projected-1", mark, parts])


def single_encoder_fingerprint(weights: Checkpoint, settings: Mapping[str, Any], tokenizer: Path) -> str:
    """What `encoder_fingerprint` would say of a pipeline with this one text encoder and the tokenizer in the folder
    `tokenizer`."""
    encoder = describe_encoder(weights, settings)
    return hash_json(["editc-encoder-1", {"text_encoder": encoder}, {"tokenizer": read_vocabulary(tokenizer)}])


def has_same_weights(weights: Checkpoint, folder: Path) -> bool:
    """True if the encoder in `folder` has every tensor of `weights`, with equal values in float16."""
    other = open_component(folder.name, folder)
    names = {name.removeprefix("text_model."): name for name in other.names()}
    return all(
        (known := names.get(name.removeprefix("text_model."))) is not None
        and other.shape(known) == weights.shape(name)
        and _half_digest(other, known) == _half_digest(weights, name)
        for name in weights.names()
    )


def pipeline_of(model: Model) -> Path:
    """The pipeline's folder: the model itself, or the folder in which a component's folder or file lies."""
    folder = model.path.parent if model.layout == "file" else model.path
    return folder.parent if (folder.parent / "model_index.json").is_file() else folder


def settings_of(folder: Path) -> Mapping[str, Any]:
    """The config.json of a component's folder; {} where there is none. Raises E617 for one that is damaged."""
    return _read_settings(folder / "config.json")


def describe_encoder(
    checkpoint: StoredTensors,
    config: Mapping[str, Any],
    vocabulary_size: int | None = None,
    known: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """An encoder as plain JSON: for each tensor [name, shape, sha256 as float16], sorted, and the settings that are
    hashed.

    `vocabulary_size`: how many rows of the token embeddings count; None: all. The prefix `text_model.` is left out of
    names, because versions of transformers differ in it. `known`: name -> what `half_digests` said of whole tensors.
    """
    rows = []
    for name in float_names(checkpoint):
        shape = whole = list(checkpoint.shape(name))
        if vocabulary_size and name.endswith(TOKEN_EMBEDDINGS):
            shape = [min(whole[0], vocabulary_size), *whole[1:]]
        digest = known.get(name) if shape == whole else None
        rows.append([name.removeprefix("text_model."), shape, digest or _half_digest(checkpoint, name, shape)])
    rows.sort()
    inner = config.get("text_config", config)
    return [rows, {key: inner.get(key) for key in _HASHED_SETTINGS}]


def float_names(checkpoint: StoredTensors) -> Sequence[str]:
    """The names of the tensors of floats, in the order of the checkpoint."""
    return [name for name in checkpoint.names() if checkpoint.dtype(name) in dtypes.EDITABLE]


def half_digests(checkpoint: StoredTensors) -> Mapping[str, str]:
    """Name -> sha256 as float16 of each tensor of floats."""
    return {name: _half_digest(checkpoint, name) for name in float_names(checkpoint)}


def _half_digest(checkpoint: StoredTensors, name: str, shape: Sequence[int] | None = None) -> str:
    """sha256 of a tensor as float16; of its first rows only, where `shape` has fewer rows than the tensor."""
    raw, dtype = checkpoint.raw(name), checkpoint.dtype(name)
    shape = checkpoint.shape(name) if shape is None else shape
    stored = memoryview(raw)[: dtypes.nbytes(dtype, tuple(shape))]
    if dtype == "F16":
        return hashlib.sha256(stored).hexdigest()
    found = hashlib.sha256()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, len(stored), _STEP):  # the embeddings of a T5-XXL are 0.5 GB in float32
            found.update(dtypes.native_floats(stored[start : start + _STEP], dtype).astype("<f2").tobytes())
    return found.hexdigest()


def read_vocabulary(folder: Path) -> Any:
    """What maps text to token ids, the same whichever version of the library wrote the tokenizer."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        lines = _read_text(folder / "merges.txt").splitlines()
        pairs = [line.split() for line in lines if line.strip() and not line.startswith("#version")]
        return [_read_settings(folder / "vocab.json"), pairs]
    if (folder / "tokenizer.json").is_file():
        inner = _read_settings(folder / "tokenizer.json").get("model", {})
        pairs = [pair.split() if isinstance(pair, str) else pair for pair in inner.get("merges", [])]
        return [inner.get("vocab"), pairs]
    skipped = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in skipped)
    return {path.name: dtypes.sha256(_read_bytes(path)) for path in files}


def _read_settings(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; {} where there is no file or another value. Raises E617."""
    if not path.is_file():
        return {}
    try:
        value = strict_json(_read_text(path))
    except ValueError as error:
        raise fail("E617", f"this is not valid JSON: {str(error)[:200]}", place=str(path)) from error
    return value if isinstance(value, dict) else {}


def _read_text(path: Path) -> str:
    """A UTF-8 file. Raises E617."""
    try:
        return _read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail("E617", f"this is not UTF-8 text: {error.reason}", place=str(path)) from error


def _read_bytes(path: Path) -> bytes:
    """The bytes of a file of at most `_MAX_BYTES`. Raises E617 for a larger one."""
    try:
        return read_small(path, _MAX_BYTES)
    except ValueError as error:
        raise fail("E617", f"this is not a vocabulary or config: {error}", place=str(path)) from error


def hash_json(value: Any) -> str:
    """The sha256 of a JSON value in canonical spelling."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
