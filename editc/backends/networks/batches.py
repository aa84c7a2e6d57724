"""Texts of similar length, put together into batches and padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

BATCH_TOKENS = 2048
"""Tokens in a batch at most, padding included. Chosen by hand."""
SPARE_PADDING = 24
"""Padding tokens that a batch may always have. Chosen by hand: they cost about as much as another run, which reads all
weights again."""


def batches(ids: Sequence[Sequence[int]], spare: int = SPARE_PADDING) -> Iterator[list[int]]:
    """Yield the numbers of texts of similar length, one batch after the other.

    A batch has at most BATCH_TOKENS tokens with its padding. Its padding is at most `spare`, or an eighth of its text
    if that is more.
    """
    some: list[int] = []
    text = 0
    for i in sorted(range(len(ids)), key=lambda i: (len(ids[i]), i)):
        whole = (len(some) + 1) * len(ids[i])
        text += len(ids[i])
        if some and (whole > BATCH_TOKENS or whole - text > max(spare, text // 8)):
            yield some
            some, text = [], len(ids[i])
        some.append(i)
    if some:
        yield some


def pad_tokens(ids: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Pad texts on the right. Return the tokens (n, t) and the mask (n, t), 1 where a token is text."""
    import torch

    longest = max(map(len, ids))
    given = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
    return given, torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
