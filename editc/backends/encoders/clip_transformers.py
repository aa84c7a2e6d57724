"""The text model and the tokenizer of CLIP as transformers has them: for folders that editc does not read by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.encoders.tokens import Tokens
from editc.backends.encoders.transformers_model import TransformersModel
from editc.core.family import Take
from editc.numerics.ball import Ball, unbounded_ball


class TransformersClip(TransformersModel):
    """A text model of transformers."""

    def rows(self, ids: NDArray[np.int64], seen: NDArray[np.bool_] | None, take: Take) -> NDArray[np.float32]:
        """Rows (n, t, d) of tokens (n, t), or one row (n, d) for each prompt, as a `Stream` takes them."""
        import torch

        given = {} if seen is None else {"attention_mask": torch.from_numpy(seen.astype(np.int64)).to(self.device)}
        with torch.inference_mode():
            return np.asarray(self._run(torch.from_numpy(ids).to(self.device), given, take).cpu().numpy())

    def bounds(self, take: Take) -> tuple[Ball, ...]:
        """The ball of the final LayerNorm, or an unbounded one where something else follows it."""
        norm = getattr(self.model, "text_model", self.model).final_layer_norm
        gamma, beta = (part.detach().cpu().double().numpy() for part in (norm.weight, norm.bias))
        if take == "last" or (take == "pooled" and not hasattr(self.model, "text_projection")):
            return (Ball(gamma, beta, float(np.sqrt(len(gamma))), centred=True, proven=True),)
        width = self.model.text_projection.out_features if take == "pooled" else len(gamma)
        return (unbounded_ball(width),)

    def _run(self, ids: Any, given: dict[str, Any], take: Take) -> Any:
        if take in ("penultimate", "final"):
            found = self.model(ids, output_hidden_states=True, **given)
            return found.hidden_states[-2 if take == "penultimate" else -1]
        found = self.model(ids, **given)
        if take == "pooled":
            return found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
        return found.last_hidden_state


def tokenize_with(tokenizer: Any) -> Callable[[Sequence[str]], Tokens]:
    """How a fast tokenizer of transformers makes tokens."""

    def tokenize(prompts: Sequence[str]) -> Tokens:
        found = tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="np", return_offsets_mapping=True
        )
        spans = [[(int(a), int(b)) for a, b in one] for one in found["offset_mapping"]]
        return Tokens(found["input_ids"].astype(np.int64), found["attention_mask"].astype(bool), spans)

    return tokenize
