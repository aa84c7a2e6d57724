"""What is kept: which prompts, and what solver and verify need of their rows, kept from one build to the next."""

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
MEAN_PIECE = 16
"""Prompts encoded at a time, on average. A piece ends where the last prompt's hash says so: a list that lacks a prompt
is cut up alike everywhere else, so that of a corpus without the prompts that name a new concept little is encoded."""
LONGEST_PIECE = 64
"""Prompts in a piece at most."""
PIECES_AT_ONCE = 4
"""Pieces condensed at a time, so that memory does not grow with the corpus."""
CACHED_BYTES = 1 << 29
"""Bytes of rows, as float32, that are kept of one list: the everyday prompts as SDXL reads them take 315 MB."""


@dataclass(frozen=True)
class PreservedPrompts:
    """What must stay, every prompt once a list; prompts that name an edited concept are in neither."""

    default: tuple[str, ...]
    """The model's own list or the everyday one, whatever the manifest names."""
    named: tuple[str, ...]
    """What the manifest preserves: its concepts through the contexts, its prompts, the lines of its files."""


def preserved_prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> PreservedPrompts:
    """Both lists for a manifest; `corpus` is the default one. What is edited is not preserved."""
    preserve = manifest.preserve
    asked = [fill_context(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.preserve_lines]
    edited = [name for request in manifest.image_edits if request.kind != "moderate" for name in request.names]
    return PreservedPrompts(_drop_edited(corpus, edited), _drop_edited(asked, edited))


def _drop_edited(listed: Sequence[str], edited: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p for p in listed if not any(mentions(p, name) for name in edited)))


@dataclass(frozen=True)
class CondensedRows:
    """What a list of prompts leaves behind, small whatever its length."""

    rows: Array
    """(d, k), k at most d: its rows condensed, so that |X rows| is that of all `count` rows for every X."""
    row_count: int
    """How many rows the list has."""
    prompt_count: int
    """How many prompts."""

    def __add__(self, other: CondensedRows) -> CondensedRows:
        """Of both lists together."""
        rows = condense(np.hstack([self.rows, other.rows]))
        return CondensedRows(rows, self.row_count + other.row_count, self.prompt_count + other.prompt_count)

    @property
    def outer_sum(self) -> Array:
        """sum c c^T over all rows, (d, d)."""
        return np.asarray(self.rows @ self.rows.T)

    @property
    def mean_square(self) -> float:
        """The mean square of a row's entries."""
        return float(np.sum(self.rows**2) / (self.row_count * len(self.rows)))


def condense_prompts(
    listed: Sequence[str], encoder: Encoder, cache: Cache | None = None, which: WhichRows = "all", mark: str = ""
) -> CondensedRows:
    """The tally of all rows of these prompts, at least one, or of the last row of each that stands for text.

    With a cache it is computed once for a `mark` (which says all that the rows hang on) and a list, from the rows of
    the list's pieces that other lists left there, and is the same bit for bit when it comes from there.
    """
    condenser = PromptCondenser(encoder, which, cache, mark, CACHED_BYTES // len(listed))
    return _unpack(load_or_compute(listed, which, lambda: _pack(condenser.condense(listed)), cache, mark))


@dataclass(frozen=True)
class SizeLimitedCache:
    """A cache that is given small results alone."""

    cache: Cache
    """The cache."""
    limit: int
    """Bytes, as float32, that it is given in one go."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """What the cache holds."""
        return self.cache.get(key)

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Into the cache, where it is small enough."""
        if 4 * sum(array.size for array in arrays.values()) <= self.limit:
            self.cache.put(key, arrays)


def list_rows(listed: Sequence[str], encoder: Encoder, which: WhichRows = "all") -> Array:
    """The rows (d, n) that a tally sums up, one by one, each prompt's in turn."""
    return _stack_rows(encoder.encode(listed), which).T


def condense_encoded(encoded: Sequence[EncodedPrompt], which: WhichRows = "all") -> CondensedRows:
    """The tally of prompts that are encoded already."""
    rows = _stack_rows(encoded, which)
    return CondensedRows(condense(rows.T), len(rows), len(encoded))


def split_into_pieces(listed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The list cut up after every prompt whose own hash says so."""
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
    """Encodes prompts piece by piece; the rows of a piece come from the cache, or go into it if they are few."""

    encoder: Encoder
    """What makes the rows."""
    which: WhichRows
    """Which rows of a prompt."""
    cache: Cache | None
    """None keeps nothing."""
    mark: str
    """Names the rows that the encoder makes; see `Reader.mark`."""
    bytes_per_prompt: int
    """Bytes for each prompt that the cache is given at most."""

    def condense(self, listed: Sequence[str]) -> CondensedRows:
        """Of all the list, AT_ONCE pieces condensed at a time."""
        cut = list(split_into_pieces(listed))
        return reduce(
            add,
            (
                self._condense_pieces(cut[start : start + PIECES_AT_ONCE])
                for start in range(0, len(cut), PIECES_AT_ONCE)
            ),
        )

    def _condense_pieces(self, cut: Sequence[Sequence[str]]) -> CondensedRows:
        rows = np.vstack([self._piece_rows(piece) for piece in cut])
        return CondensedRows(condense(rows.T), len(rows), sum(map(len, cut)))

    def _piece_rows(self, piece: Sequence[str]) -> Array:
        cache = None if self.cache is None else SizeLimitedCache(self.cache, self.bytes_per_prompt * len(piece))
        what = f"rows {self.which}"
        found = load_or_compute(
            piece, what, lambda: {"rows": _stack_rows(self.encoder.encode(piece), self.which)}, cache, self.mark
        )
        return found["rows"]


def _stack_rows(encoded: Sequence[EncodedPrompt], which: WhichRows) -> Array:
    """The rows (n, d) that a tally sums up."""
    return np.vstack([one.rows[_select(one, which)] for one in encoded])


def _select(encoded: EncodedPrompt, which: WhichRows) -> slice:
    at = last_text_row(encoded)
    return slice(None) if which == "all" else slice(at, at + 1)


def _pack(found: CondensedRows) -> Mapping[str, Array]:
    return {"rows": found.rows, "sizes": np.array([found.row_count, found.prompt_count], np.float64)}


def _unpack(arrays: Mapping[str, Array]) -> CondensedRows:
    """In one memory layout wherever the arrays come from, for BLAS may round differently by layout."""
    count, prompts = map(int, arrays["sizes"])
    return CondensedRows(np.array(arrays["rows"], np.float64, order="C"), count, prompts)
