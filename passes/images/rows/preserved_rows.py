"""The prompts that are preserved, and their rows condensed to a small matrix that is cached between builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from operator import add
from typing import Literal, TypeAlias

import numpy as np

from editc.core.caching import load_or_compute
from editc.core.delta import Array
from editc.core.manifest import Manifest
from editc.core.ports import Cache, EncodedPrompt, Encoder
from editc.core.text import mentions
from editc.numerics.subspace import condense
from editc.passes.images.rows.phrases import fill_context, last_text_row

WhichRows: TypeAlias = Literal["all", "last"]
"""The rows of a prompt that count: all of them, or that of the last text token."""
MEAN_PIECE = 16
"""Prompts in a piece on average. A piece ends after a prompt whose hash is divisible by this number. So a list that
lacks a prompt has the same pieces everywhere else: where a new concept takes its prompts out of the corpus, only their
pieces are encoded again. Chosen by hand: shorter pieces share more and make more calls of the encoder."""
LONGEST_PIECE = 64
"""Prompts in a piece at most. Chosen by hand: four times the mean."""
PIECES_AT_ONCE = 4
"""Pieces that are condensed together, so that memory does not grow with the corpus. Chosen by hand."""
CACHED_BYTES = 1 << 29
"""Bytes of rows, as float32, that are cached of one list at most. The everyday prompts take 315 MB for SDXL."""


@dataclass(frozen=True)
class PreservedPrompts:
    """The two lists of preserved prompts.

    A prompt stands once in a list; prompts that name an edited concept in neither.
    """

    default: tuple[str, ...]
    """The default list: the model's own prompts, or everyday prompts and the words that the model knows."""
    named: tuple[str, ...]
    """What the manifest names under `preserve`: its concepts in every context, its prompts, the lines of its files."""


