"""The text model of CLIP in numpy, for builds that need its rows and nothing else of torch or transformers.

Float32, as the model of transformers runs: sums have another order, so rows agree to float32 rounding. Every product is
of one prompt alone: a BLAS sums in another order where a matrix has more rows, and the rows of a prompt must not depend
on the prompts beside it. Source: Radford et al., 2021 (a pre-norm transformer with a causal mask).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from editc.backends.encoders.arrays import Floats, Ids, Read, Seen, Shape
from editc.backends.encoders.recent_rows import RecentRows
from editc.core.family import Take
from editc.numerics.ball import Ball, unbounded_ball

PROJECTION = "text_projection.weight"
"""The name of the projection."""
ACTIVATIONS = ("quick_gelu", "gelu")
"""The activations that are known."""
LEGACY_END = 2
"""An `eos_token_id` of older settings: then the prompt's end is its token with the largest number."""


@dataclass(frozen=True)
class Settings:
    """What config.json says of the network."""

    width: int
    """Numbers of a row."""
    heads: int
    """Heads of an attention."""
    layers: int
    """Blocks."""
    act: str
    """`quick_gelu` or `gelu`."""
    eps: float
    """What a LayerNorm adds to the variance."""
    end: int
    """The token whose row stands for the prompt (`eos_token_id`)."""
    inner: int
    """Numbers between the two layers of a feed-forward."""
    vocabulary: int
    """Tokens."""
    length: int
    """Positions."""
    projected: int | None
    """Numbers of a projected row; None where the model has no projection."""

    @classmethod
    def of(cls, config: Mapping[str, Any], projects: bool) -> Settings:
        """Those of a config.json. Raises KeyError, TypeError or ValueError where it does not say them all."""
        return cls(
            int(config["hidden_size"]),
            int(config["num_attention_heads"]),
            int(config["num_hidden_layers"]),
            str(config["hidden_act"]),
            float(config["layer_norm_eps"]),
            int(config["eos_token_id"]),
            int(config["intermediate_size"]),
            int(config["vocab_size"]),
            int(config["max_position_embeddings"]),
            int(config["projection_dim"]) if projects else None,
        )

    def shapes(self) -> Mapping[str, Shape]:
        """Name of a parameter, without `text_model.`, -> its shape."""
        d, inner = self.width, self.inner
        found: dict[str, Shape] = {
            "embeddings.token_embedding.weight": (self.vocabulary, d),
            "embeddings.position_embedding.weight": (self.length, d),
            "final_layer_norm.weight": (d,),
            "final_layer_norm.bias": (d,),
        }
        layers = {f"self_attn.{part}_proj": (d, d) for part in ("q", "k", "v", "out")}
        layers |= {"mlp.fc1": (inner, d), "mlp.fc2": (d, inner)}
        for block in range(self.layers):
            head = f"encoder.layers.{block}"
            for name, shape in layers.items():
                found |= {f"{head}.{name}.weight": shape, f"{head}.{name}.bias": shape[:1]}
            for name in ("layer_norm1", "layer_norm2"):
                found |= {f"{head}.{name}.weight": (d,), f"{head}.{name}.bias": (d,)}
        return found | ({PROJECTION: (self.projected, d)} if self.projected is not None else {})


