"""What is kept: which prompts, and what solver and verify need of their rows, kept from one build to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from operator import add
from typing import Literal, TypeAlias

import numpy as np

from editc.ir import Array
from editc.numerics.subspace import condensed
from editc.passes.phrases import last_subject, spoken
from editc.ports import Cache, Encoded, Encoder
from editc.request import Manifest

Which: TypeAlias = Literal["all", "last"]
CHUNK = 64
"""Prompts encoded at a time, so that memory does not grow with the corpus."""
LAYOUT = "tally 1"
"""Goes into the key of what is cached: to be changed with what is computed."""


def prompts(manifest: Manifest, contexts: Sequence[str], corpus: Sequence[str]) -> tuple[str, ...]:
    """Every preserved prompt once: concepts through the contexts, prompts as they stand, files; else the corpus.

    A prompt that names an edited concept is left out: what is erased is not kept.
    """
    preserve = manifest.preserve
    asked = [spoken(context, concept) for concept in preserve.concepts for context in contexts]
    asked += [*preserve.prompts, *manifest.kept]
    edited = [name for request in manifest.edits if request.kind != "moderate" for name in request.names]
    return tuple(dict.fromkeys(p for p in asked or corpus if not any(mentions(p, name) for name in edited)))


def mentions(prompt: str, name: str) -> bool:
    """True if the words of `name` stand together in `prompt`, whatever the case."""
    words, sought = _words(prompt), _words(name)
    return bool(sought) and any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


@dataclass(frozen=True)
class Tally:
    """What a list of prompts leaves behind, small whatever its length.

    `rows` (d, k) are its rows condensed, k at most d: |X rows| is that of all `count` rows for every X.
    """

    rows: Array
    count: int
    prompts: int

    def __add__(self, other: Tally) -> Tally:
        """Of both lists together."""
        rows = condensed(np.hstack([self.rows, other.rows]))
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

    With a cache it is computed once for a `mark` (which says all that the rows hang on) and a list, and is the same bit
    for bit when it comes from there.
    """
    return _unpacked(remembered(listed, which, lambda: _packed(_computed(listed, encoder, which)), cache, mark))


def remembered(
    listed: Sequence[str], what: str, compute: Callable[[], Mapping[str, Array]], cache: Cache | None, mark: str
) -> Mapping[str, Array]:
    """What `compute` makes of these prompts, from the cache where it is there; `what` names the computation."""
    if cache is None or not mark:
        return compute()
    key = _key(listed, mark, what)
    kept = cache.get(key)
    if kept is None:
        kept = compute()
        cache.put(key, kept)
    return kept


def single_rows(listed: Sequence[str], encoder: Encoder, which: Which = "all") -> Array:
    """The rows (d, n) that a tally sums up, one by one, each prompt's in turn."""
    return np.vstack([one.rows[_pick(one, which)] for one in encoder.encode(listed)]).T


def tally_of(encoded: Sequence[Encoded], which: Which = "all") -> Tally:
    """The tally of prompts that are encoded already."""
    picked = [_pick(one, which) for one in encoded]
    rows = np.vstack([one.rows[pick] for one, pick in zip(encoded, picked, strict=True)])
    return Tally(condensed(rows.T), len(rows), len(encoded))


def _computed(listed: Sequence[str], encoder: Encoder, which: Which) -> Tally:
    chunks = (listed[start : start + CHUNK] for start in range(0, len(listed), CHUNK))
    return reduce(add, (tally_of(encoder.encode(chunk), which) for chunk in chunks))


def _pick(encoded: Encoded, which: Which) -> slice:
    at = last_subject(encoded)
    return slice(None) if which == "all" else slice(at, at + 1)


def _packed(found: Tally) -> Mapping[str, Array]:
    return {"rows": found.rows, "sizes": np.array([found.count, found.prompts], np.float64)}


def _unpacked(arrays: Mapping[str, Array]) -> Tally:
    """In one memory layout wherever the arrays come from, for BLAS may round differently by layout."""
    count, prompts = map(int, arrays["sizes"])
    return Tally(np.array(arrays["rows"], np.float64, order="C"), count, prompts)


def _key(listed: Sequence[str], mark: str, what: str) -> str:
    """sha256 over the encoder and every prompt, each with its length before it."""
    told = sha256()
    for part in (LAYOUT, what, mark, *listed):
        data = part.encode("utf-8", "surrogatepass")
        told.update(len(data).to_bytes(8, "little") + data)
    return told.hexdigest()
