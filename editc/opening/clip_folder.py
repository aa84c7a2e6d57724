"""Opens a CLIP text encoder and its tokenizer without torch and transformers, where their files are as published.

Anything unusual is left to transformers (`None`): damaged files too, so that one place reports them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from editc.backends.encoders.clip_text import ACTIVATIONS, LEGACY_END, ClipText, Read, Settings
from editc.backends.encoders.tokens import Tokens
from editc.core.diagnostics import EditcError
from editc.formats.models.ldm_encoder import AssembledEncoder
from editc.formats.models.model import Checkpoint, open_component
from editc.libraries.loading import TensorMismatch
from editc.libraries.text_encoders import CLIP_UNUSED, encoder_class, refuse_other_class, tokenizer_of
from editc.numerics.bits import dtypes

Opened: TypeAlias = tuple[Callable[[Sequence[str]], Tokens], ClipText]
"""A tokenizer and a text model."""
UNUSUAL = (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, EditcError)
"""What files that are not as published may raise here."""
KEPT = 256 << 20
"""Parameters of at most this many bytes in float32 together are read once and kept; of larger models each is read when
it is needed, so that memory holds one of them. Chosen by hand: CLIP-L has 492 MB."""
SPLIT = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
"""What CLIP's tokenizer takes for words before it merges letters."""
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
"""The special tokens of a tokenizer_config.json."""
PLAIN = {"tokenizer_class", "model_max_length", "errors", "name_or_path", "special_tokens_map_file", *SPECIAL}
"""Keys of a tokenizer_config.json that are understood here, whatever they say."""
EXPECTED: Mapping[str, Any] = {
    "do_lower_case": True,
    "add_prefix_space": False,
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": True,
    "is_local": True,
    "local_files_only": True,
    "backend": "tokenizers",
}
"""Keys of a tokenizer_config.json -> the only value that is understood here."""


def open_clip(folder: Path, part: str) -> Opened | None:
    """The tokenizer and the text model of an encoder of a pipeline. None where transformers must open it. Raises E205
    for an encoder of another class than a CLIP."""
    refuse_other_class(folder, part, False)
    with suppress(*UNUSUAL):
        settings = Settings.of(
            _read_json(folder / part / "config.json"), "WithProjection" in encoder_class(folder / part, False)
        )
        weights = open_component(part, folder / part)
        return _open(settings, weights, folder / tokenizer_of(part))
    return None


def open_assembled(found: AssembledEncoder) -> Opened | None:
    """The same of an encoder that lies in the model's own file."""
    with suppress(*UNUSUAL):
        settings = Settings.of({"eos_token_id": LEGACY_END, **found.settings}, False)
        return _open(settings, found.weights, found.tokenizer, settings.length, found.pad_id)
    return None


def _open(
    settings: Settings, weights: Checkpoint, folder: Path, length: int | None = None, pad: int | None = None
) -> Opened | None:
    tokenizer, longest, largest = _read_tokenizer(folder, length, pad)
    model = ClipText(settings, _reader(weights, settings))
    fits = largest < settings.vocabulary and longest <= settings.length
    return (tokenizer, model) if fits and settings.act in ACTIVATIONS else None


def _reader(weights: Checkpoint, settings: Settings) -> Read:
    """How parameters are read. Raises ValueError where they are not those of the settings, or not finite."""
    names, shapes = {name.removeprefix("text_model."): name for name in weights.names()}, settings.shapes()
    found = TensorMismatch.of(
        shapes.keys() - names.keys(),
        (names[name] for name in names.keys() - shapes.keys()),
        [
            (n, weights.shape(names[n]), shape)
            for n, shape in shapes.items()
            if n in names and weights.shape(names[n]) != shape
        ],
        CLIP_UNUSED,
    )
    if not found.empty or any(weights.dtype(names[name]) not in dtypes.EDITABLE for name in shapes):
        raise ValueError("other parameters")

    def read(name: str) -> Any:
        raw, dtype = weights.raw(names[name]), weights.dtype(names[name])
        if not dtypes.is_finite(raw, dtype):
            raise ValueError("not finite")
        values = dtypes.native_floats(raw, dtype).reshape(shapes[name])
        return values.astype(np.float32) if small else values

    small = 4 * sum(int(np.prod(shape)) for shape in shapes.values()) <= KEPT
    for name in shapes:
        read(name)
    return lru_cache(None)(read) if small else read


def _read_tokenizer(
    folder: Path, length: int | None, pad: int | None
) -> tuple[Callable[[Sequence[str]], Tokens], int, int]:
    """CLIP's tokenizer, how many tokens it makes at most, and the largest number of a token. `length` and `pad`, the
    number of the padding token, stand for what the files say. Raises ValueError and its like where they say more than
    is understood here."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    config = _read_json(folder / "tokenizer_config.json")
    special = {name: _special(config[name]) for name in SPECIAL}
    _require_plain(config, folder, {name: one["content"] for name, one in special.items()})
    vocabulary = _read_json(folder / "vocab.json")
    if pad is not None:
        special["pad_token"] = _special(next(word for word, number in vocabulary.items() if number == pad))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [(left, right) for left, right in (line.split() for line in lines[1:] if line.strip())]
    unknown, begin, end, padding = (
        special[name]["content"] for name in ("unk_token", "bos_token", "eos_token", "pad_token")
    )
    found = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=unknown))
    found.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    ends = (end, vocabulary[end]), (begin, vocabulary[begin])
    found.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False, trim_offsets=False)
    found.add_special_tokens([AddedToken(**one, special=True) for one in special.values()])
    length = int(config["model_max_length"]) if length is None else length
    found.enable_truncation(length)
    found.enable_padding(length=length, pad_id=vocabulary[padding], pad_token=padding)
    return _tokenize_with(found), length, max(vocabulary.values())


def _special(said: Any) -> dict[str, Any]:
    """What `AddedToken` is told of a special token. Raises ValueError and its like for other values."""
    if isinstance(said, str):
        return {"content": said, "normalized": False}
    flags = {name: bool(said.get(name, False)) for name in ("lstrip", "rstrip", "single_word", "normalized")}
    return {"content": str(said["content"]), **flags}


def _require_plain(config: Mapping[str, Any], folder: Path, special: Mapping[str, str]) -> None:
    """Raises ValueError where files say more than is understood here."""
    other = {
        name: value for name, value in config.items() if name not in PLAIN and value != EXPECTED.get(name, object())
    }
    if other or not str(config["tokenizer_class"]).startswith("CLIPTokenizer"):
        raise ValueError("other settings")
    if any((folder / name).exists() for name in ("tokenizer.json", "added_tokens.json")):
        raise ValueError("a tokenizer of another form")
    marks = folder / "special_tokens_map.json"
    said = _read_json(marks) if marks.exists() else {}
    if any(special.get(name) != _special(value)["content"] for name, value in said.items()):
        raise ValueError("other special tokens")


def _tokenize_with(tokenizer: Any) -> Callable[[Sequence[str]], Tokens]:
    def tokenize(prompts: Sequence[str]) -> Tokens:
        found = tokenizer.encode_batch(list(prompts))
        ids = np.array([one.ids for one in found], np.int64)
        return Tokens(ids, np.array([one.attention_mask for one in found], bool), [one.offsets for one in found])

    return tokenize


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
