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
from editc.passes.images.rows.phrases import fill_context, last_subject

Which: TypeAlias = Literal["all", "last"]
PIECE = 16
"""Prompts encoded at a time, on average. A piece ends where the last prompt's hash says so: a list that lacks a prompt
is cut up alike everywhere else, so that of a corpus without the prompts that name a new concept little is encoded."""
LONGEST = 64
"""Prompts in a piece at most."""
AT_ONCE = 4
"""Pieces condensed at a time, so that memory does not grow with the corpus."""
SPARE = 1 << 29
"""Bytes of rows, as float32, that are kept of one list: the everyday prompts as SDXL reads them take 315 MB."""


@dataclass(frozen=True)
class Prompts:
    """What must stay, every prompt once a list; prompts that name an edited concept are in neither."""

    default: tuple[str, ...]
    """The model's own list or the everyday one, whatever the manifest names."""
    named: tuple[str, ...]
    """What the manifest preserves: its concepts through the contexts, its prompts, the lines of its files."""


def prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> Prompts:
    """Both lists for a manifest; `corpus` is the default one. What is edited is not preserved."""
    preserve = manifest.preserve
    asked = [fill_context(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.preserve_lines]
    edited = [name for request in manifest.image_edits if request.kind != "moderate" for name in request.names]
    return Prompts(_without(corpus, edited), _without(asked, edited))


def _without(listed: Sequence[str], edited: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p for p in listed if not any(mentions(p, name) for name in edited)))


@dataclass(frozen=True)
class Tally:
    """What a list of prompts leaves behind, small whatever its length."""

    rows: Array
    """(d, k), k at most d: its rows condensed, so that |X rows| is that of all `count` rows for every X."""
    count: int
    """How many rows the list has."""
    prompts: int
    """How many prompts."""

    def __add__(self, other: Tally) -> Tally:
        """Of both lists together."""
        rows = condense(np.hstack([self.rows, other.rows]))
        return Tally(rows, self.count + other.count, self.prompts + other.prompts)

    @property
    def total(self) -> Array:
        """sum c c^T over all rows, (d, d)."""
        return np.asarray(self.rows @ self.rows.T)

    @property
    def square(self) -> float:
        """The mean square of a row's entries."""
        return float(np.sum(self.rows**2) / (self.count * len(self.rows)))


def tally(
    listed: Sequence[str], encoder: Encoder, cache: Cache | None = None, which: Which = "all", mark: str = ""
) -> Tally:
    """The tally of all rows of these prompts, at least one, or of the last row of each that stands for text.

    With a cache it is computed once for a `mark` (which says all that the rows hang on) and a list, from the rows of
    the list's pieces that other lists left there, and is the same bit for bit when it comes from there.
    """
    reading = CachedReader(encoder, which, cache, mark, SPARE // len(listed))
    return _unpacked(load_or_compute(listed, which, lambda: _packed(reading.tally(listed)), cache, mark))


@dataclass(frozen=True)
class SizeLimitedCache:
    """A cache that is given small results alone."""

    cache: Cache
    """The cache."""
    most: int
    """Bytes, as float32, that it is given in one go."""

    def get(self, key: str) -> Mapping[str, Array] | None:
        """What the cache holds."""
        return self.cache.get(key)

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Into the cache, where it is small enough."""
        if 4 * sum(array.size for array in arrays.values()) <= self.most:
            self.cache.put(key, arrays)


def single_rows(listed: Sequence[str], encoder: Encoder, which: Which = "all") -> Array:
    """The rows (d, n) that a tally sums up, one by one, each prompt's in turn."""
    return _rows(encoder.encode(listed), which).T


def tally_of(encoded: Sequence[EncodedPrompt], which: Which = "all") -> Tally:
    """The tally of prompts that are encoded already."""
    rows = _rows(encoded, which)
    return Tally(condense(rows.T), len(rows), len(encoded))


def pieces(listed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The list cut up after every prompt whose own hash says so."""
    piece: list[str] = []
    for prompt in listed:
        piece.append(prompt)
        last = int.from_bytes(sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8]) % PIECE == 0
        if last or len(piece) == LONGEST:
            yield tuple(piece)
            piece = []
    if piece:
        yield tuple(piece)


@dataclass(frozen=True)
class CachedReader:
    """Encodes prompts piece by piece; the rows of a piece come from the cache, or go into it if they are few."""

    encoder: Encoder
    """What makes the rows."""
    which: Which
    """Which rows of a prompt."""
    cache: Cache | None
    """None keeps nothing."""
    mark: str
    """Names the rows that the encoder makes; see `Reader.mark`."""
    share: int
    """Bytes for each prompt that the cache is given at most."""

    def tally(self, listed: Sequence[str]) -> Tally:
        """Of all the list, AT_ONCE pieces condensed at a time."""
        cut = list(pieces(listed))
        return reduce(add, (self._some(cut[start : start + AT_ONCE]) for start in range(0, len(cut), AT_ONCE)))

    def _some(self, cut: Sequence[Sequence[str]]) -> Tally:
        rows = np.vstack([self._rows(piece) for piece in cut])
        return Tally(condense(rows.T), len(rows), sum(map(len, cut)))

    def _rows(self, piece: Sequence[str]) -> Array:
        cache = None if self.cache is None else SizeLimitedCache(self.cache, self.share * len(piece))
        what = f"rows {self.which}"
        found = load_or_compute(
            piece, what, lambda: {"rows": _rows(self.encoder.encode(piece), self.which)}, cache, self.mark
        )
        return found["rows"]


def _rows(encoded: Sequence[EncodedPrompt], which: Which) -> Array:
    """The rows (n, d) that a tally sums up."""
    return np.vstack([one.rows[_pick(one, which)] for one in encoded])


def _pick(encoded: EncodedPrompt, which: Which) -> slice:
    at = last_subject(encoded)
    return slice(None) if which == "all" else slice(at, at + 1)


def _packed(found: Tally) -> Mapping[str, Array]:
    return {"rows": found.rows, "sizes": np.array([found.count, found.prompts], np.float64)}


def _unpacked(arrays: Mapping[str, Array]) -> Tally:
    """In one memory layout wherever the arrays come from, for BLAS may round differently by layout."""
    count, prompts = map(int, arrays["sizes"])
    return Tally(np.array(arrays["rows"], np.float64, order="C"), count, prompts)
