"""Rows that a network had between two of its blocks, of the prompts that went through it last."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from editc.backends.encoders.arrays import Floats, Ids, Seen

PROMPTS = 64
"""Prompts whose rows are held at most. Chosen by hand: one call of an encoder; of OpenCLIP-bigG 25 MB."""


@dataclass(frozen=True)
class RecentRows:
    """Rows (t, d) behind one block of a network. Nothing but the tokens of a prompt decides them."""

    found: dict[bytes, Floats] = field(default_factory=dict, compare=False, repr=False)
    """The tokens of a prompt, and which of them are no padding -> its rows."""

    def put(self, ids: Ids, seen: Seen | None, rows: Floats) -> None:
        """Hold the rows (n, t, d) of tokens (n, t), in place of those that were put first."""
        for name, one in zip(_names(ids, seen), rows, strict=True):
            self.found.pop(name, None)
            self.found[name] = one.copy()
        for name in list(self.found)[:-PROMPTS]:
            del self.found[name]

    def get(self, ids: Ids, seen: Seen | None) -> Floats | None:
        """Return the rows (n, t, d) of tokens (n, t), a copy. None where those of some prompt are not held."""
        names = _names(ids, seen)
        return np.stack([self.found[name] for name in names]) if self.found.keys() >= set(names) else None


def _names(ids: Ids, seen: Seen | None) -> list[bytes]:
    """Name each prompt by its tokens."""
    return [row.tobytes() + (b"" if seen is None else seen[index].tobytes()) for index, row in enumerate(ids)]
