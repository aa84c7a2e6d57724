"""Make a CLIP tokenizer with a byte-pair vocabulary in which every word of the demo world is one token."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH = 32
"""The number of tokens of a prompt, padding included."""
START, END = "<|startoftext|>", "<|endoftext|>"
"""The first and last token of a prompt, as in CLIP."""


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return the byte-pair merges, the most frequent pair first, that make every word a single token."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while any(len(piece) > 1 for piece in pieces):
        pairs = Counter(pair for piece in pieces for pair in itertools.pairwise(piece))
        best = max(sorted(pairs), key=pairs.__getitem__)
        merges.append(best)
        pieces = [_merge(piece, best) for piece in pieces]
    return merges


def write_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Write the files that `CLIPTokenizer.from_pretrained` reads: vocab.json, merges.txt and the settings."""
    merges = learn_merges(words)
    characters = [*_byte_characters(), *(c + "</w>" for c in _byte_characters())]
    entries = [*characters, *(left + right for left, right in merges), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({entry: i for i, entry in enumerate(dict.fromkeys(entries))}, ensure_ascii=False)
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2))


def load_tokenizer(folder: Path) -> Any:
    """Load the CLIPTokenizer from `folder`."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder))


def _merge(piece: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the pieces of a word with every occurrence of `pair` merged."""
    merged: list[str] = []
    for part in piece:
        if merged and (merged[-1], part) == pair:
            merged[-1] = merged[-1] + part
        else:
            merged.append(part)
    return merged


def _byte_characters() -> list[str]:
    """Return the 256 characters that stand for bytes in byte-level BPE: printable bytes stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [256 + i for i in range(256 - len(printable))]
    return [chr(code) for code in (*printable, *shifted)]
