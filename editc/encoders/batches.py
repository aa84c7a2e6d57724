"""Prompts to an encoder in batches, and the model libraries kept quiet."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from editc.ports import Encoded

BATCH = 64


def batched(prompts: Sequence[str], encode: Callable[[Sequence[str]], Iterable[Encoded]]) -> Sequence[Encoded]:
    """`encode` over the distinct prompts, BATCH at a time, the results in the order of `prompts`."""
    distinct = list(dict.fromkeys(prompts))
    found: dict[str, Encoded] = {}
    for start in range(0, len(distinct), BATCH):
        chunk = distinct[start : start + BATCH]
        found |= dict(zip(chunk, encode(chunk), strict=True))
    return [found[prompt] for prompt in prompts]


@contextmanager
def quiet() -> Iterator[None]:
    """The model libraries' own warnings and progress bars held back; errors are not."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
