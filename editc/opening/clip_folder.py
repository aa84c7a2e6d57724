"""Opens a CLIP text encoder and its tokenizer without torch and transformers, where their files are as published.

Anything unusual is left to transformers (`None`): damaged files too, so that one place reports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from editc.backends.encoders.arrays import Read
from editc.backends.encoders.clip_text import ACTIVATIONS, LEGACY_END, ClipText, Settings
from editc.backends.encoders.tokens import Tokens
from editc.formats.models.finite import find_non_finite
from editc.formats.models.ldm_encoder import AssembledEncoder
from editc.formats.models.model import Checkpoint, open_component
from editc.libraries.text_encoders import CLIP_UNUSED, encoder_class, refuse_other_class, tokenizer_of
from editc.opening.parameters import UNUSUAL, FindBroken, parameter_reader, read_json
from editc.opening.tokenizer_files import TokenizerFiles, token_flags, tokenize_with

Opened: TypeAlias = tuple[Callable[[Sequence[str]], Tokens], ClipText]
"""A tokenizer and a text model."""
SPLIT = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
"""What CLIP's tokenizer takes for words before it merges letters."""
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
"""The special tokens of a tokenizer_config.json."""


def open_clip(folder: Path, part: str, find_broken: FindBroken = find_non_finite) -> Opened | None:
    """The tokenizer and the text model of an encoder of a pipeline. None where transformers must open it. Raises E205
    for an encoder of another class than a CLIP."""
    refuse_other_class(folder, part, False)
    with suppress(*UNUSUAL):
        settings = Settings.of(
            read_json(folder / part / "config.json"), "WithProjection" in encoder_class(folder / part, False)
        )
        weights = open_component(part, folder / part)
        return _open(settings, weights, folder / tokenizer_of(part), find_broken=find_broken)
    return None


def open_assembled(found: AssembledEncoder) -> Opened | None:
    """The same of an encoder that lies in the model's own file."""
    with suppress(*UNUSUAL):
        settings = Settings.of({"eos_token_id": LEGACY_END, **found.settings}, False)
        return _open(settings, found.weights, found.tokenizer, settings.length, found.pad_id)
    return None


def _open(
    settings: Settings,
    weights: Checkpoint,
    folder: Path,
    length: int | None = None,
    pad: int | None = None,
    find_broken: FindBroken = find_non_finite,
) -> Opened | None:
    tokenizer, longest, largest = _read_tokenizer(folder, length, pad)
    model = ClipText(settings, _reader(weights, settings, find_broken))
    fits = largest < settings.vocabulary and longest <= settings.length
    return (tokenizer, model) if fits and settings.act in ACTIVATIONS else None


def _reader(weights: Checkpoint, settings: Settings, find_broken: FindBroken) -> Read:
    """How parameters are read. Raises ValueError where they are not those of the settings, or not finite."""
    names, shapes = {name.removeprefix("text_model."): name for name in weights.names()}, settings.shapes()
    read = parameter_reader(weights, names, shapes, CLIP_UNUSED)
    if {names[name] for name in shapes}.intersection(find_broken(weights)):
        raise ValueError("not finite")
    return read


def _read_tokenizer(
    folder: Path, length: int | None, pad: int | None
) -> tuple[Callable[[Sequence[str]], Tokens], int, int]:
    """CLIP's tokenizer, how many tokens it makes at most, and the largest number of a token. `length` and `pad`, the
    number of the padding token, stand for what the files say. Raises ValueError and its like where they say more than
    is understood here."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    files = TokenizerFiles.of(folder, "CLIPTokenizer", SPECIAL, frozenset())
    vocabulary, merges = _read_words(folder, files.whole)
    unknown, begin, end, padding = (
        str(files.special[name]["content"]) for name in ("unk_token", "bos_token", "eos_token", "pad_token")
    )
    first = list(files.found_first(vocabulary))
    if pad is not None:
        padding = next(word for word, number in vocabulary.items() if number == pad)
        first.append(token_flags(padding))
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
    found.add_tokens([AddedToken(**one, special=True) for one in first])
    length = int(files.config["model_max_length"]) if length is None else length
    found.enable_truncation(length)
    found.enable_padding(length=length, pad_id=vocabulary[padding], pad_token=padding)
    return tokenize_with(found), length, max(vocabulary.values())


def _read_words(folder: Path, whole: Mapping[str, Any] | None) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token -> its number, and the pairs that are merged, in order: of tokenizer.json where there is one."""
    if whole is None:
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        return read_json(folder / "vocab.json"), [_pair(line.split()) for line in lines[1:] if line.strip()]
    said = whole["model"]
    if said["type"] != "BPE":
        raise ValueError("another tokenizer")
    return said["vocab"], [_pair(one.split(" ") if isinstance(one, str) else one) for one in said["merges"]]


def _pair(parts: Sequence[str]) -> tuple[str, str]:
    left, right = parts
    return left, right
