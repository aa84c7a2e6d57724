"""Encodes and condenses a list of prompts piece by piece, so that memory is bounded and a killed build goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from editc.core.delta import Array
from editc.core.ports import Cache, Encoder, Progress
from editc.core.storage.caching import is_cached, load_or_compute, text_key
from editc.numerics.subspace import condense
from editc.passes.images.rows.grouped import GroupedEncoder
from editc.passes.images.rows.preserved_rows import CondensedRows, WhichRows, stack_rows

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
CONDENSED, ROWS, SO_FAR = "preserved prompts, condensed", "preserved prompts", "preserved prompts, begun"
"""What `editc cache list` calls the entries of a list: the result, the rows of a piece, and a list that was begun."""


def condense_prompts(
    listed: Sequence[str],
    encoder: Encoder,
    cache: Cache | None = None,
    which: WhichRows = "all",
    mark: str = "",
    progress: Progress | None = None,
) -> CondensedRows:
    """Condense the rows of at least one prompt; `which` says which rows of a prompt count.

    With a cache the result is computed once for a list and a `mark`, which names everything that the rows depend on
    (see `TextStream.mark`). Pieces that an earlier list had too are not encoded again, nor those that a build had done
    when it was killed. A result from the cache is the same bit for bit. `progress` shows the prompts that are encoded.
    """
    condenser = PromptCondenser(encoder, which, cache, mark, CACHED_BYTES // len(listed), progress)
    return unpack(
        load_or_compute(listed, which, lambda: pack(condenser.condense(listed)), cache, mark, CONDENSED, PACKED)
    )


@dataclass(frozen=True)
class SizeLimitedCache:
    """A cache that stores only results up to a size."""

    cache: Cache
    """The cache behind it."""
    limit: int
    """The size in bytes, with arrays as float32, of the largest result that is stored."""

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        """Return the arrays that the cache has under `key`, or None."""
        return self.cache.get(key, names)

    def has(self, key: str) -> bool:
        """Return whether the cache has an entry under `key`."""
        return self.cache.has(key)

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        """Store the arrays if they are small enough."""
        if 4 * sum(array.size for array in arrays.values()) <= self.limit:
            self.cache.put(key, arrays, kind)


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

    The rows of a piece come from the cache, or go into it if they fit. Where they do not, the cache gets what is
    condensed so far after each group of pieces. In both cases a list that was begun is not begun anew.
    """

    encoder: Encoder
    """Makes the rows."""
    which: WhichRows
    """Which rows of a prompt count."""
    cache: Cache | None
    """None: nothing is cached."""
    mark: str
    """Part of the cache keys; see `TextStream.mark`. With an empty one nothing is cached."""
    bytes_per_prompt: int
    """Bytes that a piece may take in the cache, for each of its prompts."""
    progress: Progress | None = None
    """Shows how many prompts are encoded. None: nothing is shown."""

    def condense(self, listed: Sequence[str]) -> CondensedRows:
        """Condense the whole list, PIECES_AT_ONCE pieces at a time, from where an earlier call was stopped."""
        cut = list(split_into_pieces(listed))
        done, total = self._begun(listed)
        pieces = self._with_progress(cut[done:])
        while done < len(cut):
            part, large = self._condense_pieces(list(islice(pieces, PIECES_AT_ONCE)))
            total = part if total is None else total + part
            done = min(done + PIECES_AT_ONCE, len(cut))
            if large:
                self._store(listed, done, None if done == len(cut) else total)
        assert total is not None
        return total

    def _condense_pieces(self, cut: Sequence[Sequence[str]]) -> tuple[CondensedRows, bool]:
        """Condense some pieces together, and say whether their rows are too large for the cache."""
        encoder = GroupedEncoder(self.encoder, [tuple(piece) for piece in cut if self._is_new(piece)])
        rows = np.vstack([self._piece_rows(piece, encoder) for piece in cut])
        prompts = sum(map(len, cut))
        return CondensedRows(condense(rows.T), len(rows), prompts), 4 * rows.size > self.bytes_per_prompt * prompts

    def _piece_rows(self, piece: Sequence[str], encoder: Encoder) -> Array:
        """Return the rows (n, d) of one piece, from the cache or the encoder."""
        cache = None if self.cache is None else SizeLimitedCache(self.cache, self.bytes_per_prompt * len(piece))

        def rows() -> Mapping[str, Array]:
            return {"rows": stack_rows(encoder.encode(piece), self.which)}

        return load_or_compute(piece, self._what, rows, cache, self.mark, ROWS, ["rows"])["rows"]

    def _with_progress(self, cut: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Yield the pieces, and count the prompts of those that must be encoded, so that the time left is right after
        a start in the middle."""
        new = [self._is_new(piece) for piece in cut] if self.progress else []
        prompts = [prompt for piece, is_new in zip(cut, new, strict=False) if is_new for prompt in piece]
        if self.progress is None or not prompts:
            yield from cut
            return
        shown = iter(self.progress("encode prompts", prompts))
        for piece, is_new in zip(cut, new, strict=True):
            if is_new:
                list(islice(shown, len(piece)))
            yield piece
        list(shown)  # the loop counts its last prompts, and ends

    def _is_new(self, piece: Sequence[str]) -> bool:
        """Whether the rows of a piece must be computed."""
        return not is_cached(piece, self._what, self.cache, self.mark)

    @property
    def _what(self) -> str:
        """The part of a cache key that stands for the rows of a piece."""
        return f"rows {self.which}"

    def _begun(self, listed: Sequence[str]) -> tuple[int, CondensedRows | None]:
        """Return how many pieces of the list an earlier call condensed, and what it made of them."""
        if self.cache is None or not self.mark:
            return 0, None
        found = self.cache.get(text_key(listed, f"{self.which} begun", self.mark), ["done"])
        return (0, None) if not found or not {*PACKED} <= found.keys() else (int(found["done"][0]), unpack(found))

    def _store(self, listed: Sequence[str], done: int, total: CondensedRows | None) -> None:
        """Store what is condensed so far; nothing in its place where the list is done."""
        if self.cache is not None and self.mark:
            arrays = {} if total is None else pack(total)
            key = text_key(listed, f"{self.which} begun", self.mark)
            self.cache.put(key, {**arrays, "done": np.array([done], np.float64)}, SO_FAR)


PACKED = ("rows", "sizes")
"""The names of the arrays of `pack`."""


def pack(found: CondensedRows) -> Mapping[str, Array]:
    """Put condensed rows into arrays for the cache."""
    return {"rows": found.rows, "sizes": np.array([found.row_count, found.prompt_count], np.float64)}


def unpack(arrays: Mapping[str, Array]) -> CondensedRows:
    """Take condensed rows out of arrays, in C order wherever they come from: BLAS may round differently by layout."""
    count, prompts = map(int, arrays["sizes"])
    return CondensedRows(np.array(arrays["rows"], np.float64, order="C"), count, prompts)
