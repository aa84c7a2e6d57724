"""A corpus of prompts, an encoder that counts what it is asked for, and a cache in a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from derive_cases import WordEncoder

from editc.core.delta import Array
from editc.core.ports import EncodedPrompt
from editc.numerics.ball import Ball

WORDS = ["an", "old", "red", "house", "stands", "near", "the", "quiet", "sea", "while", "one", "dog", "runs", "over"]
PROMPTS = tuple(" ".join([*WORDS[i % 11 : i % 11 + 2 + i % 3], str(i)]) for i in range(150))


class Counting(WordEncoder):
    """Remembers every prompt that it was asked for."""

    def __init__(self, mark: str = "fake") -> None:
        self.asked: list[str] = []
        self.mark = mark

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        self.asked += prompts
        return super().encode(prompts)

    def fingerprint(self) -> str:
        return self.mark

    def bounds(self) -> tuple[Ball, ...]:
        return ()


@dataclass
class Memory:
    """The port, in a dictionary."""

    held: dict[str, Mapping[str, Array]] = field(default_factory=dict)

    def get(self, key: str, names: Iterable[str] = ()) -> Mapping[str, Array] | None:
        return self.held.get(key)

    def has(self, key: str) -> bool:
        return key in self.held

    def put(self, key: str, arrays: Mapping[str, Array], kind: str = "") -> None:
        self.held[key] = {name: array.copy() for name, array in arrays.items()}