def preserved_prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> PreservedPrompts:
    """Make both lists for a manifest, without the prompts that name an edited concept. `corpus` is the default list."""
    preserve = manifest.preserve
    asked = [fill_context(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.preserve_lines]
    edited = [name for request in manifest.image_edits if request.kind != "moderate" for name in request.names]
    return PreservedPrompts(_drop_edited(corpus, edited), _drop_edited(asked, edited))


def _drop_edited(listed: Sequence[str], edited: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts that mention none of the edited names, each once."""
    return tuple(dict.fromkeys(p for p in listed if not any(mentions(p, name) for name in edited)))


@dataclass(frozen=True)
class CondensedRows:
    """The rows of a list of prompts, condensed: at most d columns, however long the list is."""

    rows: Array
    """(d, k), k at most d: condensed so that |X rows| (Frobenius) is that of all `row_count` rows, for every X."""
    row_count: int
    """The number of rows before condensing."""
    prompt_count: int
    """The number of prompts."""

    def __add__(self, other: CondensedRows) -> CondensedRows:
        """Condense both lists together."""
        rows = condense(np.hstack([self.rows, other.rows]))
        return CondensedRows(rows, self.row_count + other.row_count, self.prompt_count + other.prompt_count)

    @property
    def outer_sum(self) -> Array:
        """sum c c^T over all rows, (d, d)."""
        return np.asarray(self.rows @ self.rows.T)

    @property
    def mean_square(self) -> float:
        """The mean square of the entries of all rows."""
        return float(np.sum(self.rows**2) / (self.row_count * len(self.rows)))


def condense_prompts(
    listed: Sequence[str], encoder: Encoder, cache: Cache | None = None, which: WhichRows = "all", mark: str = ""
) -> CondensedRows:
    """Condense the rows of at least one prompt; `which` says which rows of a prompt count.

    With a cache the result is computed once for a list and a `mark`, which names everything that the rows depend on
    (see `TextStream.mark`). Pieces that an earlier list had too are not encoded again. A result from the cache is the
    same bit for bit.
    """
    condenser = PromptCondenser(encoder, which, cache, mark, CACHED_BYTES // len(listed))
    return _unpack(load_or_compute(listed, which, lambda: _pack(condenser.condense(listed)), cache, mark))


@dataclass(frozen=True)
class SizeLimitedCache:
    """A cache that stores only results up to a size."""

    cache: Cache
    """The cache behind it."""
    limit: int
    """The size in bytes, with arrays as float32, of the largest result that is stored."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """Return the arrays that the cache has under `key`, or None."""
        return self.cache.get(key)

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Store the arrays if they are small enough."""
        if 4 * sum(array.size for array in arrays.values()) <= self.limit:
            self.cache.put(key, arrays)


def list_rows(listed: Sequence[str], encoder: Encoder, which: WhichRows = "all") -> Array:
    """Return the rows (d, n) of these prompts one by one, a column each, in the order of the prompts."""
    return _stack_rows(encoder.encode(listed), which).T


def condense_encoded(encoded: Sequence[EncodedPrompt], which: WhichRows = "all") -> CondensedRows:
    """Condense the rows of prompts that are encoded already."""
    rows = _stack_rows(encoded, which)
    return CondensedRows(condense(rows.T), len(rows), len(encoded))


def split_into_pieces(listed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Cut the list into pieces: after each prompt whose hash is divisible by MEAN_PIECE, and after LONGEST_PIECE
    prompts."""
    piece: list[str] = []
    for prompt in listed:
        piece.append(prompt)
        last = int.from_bytes(sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8]) % MEAN_PIECE == 0
        if last or len(piece) == LONGEST_PIECE:
            yield tuple(piece)
            piece = []
    if piece:
        yield tuple(piece)


@dataclass(frozen=True)
class PromptCondenser:
    """Encodes and condenses prompts piece by piece.

    The rows of a piece come from the cache, or go into it if they fit.
    """

    encoder: Encoder
    """Makes the rows."""
    which: WhichRows
    """Which rows of a prompt count."""
    cache: Cache | None
    """None: nothing is cached."""
    mark: str
    """Part of the cache keys; see `TextStream.mark`."""
    bytes_per_prompt: int
    """Bytes that a piece may take in the cache, for each of its prompts."""

    def condense(self, listed: Sequence[str]) -> CondensedRows:
        """Condense the whole list, PIECES_AT_ONCE pieces at a time."""
        cut = list(split_into_pieces(listed))
        return reduce(
            add,
            (
                self._condense_pieces(cut[start : start + PIECES_AT_ONCE])
                for start in range(0, len(cut), PIECES_AT_ONCE)
            ),
        )

    def _condense_pieces(self, cut: Sequence[Sequence[str]]) -> CondensedRows:
        """Condense some pieces together."""
        rows = np.vstack([self._piece_rows(piece) for piece in cut])
        return CondensedRows(condense(rows.T), len(rows), sum(map(len, cut)))

    def _piece_rows(self, piece: Sequence[str]) -> Array:
        """Return the rows (n, d) of one piece, from the cache or the encoder."""
        cache = None if self.cache is None else SizeLimitedCache(self.cache, self.bytes_per_prompt * len(piece))
        what = f"rows {self.which}"
        found = load_or_compute(
            piece, what, lambda: {"rows": _stack_rows(self.encoder.encode(piece), self.which)}, cache, self.mark
        )
        return found["rows"]


def _stack_rows(encoded: Sequence[EncodedPrompt], which: WhichRows) -> Array:
    """Return the rows (n, d) that count, of all prompts one below the other."""
    return np.vstack([one.rows[_select(one, which)] for one in encoded])


def _select(encoded: EncodedPrompt, which: WhichRows) -> slice:
    """Return which rows of a prompt count."""
    at = last_text_row(encoded)
    return slice(None) if which == "all" else slice(at, at + 1)


def _pack(found: CondensedRows) -> Mapping[str, Array]:
    """Put condensed rows into arrays for the cache."""
    return {"rows": found.rows, "sizes": np.array([found.row_count, found.prompt_count], np.float64)}


def _unpack(arrays: Mapping[str, Array]) -> CondensedRows:
    """Take condensed rows out of arrays, in C order wherever they come from: BLAS may round differently by layout."""
    count, prompts = map(int, arrays["sizes"])
    return CondensedRows(np.array(arrays["rows"], np.float64, order="C"), count, prompts)
