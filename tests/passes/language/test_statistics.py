"""The second moment of what matrices read: the corpus, and what is computed once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico

from editc.cache.disk import DiskCache
from editc.core.network import SecondMoment
from editc.passes.language.keys import moments as statistics

NAMES = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 2)]


@dataclass
class Counting:
    """A network that says what it was asked to compute."""

    network: Any
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def moments(self, names: Sequence[str], texts: Sequence[str], tokens: int) -> Mapping[str, SecondMoment]:
        self.asked.append(tuple(names))
        return self.network.moments(names, texts, tokens)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def test_every_matrix_is_computed_once_for_a_model_and_a_corpus(tmp_path: Path) -> None:
    texts, cache = statistics.corpus(), DiskCache(tmp_path)
    counting = Counting(pico.network("llama"))
    first = statistics.moments(counting, NAMES[:1], texts, cache)
    assert counting.asked == [(NAMES[0],)] and 240 <= first[NAMES[0]].count <= 400
    both = statistics.moments(counting, NAMES, texts, cache)
    assert counting.asked == [(NAMES[0],), (NAMES[1],)]
    for _ in range(2):
        again = statistics.moments(counting, NAMES, texts, cache)
        assert all(np.array_equal(again[name].second, both[name].second) for name in NAMES)
    assert len(counting.asked) == 2
    plain = statistics.moments(counting.network, NAMES, texts)
    assert all(np.array_equal(plain[name].second, both[name].second) for name in NAMES)
    assert (
        np.array_equal(first[NAMES[0]].second, both[NAMES[0]].second) and first[NAMES[0]].count == both[NAMES[0]].count
    )


def test_another_model_corpus_or_size_is_computed_anew(tmp_path: Path) -> None:
    texts, cache = statistics.corpus(), DiskCache(tmp_path)
    networks = [Counting(pico.network("llama", seed=seed)) for seed in (0, 1)]
    for counting in networks:
        statistics.moments(counting, NAMES, texts, cache, tokens=300)
    statistics.moments(networks[0], NAMES, texts[1:], cache, tokens=300)
    statistics.moments(networks[0], NAMES, texts, cache, tokens=400)
    assert [len(counting.asked) for counting in networks] == [3, 1]


def test_the_default_corpus_is_large_enough_and_a_text_is_read_by_paragraphs() -> None:
    default = statistics.corpus()
    assert len(default) > 300 and sum(map(len, default)) > 100_000 and min(map(len, default)) >= 200
    twice = "A short one.\r\n\r\n" + "Long words. " * 30 + "\r\n\r\n" + "Long words. " * 30
    assert statistics.corpus(twice) == (("Long words. " * 30).strip(),)
    assert statistics.corpus("Short.\n\nOnes.") == ("Short.", "Ones.")
    with pytest.raises(LookupError, match="has no text"):
        statistics.corpus("\n\n")


def test_texts_are_spread_over_the_whole_corpus() -> None:
    texts = [f"{number:04}" for number in range(1000)]
    found = statistics.sample_texts(texts, 400)
    assert len(found) == 100 and found[0] == "0000" and found[-1] == "0990"
    assert statistics.sample_texts(texts, 10**9) == tuple(texts) and statistics.sample_texts(texts, 1) == ("0000",)
