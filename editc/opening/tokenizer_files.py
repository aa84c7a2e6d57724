"""What the files of a tokenizer say, as far as it is understood without transformers. All else raises ValueError and
its like, and is left to transformers.

Where both are there, tokenizer.json stands for vocab.json and merges.txt, and only its vocabulary and added tokens are
read: transformers makes the rest by the class of the tokenizer, and so does editc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from editc.backends.encoders.tokens import Tokens
from editc.opening.parameters import read_json

EXPECTED: Mapping[str, Any] = {
    "do_lower_case": True,
    "add_prefix_space": False,
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": True,
    "backend": "tokenizers",
}
"""Keys of a tokenizer_config.json -> the only value that is understood here."""
PLAIN = frozenset(
    (
        "tokenizer_class",
        "model_max_length",
        "errors",
        "name_or_path",
        "special_tokens_map_file",
        "is_local",
        "local_files_only",
        "added_tokens_decoder",
    )
)
"""Keys of a tokenizer_config.json that are understood here, whatever they say."""


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer's files, read and found plain."""

    config: Mapping[str, Any]
    """tokenizer_config.json."""
    whole: Mapping[str, Any] | None
    """tokenizer.json; None where there is none."""
    special: Mapping[str, Mapping[str, Any]]
    """Name of a special token, such as `eos_token` -> its text and flags, as `AddedToken` takes them."""
    added: Mapping[int, Mapping[str, Any]]
    """Number of each token that is found in a text before anything else -> its text and flags."""

    @classmethod
    def of(cls, folder: Path, kind: str, special: Sequence[str], plain: frozenset[str]) -> TokenizerFiles:
        """Those of a tokenizer whose class begins with `kind` and has these special tokens. `plain` are further keys of
        its settings that are understood."""
        config = read_json(folder / "tokenizer_config.json")
        known = {name: token_flags(config[name]) for name in special}
        _require_plain(config, kind, PLAIN | plain | set(special))
        file = folder / "tokenizer.json"
        whole = read_json(file) if file.exists() else None
        listed = {} if whole is None else _listed(whole)
        added = {int(number): one for number, one in config.get("added_tokens_decoder", listed).items()}
        if not all(one["special"] for one in added.values()):
            raise ValueError("added words")
        flags = {number: token_flags(added[number]) for number in sorted(added)}
        by_text = {one["content"]: one for one in flags.values()}
        _require_special(folder, {name: str(one["content"]) for name, one in known.items()}, by_text.keys())
        return cls(config, whole, {name: by_text.get(one["content"], one) for name, one in known.items()}, flags)

    def found_first(self, vocabulary: Mapping[str, int]) -> Sequence[Mapping[str, Any]]:
        """The text and flags of each token that is found first. Raises ValueError where the vocabulary has another
        number for one of them."""
        if any(vocabulary[one["content"]] != number for number, one in self.added.items()):
            raise ValueError("added tokens")
        texts = {one["content"] for one in self.added.values()}
        return [*self.added.values(), *(one for one in self.special.values() if one["content"] not in texts)]


def token_flags(said: Any) -> Mapping[str, Any]:
    """What `AddedToken` is told of a special token. Raises ValueError and its like for other values."""
    if isinstance(said, str):
        return {"content": said, "normalized": False}
    flags = {name: bool(said.get(name, False)) for name in ("lstrip", "rstrip", "single_word", "normalized")}
    return {"content": str(said["content"]), **flags}


def _listed(whole: Mapping[str, Any]) -> Mapping[int, Any]:
    """Number -> what tokenizer.json says of each token that is found first. Raises ValueError where it pads or cuts on
    the left."""
    if any(whole[name] is not None and whole[name]["direction"] != "Right" for name in ("truncation", "padding")):
        raise ValueError("padding on the left")
    return {one["id"]: one for one in whole["added_tokens"]}


def tokens_of(tokenizer: Any, prompts: Sequence[str]) -> Tokens:
    """The tokens of prompts, by a tokenizer of the library `tokenizers` that pads."""
    found = tokenizer.encode_batch(list(prompts))
    ids = np.array([one.ids for one in found], np.int64)
    return Tokens(ids, np.array([one.attention_mask for one in found], bool), [one.offsets for one in found])


def tokenize_with(tokenizer: Any) -> Callable[[Sequence[str]], Tokens]:
    """How such a tokenizer makes tokens of prompts."""
    return lambda prompts: tokens_of(tokenizer, prompts)


def _require_plain(config: Mapping[str, Any], kind: str, plain: frozenset[str]) -> None:
    """Raises ValueError where the settings say more than is understood."""
    other = [name for name, value in config.items() if name not in plain and value != EXPECTED.get(name, object())]
    if other or not str(config["tokenizer_class"]).startswith(kind):
        raise ValueError("other settings")


def _require_special(folder: Path, special: Mapping[str, str], added: Set[str]) -> None:
    """Raises ValueError where other files say something else of special tokens."""
    marks = folder / "special_tokens_map.json"
    said = dict(read_json(marks)) if marks.exists() else {}
    more = {str(token_flags(one)["content"]) for one in said.pop("additional_special_tokens", ())}
    other = [name for name, value in said.items() if special.get(name) != token_flags(value)["content"]]
    if other or not more <= added or (folder / "added_tokens.json").exists():
        raise ValueError("other special tokens")
