"""Opens a T5 encoder and its tokenizer without torch and transformers, where their files are as published.

Anything unusual is left to transformers (`None`): damaged files too, so that one place reports them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from editc.backends.encoders.t5 import Tokenize
from editc.backends.encoders.t5_text import EMBEDDING, T5Settings, T5Text
from editc.backends.encoders.tokens import Tokens
from editc.formats.models.finite import find_non_finite
from editc.formats.models.model import Checkpoint, open_component
from editc.libraries.loading import refuse_values
from editc.libraries.text_encoders import refuse_other_class, tokenizer_of
from editc.opening.parameters import UNUSUAL, FindBroken, parameter_reader, read_json
from editc.opening.tokenizer_files import TokenizerFiles, tokens_of

Opened: TypeAlias = tuple[Tokenize | None, T5Text, int]
"""A tokenizer, None where transformers must open it; the encoder; and how many token embeddings it has."""
UNUSED = ("decoder",)
"""Patterns of tensors of a whole T5 that its encoder does not use."""
TIED = "encoder.embed_tokens.weight"
"""The other name of the token embeddings. Some files have both."""
SPECIAL = ("eos_token", "unk_token", "pad_token")
"""The special tokens of a tokenizer_config.json."""
PLAIN = frozenset(
    ["extra_ids", "legacy", "sp_model_kwargs", "add_prefix_space", "additional_special_tokens", "extra_special_tokens"]
)
"""Keys of a tokenizer_config.json that say nothing about tokens here, or are looked at by `_require_sentinels`."""
EXTRA = 100
"""Sentinels of a T5's tokenizer, where its settings do not say how many."""


def open_t5(folder: Path, part: str, find_broken: FindBroken = find_non_finite) -> Opened | None:
    """The tokenizer and the encoder of a pipeline. None where transformers must open both. Raises E205 for an encoder
    of another class than a T5, and E402 for one that holds NaN or infinity."""
    refuse_other_class(folder, part, True)
    broken: Sequence[str] = ()
    with suppress(*UNUSUAL):
        settings = T5Settings.of(read_json(folder / part / "config.json"))
        weights = open_component(part, folder / part)
        names, shapes = _names(weights), settings.shapes()
        model = T5Text(settings, parameter_reader(weights, names, shapes, UNUSED))
        broken = sorted({names[name] for name in shapes}.intersection(find_broken(weights)))
        if not broken:
            return _open_tokenizer(folder / tokenizer_of(part), settings.vocabulary), model, settings.vocabulary
    refuse_values(broken, f"the model's `{part}`", folder / part)
    return None


def _names(weights: Checkpoint) -> Mapping[str, str]:
    """The network's name -> the name in the files. Raises ValueError where the files have two token embeddings that
    differ."""
    names = {name: name for name in weights.names()}
    if TIED not in names:
        return names
    if EMBEDDING in names and weights.raw(EMBEDDING) != weights.raw(TIED):
        raise ValueError("two embeddings")
    return {EMBEDDING if name == TIED else name: name for name in names}


def _open_tokenizer(folder: Path, rows: int) -> Tokenize | None:
    """T5's tokenizer, from its tokenizer.json. None where transformers must open it, and where it has more tokens than
    `rows`, which is reported there."""
    with suppress(*UNUSUAL):
        files = TokenizerFiles.of(folder, "T5Tokenizer", SPECIAL, PLAIN)
        if files.whole is not None and len(files.whole["model"]["vocab"]) <= rows:
            return _tokenize_with(_make_tokenizer(files, files.whole))
    return None


def _make_tokenizer(files: TokenizerFiles, whole: Mapping[str, Any]) -> Any:
    """The tokenizer as transformers makes it: words are cut at spaces, each begins with one, and the end is marked."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    said = whole["model"]
    words = [(str(word), float(score)) for word, score in said["vocab"]]
    numbers = {word: number for number, (word, _) in enumerate(words)}
    end, unknown = (files.special[name]["content"] for name in ("eos_token", "unk_token"))
    if said["type"] != "Unigram" or said.get("byte_fallback") or numbers[unknown] != 2 or end != "</s>":
        raise ValueError("another tokenizer")
    _require_sentinels(files)
    found = Tokenizer(models.Unigram(words, unk_id=2, byte_fallback=False))
    charsmap = _charsmap(whole["normalizer"])
    if charsmap is not None:
        found.normalizer = normalizers.Precompiled(charsmap)
    metaspace = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=True)
    found.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    found.add_tokens([AddedToken(**one, special=True) for one in files.found_first(numbers)])
    found.post_processor = processors.TemplateProcessing(
        single=["$A", end], pair=["$A", end, "$B", end], special_tokens=[(end, numbers[end])]
    )
    found.enable_padding(pad_id=numbers[files.special["pad_token"]["content"]])
    return found


def _require_sentinels(files: TokenizerFiles) -> None:
    """Raises ValueError where the settings name special tokens that are not among those that are added."""
    named = [f"<extra_id_{number}>" for number in range(files.config.get("extra_ids", EXTRA))]
    for name in ("additional_special_tokens", "extra_special_tokens"):
        named += files.config.get(name) or []
    if not set(named) <= {one["content"] for one in files.added.values()}:
        raise ValueError("other special tokens")


def _charsmap(normalizer: Any) -> bytes | None:
    """The table of characters that a tokenizer.json replaces; None where it has none."""
    from base64 import b64decode

    every = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
    tables = [one["precompiled_charsmap"] for one in every if one and one["type"] == "Precompiled"]
    return b64decode(tables[0]) if tables else None


def _tokenize_with(tokenizer: Any) -> Tokenize:
    pad = tokenizer.padding["pad_id"]

    def tokenize(prompts: Sequence[str], length: int) -> Tokens:
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=pad)
        return tokens_of(tokenizer, prompts)

    return tokenize