@dataclass(frozen=True)
class ClipText:
    """A text model whose parameters are read as they are needed, a block at a time."""

    settings: Settings
    """Its settings."""
    read: Read
    """Its parameters."""
    name: str = "numpy"
    """What runs it."""
    alone: bool = True
    """Each product is of one prompt, so that its rows do not depend on the prompts beside it."""
    recent: RecentRows = field(default_factory=RecentRows, init=False, compare=False, repr=False)
    """Rows behind the last block but one. A pipeline that reads these and the pooled row asks for both."""

    def rows(self, ids: Ids, seen: Seen | None, take: Take) -> Floats:
        """Rows (n, t, d) of tokens (n, t), or one row (n, d) for each prompt, as a `Stream` takes them."""
        if take in ("penultimate", "final"):
            return self.hidden(ids, seen, self.settings.layers - (take == "penultimate"))
        rows = self._norm("final_layer_norm", self.hidden(ids, seen))
        if take != "pooled":
            return rows
        end = self.settings.end
        places = ids.argmax(1) if end == LEGACY_END else (ids == end).argmax(1)
        pooled = rows[np.arange(len(rows)), places]
        return pooled if self.settings.projected is None else np.asarray(pooled @ self._read(PROJECTION).T)

    def bounds(self, take: Take) -> tuple[Ball, ...]:
        """The ball of the final LayerNorm, or an unbounded one where something else follows it."""
        if take == "last" or (take == "pooled" and self.settings.projected is None):
            gamma, beta = (self._read(f"final_layer_norm.{part}").astype(np.float64) for part in ("weight", "bias"))
            return (Ball(gamma, beta, float(np.sqrt(len(gamma))), centred=True, proven=True),)
        width = self.settings.projected if take == "pooled" else self.settings.width
        return (unbounded_ball(width or 0),)

    def hidden(self, ids: Ids, seen: Seen | None, blocks: int | None = None) -> Floats:
        """Rows (n, t, d) behind the first `blocks` blocks (None: all) for tokens (n, t), before the final LayerNorm.

        `seen` (n, t) says which tokens attention may look at; None: all. A token never looks at later ones.
        """
        length = ids.shape[1]
        last = self.settings.layers if blocks is None else blocks
        known = self.recent.get(ids, seen) if last >= self._held else None
        rows = self._embed(ids) if known is None else known
        mask = np.triu(np.full((length, length), -np.inf, np.float32), 1)[None, None]
        if seen is not None:
            mask = mask + np.where(seen, np.float32(0), np.float32(-np.inf))[:, None, None, :]
        for block in range(0 if known is None else self._held, last):
            head = f"encoder.layers.{block}"
            rows += self._attend(f"{head}.self_attn", self._norm(f"{head}.layer_norm1", rows), mask)
            inner = self._linear(f"{head}.mlp.fc1", self._norm(f"{head}.layer_norm2", rows))
            rows += self._linear(f"{head}.mlp.fc2", _activate(inner, self.settings.act))
        if last == self._held:
            self.recent.put(ids, seen, rows)
        return rows

    @property
    def _held(self) -> int:
        """How many blocks are before the rows of `recent`."""
        return self.settings.layers - 1

    def _embed(self, ids: Ids) -> Floats:
        """Return the rows (n, t, d) of tokens (n, t) before the first block."""
        rows: Floats = self.read("embeddings.token_embedding.weight")[ids].astype(np.float32)
        rows += self._read("embeddings.position_embedding.weight")[: ids.shape[1]]
        return rows

    def _read(self, name: str) -> Floats:
        return self.read(name).astype(np.float32, copy=False)

    def _attend(self, name: str, rows: Floats, mask: Floats) -> Floats:
        n, t, d = rows.shape
        heads = self.settings.heads
        q, k, v = (
            self._linear(f"{name}.{part}_proj", rows).reshape(n, t, heads, d // heads).transpose(0, 2, 1, 3)
            for part in "qkv"
        )
        scores = np.matmul(q * np.float32((d // heads) ** -0.5), k.transpose(0, 1, 3, 2))
        scores += mask
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        mixed = np.matmul(scores, v).transpose(0, 2, 1, 3).reshape(n, t, d)
        return self._linear(f"{name}.out_proj", mixed)

    def _linear(self, name: str, rows: Floats) -> Floats:
        made: Floats = np.matmul(rows, self._read(f"{name}.weight").T)  # a product for each prompt: see above
        made += self._read(f"{name}.bias")
        return made

    def _norm(self, name: str, rows: Floats) -> Floats:
        moved: Floats = rows - rows.mean(-1, keepdims=True)
        scale = 1 / np.sqrt(np.square(moved).mean(-1, keepdims=True) + np.float32(self.settings.eps))
        moved *= scale
        moved *= self._read(f"{name}.weight")
        moved += self._read(f"{name}.bias")
        return moved


def _activate(x: Floats, act: str) -> Floats:
    """The activation, in place."""
    if act == "quick_gelu":
        x /= 1 + np.exp(np.float32(-1.702) * x)
        return x
    from scipy.special import erf

    x *= np.float32(0.5) * (1 + erf(x * np.float32(0.5**0.5)))
    return x
