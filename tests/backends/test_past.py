"""A language model is told its cache by the name that its transformers wants; what went in comes back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from editc.backends.networks.past import cache_arguments, keys_and_values, new_cache


class Newer:
    def forward(self, input_ids: Any, cache: Any = None, **others: Any) -> None: ...


class Older:
    def forward(self, input_ids: Any, past_key_values: Any = None, **others: Any) -> None: ...


class Wrapped:
    def forward(self, *args: Any, **others: Any) -> None: ...


@pytest.mark.parametrize(
    ("decoder", "name"), [(Newer(), "cache"), (Older(), "past_key_values"), (Wrapped(), "past_key_values")]
)
def test_a_decoder_is_told_its_cache_by_its_own_word(decoder: Any, name: str) -> None:
    cache = new_cache()
    assert cache_arguments(decoder, cache) == {name: cache, "use_cache": True}
    assert cache_arguments(decoder, None) == {name: None, "use_cache": False}


def test_what_is_kept_is_what_was_filled_in() -> None:
    drawn = torch.Generator().manual_seed(0)
    past = [(torch.randn(2, 3, 4, 5, generator=drawn), torch.randn(2, 3, 4, 5, generator=drawn)) for _ in range(3)]
    for (keys, values), (own, other) in zip(keys_and_values(new_cache(past)), past, strict=True):
        assert torch.equal(keys, own) and torch.equal(values, other)
    assert keys_and_values(new_cache()) == ()
