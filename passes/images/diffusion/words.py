"""Prompts with places for words whose embeddings are learned or searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from editc.core.ports import Diffusion


def places_in(model: Diffusion, context: str, count: int) -> tuple[Any, tuple[int, ...]]:
    """The token numbers (1, t) of a sentence with `count` places in its `{}`, and the numbers of these tokens. What
    does not fit is cut off at the end of the sentence."""
    import torch

    before, _, after = context.partition("{}")
    begin, end = bare_tokens(model, before), bare_tokens(model, after)
    (whole,) = model.tokens([""])
    first, last, pad = int(whole[0]), int(whole[1]), int(whole[-1])
    room = len(whole) - 2 - count
    begin = begin[:room]
    end = end[: room - len(begin)]
    ids = [first, *begin, *[last] * count, *end, last]
    ids += [pad] * (len(whole) - len(ids))
    return torch.tensor([ids]), tuple(range(1 + len(begin), 1 + len(begin) + count))


def bare_tokens(model: Diffusion, text: str) -> list[int]:
    """The token numbers of a text, without BOS, EOS and padding."""
    (ids,) = model.tokens([text])
    (empty,) = model.tokens([""])
    last = int(empty[1])
    found = ids.tolist()[1:]
    return [int(one) for one in found[: found.index(last)]] if last in found else [int(one) for one in found]


def words_of(model: Diffusion, ids: Sequence[int]) -> str:
    """A text that is read as these tokens, where each is one that somebody can type (`Diffusion.typed_tokens`)."""
    return " ".join(model.text_of([one]) for one in ids)  # tokenizers read what stands between spaces by itself


def fill_places(ids: Any, places: Sequence[int], tokens: Any) -> Any:
    """(n, t): `ids` (1, t) with `tokens` (n, k) at the places."""
    found = ids.repeat(len(tokens), 1)
    found[:, list(places)] = tokens
    return found
