"""The whole words in the vocabulary of a pipeline's tokenizer, read from its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from editc.formats.models.fingerprint import read_vocabulary

WORD_END = "</w>"
"""What ends a token that ends a word, in the vocabularies of CLIP."""
WORD_START = ("\u2581", "\u0120")
"""What begins a token that begins a word: in the vocabularies of SentencePiece (T5), and in byte-level ones (GPT-2)."""
SHORTEST = 3
"""The fewest letters of a whole word. Chosen by hand: shorter ones are mostly pieces and abbreviations."""


def whole_words(tokenizer: Path) -> tuple[str, ...]:
    """Return the words that are one token each, in lower case and in the order of the vocabulary, which is that of
    their frequency.

    Words of fewer than SHORTEST letters are left out, and what has other characters than letters. () for a vocabulary
    whose words cannot be told from pieces, or that is not in a file of JSON. Raises E617 for a damaged file.
    """
    if not tokenizer.is_dir():
        return ()
    states = [(path.name, path.stat()) for path in sorted(tokenizer.iterdir())]
    return _whole_words(tokenizer, tuple((name, state.st_size, state.st_mtime_ns) for name, state in states))


@lru_cache(maxsize=4)
def _whole_words(tokenizer: Path, states: tuple[tuple[str, int, int], ...]) -> tuple[str, ...]:
    """Return the words of a tokenizer whose files have these states: a build asks for them three times."""
    found = read_vocabulary(tokenizer)
    tokens = _tokens(found[0]) if isinstance(found, list) else ()
    words = (word.lower() for word in _words(tokens) if word.isalpha() and len(word) >= SHORTEST)
    return tuple(dict.fromkeys(words))


def _tokens(vocabulary: Any) -> Sequence[str]:
    """Return the tokens of a vocabulary by number: of a map from token to number, or of a list of tokens with
    scores."""
    if isinstance(vocabulary, Mapping):
        return sorted(vocabulary, key=lambda token: (vocabulary[token], token))
    return [str(entry[0]) for entry in vocabulary or () if isinstance(entry, list) and entry]


def _words(tokens: Sequence[str]) -> Iterator[str]:
    """Yield the text of each token that is a word, in the notation that the vocabulary has.

    A token that only begins a word counts as one: the vocabularies of SentencePiece do not say where a word ends.
    """
    if any(token.endswith(WORD_END) for token in tokens):
        yield from (token.removesuffix(WORD_END) for token in tokens if token.endswith(WORD_END))
    else:
        yield from (token[1:] for token in tokens if token.startswith(WORD_START))
