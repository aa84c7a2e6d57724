"""The encoder half of a T5 and its tokenizer as transformers has them: for files that editc does not read by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from editc.backends.encoders.arrays import Floats, Ids, Seen
from editc.backends.encoders.t5 import Tokenize
from editc.backends.encoders.tokens import Tokens
from editc.backends.encoders.transformers_model import TransformersModel
from editc.numerics.ball import Ball


class TransformersT5(TransformersModel):
    """An encoder of transformers."""

    def rows(self, ids: Ids, seen: Seen | None) -> Sequence[Floats]:
        """The rows (t, d) of each prompt of `ids` (n, t). With `seen` (n, t) tokens see no padding."""
        import torch

        given = {} if seen is None else {"attention_mask": torch.from_numpy(seen.astype(np.int64)).to(self.device)}
        with torch.inference_mode():
            return list(self.model(torch.from_numpy(ids).to(self.device), **given)[0].cpu().numpy())

    def bounds(self) -> tuple[Ball, ...]:
        """The ball of the final norm, x = gamma * h / sqrt(mean h^2 + eps), which does not subtract a mean."""
        gamma = self.model.encoder.final_layer_norm.weight.detach().cpu().double().numpy()
        return (Ball(gamma, np.zeros(len(gamma)), float(np.sqrt(len(gamma))), centred=False, proven=True),)


def tokenize_t5_with(tokenizer: Any) -> Tokenize:
    """How a fast tokenizer of transformers makes tokens."""

    def tokenize(prompts: Sequence[str], length: int) -> Tokens:
        found = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=length,
            truncation=True,
            return_tensors="np",
            return_offsets_mapping=True,
        )
        spans = [[(int(a), int(b)) for a, b in one] for one in found["offset_mapping"]]
        return Tokens(found["input_ids"].astype(np.int64), found["attention_mask"].astype(bool), spans)

    return tokenize
