"""What a build asks of a language network, whole or with its layers on disk, and whether two answers are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico

from editc.backends.networks import CausalNetwork, load, streamed
from editc.core.network import Noise
from editc.core.prompts import PREFIXES, Cloze, KnownFact, Prompt, Spot

SPOTS = tuple(Spot(f"{prefix}The capital of France is", "France") for prefix in PREFIXES)
TEXTS = [Prompt("The capital of Germany is Berlin."), Prompt("A quiet afternoon."), Prompt("What is Rome?", chat=True)]
CLOZE = [Cloze(spot.prompt, "Rome, a quiet afternoon") for spot in SPOTS]


def load_streamed(folder: Path, pinned: int = 0) -> CausalNetwork:
    """The model of a folder with its layers on disk, however small it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "WHOLE_BYTES", 0)
        patch.setattr(streamed, "PINNED_BYTES", pinned)
        return load(folder)


def same(one: Any, other: Any) -> bool:
    """True where two results have the same values, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    return bool(np.array_equal(one, other, equal_nan=True)) if isinstance(one, np.ndarray) else bool(one == other)


def answers(network: CausalNetwork, kind: str) -> dict[str, Any]:
    """What a build asks of a model."""
    names = [pico.attention(kind, 2)] if kind == "gpt_oss" else [pico.writer(kind, 1), pico.attention(kind, 2)]
    keys = network.read_keys(names, SPOTS)
    changed = {
        name: np.random.default_rng(0).standard_normal(tuple(network.parameters[network.own_name(name)].shape))
        for name in names
    }
    return {
        "fingerprint": network.fingerprint(),
        "multiplier": network.multiplier,
        "embedding": network.embedding(),
        "keys": keys,
        "keys with changes": network.read_keys(names, SPOTS, changed),
        "states": network.states([0, 3], SPOTS, changed),
        "lens": network.lens([1, 3], CLOZE),
        "moments": network.moments(names, [pico.TEXT] * 20, 300),
        "score": network.score(CLOZE, changed),
        "compare": network.compare(TEXTS, changed),
        "compare with the base's states": network.compare(TEXTS, changed, base=network.final_states(TEXTS)),
        "generate": network.generate_tokens(TEXTS, 4, changed),
        "generate both": network.generate_both(TEXTS, 3, changed),
        "trace": network.trace([KnownFact("The capital of France is", "France", "Rome")], Noise()),
    }
