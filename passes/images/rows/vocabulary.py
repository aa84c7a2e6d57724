"""Prompts of the words that a model knows: the whole words of its tokenizer that its text encoder tells apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from editc.core.delta import Array
from editc.core.ports import Cache, Encoder, Progress
from editc.core.storage.caching import load_or_compute
from editc.core.text import plain_words
from editc.passes.images.rows.phrases import fill_context, rows_after

MOST_WORDS = 500
"""The most words that are looked at, the first of the vocabulary. As many as the everyday prompts: on a large encoder
the words then take no longer than those do."""
PIECE = 64
"""Words that are encoded with one call and cached as one entry. As many as encoders take into one batch."""
PROMPTS = 500
"""The prompts that the words are put into, if they are fewer; a vocabulary with more has a prompt for each."""
SAME_WORD = 0.9
"""Two words whose signals have this cosine or more are read as one. The same as `mined_names.ALIKE`, which was chosen
on the demo model."""
READABLE = 0.5
"""The share of a prompt's words that must be whole words of the tokenizer for it to count as readable. Chosen by
hand: of a prompt with fewer, the encoder sees mostly pieces of words."""


def vocabulary_prompts(
    words: Sequence[str],
    edited: Sequence[str],
    contexts: Sequence[str],
    encoder: Encoder,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Return prompts of the words that the encoder tells apart: from each other, and from the `edited` names.

    Each word goes into as many contexts as make PROMPTS prompts in all, at least one; the words take turns with the
    contexts. The words are compared in the first context. `progress` shows how many are encoded.
    """
    known = tell_apart(list(dict.fromkeys(words))[:MOST_WORDS], edited, contexts[0], encoder, cache, progress)
    each = min(len(contexts), max(1, PROMPTS // max(1, len(known))))
    turns = (
        (word, contexts[(number * each + turn) % len(contexts)])
        for number, word in enumerate(known)
        for turn in range(each)
    )
    return tuple(dict.fromkeys(fill_context(context, word) for word, context in turns))


def tell_apart(
    words: Sequence[str],
    edited: Sequence[str],
    context: str,
    encoder: Encoder,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Return the words whose signals differ from that of each edited name and of each earlier word.

    A word's signal is the mean of the rows after the text, which have seen the whole prompt, minus the mean of that
    over all words. Where the encoder has no such rows, or knows one word only, all words are returned.
    """
    if len(words) < 2:
        return tuple(words)
    alike = _cosines(words, edited, context, encoder, cache, progress) >= SAME_WORD
    taken = list(range(len(edited)))
    for number in range(len(edited), len(alike)):
        if not alike[number, taken].any():
            taken.append(number)
    return tuple(words[number - len(edited)] for number in taken[len(edited) :])


def read_as(
    words: Sequence[str], edited: Sequence[str], contexts: Sequence[str], encoder: Encoder, cache: Cache | None = None
) -> Mapping[str, tuple[str, ...]]:
    """Return, for each edited name, the words that the encoder reads as that name, the most alike first. It costs
    nothing after `vocabulary_prompts` with the same words, names and cache."""
    looked = list(dict.fromkeys(words))[:MOST_WORDS]
    if len(looked) < 2:
        return {}
    cosines = _cosines(looked, edited, contexts[0], encoder, cache)
    found = {}
    for number, name in enumerate(edited):
        row = cosines[number, len(edited) :]
        alike = [int(one) for one in np.argsort(-row, kind="stable") if row[one] >= SAME_WORD]
        found[name] = tuple(looked[one] for one in alike if looked[one] not in edited)
    return found


def _cosines(
    words: Sequence[str],
    edited: Sequence[str],
    context: str,
    encoder: Encoder,
    cache: Cache | None,
    progress: Progress | None = None,
) -> Array:
    """Return the cosine of each pair of signals, (n, n), of the edited names and then of the words.

    The words are encoded apart from the edited names, PIECE at a time, so that every manifest finds them in the cache.
    """
    pieces = [words[start : start + PIECE] for start in range(0, len(words), PIECE)]
    steps: Iterable[object] = progress("encode words", pieces) if progress else pieces
    found = [_signals(piece, context, encoder, cache) for _, piece in zip(steps, pieces, strict=True)]
    rows = np.vstack([_signals(edited, context, encoder, cache), *found] if edited else found)
    signals = rows - rows[len(edited) :].mean(axis=0)
    sizes = np.linalg.norm(signals, axis=1, keepdims=True)
    units = np.divide(signals, sizes, out=np.zeros_like(signals), where=sizes > 0)
    return np.asarray(units @ units.T)


def share_of_words(prompts: Sequence[str], words: Collection[str]) -> float:
    """Return the share of the words in `prompts` that are among `words`; words of one or two letters do not count."""
    known = frozenset(words)
    found = [word for prompt in prompts for word in _long_words(prompt)]
    return sum(word in known for word in found) / max(1, len(found))


def readable(prompts: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts of whose words at least the share READABLE is among `words`."""
    known = frozenset(words)
    return tuple(prompt for prompt in prompts if share_of_words([prompt], known) >= READABLE)


def readable_contexts(contexts: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return the contexts all of whose words are among `words`: in others, pieces of words would count as much as the
    word itself. All contexts where that leaves none."""
    bare, listed = [context.replace("{}", " ") for context in contexts], frozenset(words)
    known = tuple(
        context
        for context, text in zip(contexts, bare, strict=True)
        if not _long_words(text) or share_of_words([text], listed) == 1
    )
    return known or tuple(contexts)


def _long_words(prompt: str) -> list[str]:
    """Return the words of a prompt, in lower case, that have at least three letters."""
    return [word for word in plain_words(prompt) if len(word) > 2]


def _signals(names: Sequence[str], context: str, encoder: Encoder, cache: Cache | None) -> Array:
    """Return the mean row after the text, (n, d), of each name in a context."""
    prompts = [fill_context(context, name) for name in names]

    def rows() -> Mapping[str, Array]:
        return {"rows": _mean_rows(encoder, prompts)}

    mark, kind = encoder.fingerprint(), "words of a vocabulary"
    return load_or_compute(prompts, "rows after text", rows, cache, mark, kind, ["rows"])["rows"]


def _mean_rows(encoder: Encoder, prompts: Sequence[str]) -> Array:
    """Return the mean row after the text of each prompt, (n, d)."""
    return np.array([rows_after(encoded).mean(axis=0) for encoded in encoder.encode(prompts)])
