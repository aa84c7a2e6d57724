"""T5 encoders: no BOS, EOS at the end of the text, and padding that other tokens may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.backends.encoders.batches import encode_batches
from editc.core.ports import Encoded
from editc.numerics.trust import Ball


@dataclass(frozen=True)
class T5Encoder:
    """The encoder half of a T5, reading `length` tokens in float32.

    masked: neither the encoder nor the edited layers see the padding (PixArt); then it has no rows.
    Otherwise (SD 3, FLUX) words, EOS and padding all see each other, and of the padding the rows at 1, 2, 4, 8, ...
    after EOS stand for the rest. T5 knows its positions by logarithmic buckets of their distance, so rows between
    these differ little; all 512 of them would be 17 MB a prompt.
    lowered: prompts are stripped and lower-cased, as PixArt's pipeline does.
    """

    tokenizer: Any
    model: Any
    length: int
    digest: str = ""
    masked: bool = False
    lowered: bool = False

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Each prompt's rows in order; equal prompts are encoded once."""
        return encode_batches(prompts, self._batch)

    def fingerprint(self) -> str:
        """As `formats.models.fingerprint` found it when the encoder was loaded."""
        return self.digest

    def bounds(self) -> tuple[Ball, ...]:
        """The ball of the final norm, T5's: x = gamma * h / sqrt(mean h^2 + eps), without a mean taken off."""
        gamma = self.model.encoder.final_layer_norm.weight.detach().double().numpy()
        return (Ball(gamma, np.zeros(len(gamma)), float(np.sqrt(len(gamma))), centred=False, proven=True),)

    def _batch(self, prompts: Sequence[str]) -> Iterator[Encoded]:
        import torch

        texts = [
            to_lower_case(prompt) if self.lowered else (prompt, tuple(range(len(prompt) + 1))) for prompt in prompts
        ]
        tokens = self.tokenizer(
            [text for text, _ in texts],
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        given = {"attention_mask": tokens["attention_mask"]} if self.masked else {}
        with torch.inference_mode():
            rows = self.model(tokens["input_ids"], **given)[0].numpy()
        ids, offsets, seen = (tokens[name].tolist() for name in ("input_ids", "offset_mapping", "attention_mask"))
        for index, (prompt, (_, origin)) in enumerate(zip(prompts, texts, strict=True)):
            count = sum(seen[index])
            kept = list(range(count)) if self.masked else representative_rows(count, self.length)
            start, end = zip(*[_span(offsets[index][row], origin) for row in kept], strict=True)
            spoken = tuple(ids[index][row] for row in kept)
            yield Encoded(prompt, rows[index, kept].astype(np.float64), spoken, start, end, 0, self.length)


def representative_rows(count: int, length: int) -> list[int]:
    """The rows that stand for all `length`: the `count` of text and EOS, and the padding at 1, 2, 4, ... after EOS."""
    powers = (1 << power for power in range(length.bit_length()))
    return [*range(count), *(count - 1 + step for step in powers if count - 1 + step < length)]


def to_lower_case(prompt: str) -> tuple[str, tuple[int, ...]]:
    """The prompt stripped and in lower case, and for each character there (and the end) where it was in `prompt`."""
    begin = len(prompt) - len(prompt.lstrip())
    text = prompt.strip()
    origin = [begin + place for place, character in enumerate(text) for _ in character.lower()]
    return text.lower(), (*origin, begin + len(text))


def _span(offset: Sequence[int], origin: Sequence[int]) -> tuple[int, int]:
    start, end = offset
    return (origin[start], origin[end]) if end > start else (-1, -1)
