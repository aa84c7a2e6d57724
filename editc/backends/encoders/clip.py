"""CLIP text encoders: one row for each token, or one pooled row for the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.backends.encoders.batches import encode_batches
from editc.core.family import Take
from editc.core.ports import EncodedPrompt
from editc.numerics import trust
from editc.numerics.trust import Ball


@dataclass(frozen=True)
class ClipEncoder:
    """One CLIP text encoder of a diffusers folder, read as a `Stream` says.

    It runs in float32 whatever the files hold, so that the same files give the same rows.
    """

    tokenizer: Any
    """The fast tokenizer of transformers."""
    model: Any
    """The text model of transformers, in float32."""
    digest: str = ""
    """The fingerprint of all text encoders of the model. Empty where the caller needs none."""
    take: Take = "last"
    """Which output is read: see `Stream.take`."""
    masked: bool = False
    """True: padding has no rows, because the edited layers do not see it."""
    attended: bool = False
    """True: the encoder itself reads which tokens are padding."""

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return the rows (t, d) of each prompt, in order. Equal prompts are encoded once."""
        return encode_batches(prompts, self._batch)

    def fingerprint(self) -> str:
        """Return the sum that `formats.models.fingerprint` computed when the encoder was loaded."""
        return self.digest

    def bounds(self) -> tuple[Ball, ...]:
        """Return the ball of the final LayerNorm, or an unbounded one where something else follows it."""
        norm = getattr(self.model, "text_model", self.model).final_layer_norm
        gamma, beta = (part.detach().double().numpy() for part in (norm.weight, norm.bias))
        if self.take == "last" or (self.take == "pooled" and not hasattr(self.model, "text_projection")):
            return (Ball(gamma, beta, float(np.sqrt(len(gamma))), centred=True, proven=True),)
        width = self.model.text_projection.out_features if self.take == "pooled" else len(gamma)
        return (trust.unbounded_ball(width),)

    def _batch(self, prompts: Sequence[str]) -> Iterator[EncodedPrompt]:
        """Encode one batch, and yield each prompt with its rows, its tokens and their places."""
        import torch

        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt", return_offsets_mapping=True
        )
        offsets, ids, seen = (tokens[name].tolist() for name in ("offset_mapping", "input_ids", "attention_mask"))
        with torch.inference_mode():
            rows = self._run(tokens["input_ids"], tokens["attention_mask"]).double().numpy()
        for index, prompt in enumerate(prompts):
            if self.take == "pooled":
                yield EncodedPrompt(prompt, rows[index : index + 1], (0,), (0,), (len(prompt),), 0, pooled=True)
                continue
            limit = len(ids[index])
            count = sum(seen[index]) if self.masked else limit
            start, end = zip(*[_span(a, b) for a, b in offsets[index][:count]], strict=True)
            yield EncodedPrompt(prompt, rows[index, :count], tuple(ids[index][:count]), start, end, 1, limit)

    def _run(self, ids: Any, mask: Any) -> Any:
        """Run the model on tokens (n, t) and return rows (n, t, d), or one pooled row for each prompt (n, d)."""
        given = {"attention_mask": mask} if self.attended else {}
        if self.take in ("penultimate", "final"):
            found = self.model(ids, output_hidden_states=True, **given)
            return found.hidden_states[-2 if self.take == "penultimate" else -1]
        found = self.model(ids, **given)
        if self.take == "pooled":
            return found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
        return found.last_hidden_state


def _span(start: int, end: int) -> tuple[int, int]:
    """Return where a token lies in the prompt; (-1, -1) for a special token."""
    return (start, end) if end > start else (-1, -1)
