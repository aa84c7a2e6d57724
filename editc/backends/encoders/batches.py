"""Encode prompts in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from editc.core.ports import EncodedPrompt

BATCH = 64
"""Prompts in one run of an encoder. Chosen by hand."""


def encode_batches(
    prompts: Sequence[str], encode: Callable[[Sequence[str]], Iterable[EncodedPrompt]]
) -> Sequence[EncodedPrompt]:
    """Encode the distinct prompts, BATCH at a time, and return the results in the order of `prompts`."""
    distinct = list(dict.fromkeys(prompts))
    found: dict[str, EncodedPrompt] = {}
    for start in range(0, len(distinct), BATCH):
        chunk = distinct[start : start + BATCH]
        found |= dict(zip(chunk, encode(chunk), strict=True))
    return [found[prompt] for prompt in prompts]
