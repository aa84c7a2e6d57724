"""The encoder half of a T5 in numpy, a layer at a time: all prompts go through one layer, then through the next.

Memory holds the parameters of one layer, which may lie in files of 19 GB, and the rows of all prompts. Float32, as the
model of transformers runs: sums have another order, so rows agree to float32 rounding. Every product is of one prompt
alone, so that its rows do not depend on the prompts beside it. Source: Raffel et al., 2020 (relative position biases,
which all blocks share; a norm without a mean; scores that are not scaled), and Shazeer, 2020 (the gated feed-forward
of T5 1.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editc.backends.encoders.arrays import Floats, Ids, Read, Seen, Shape
from editc.numerics.ball import Ball

EMBEDDING = "shared.weight"
"""The name of the token embeddings."""
FINAL_NORM = "encoder.final_layer_norm.weight"
"""The name of the last norm's gain."""
BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
"""The name of the position biases (buckets, heads)."""
FEEDS: Mapping[str, tuple[str, ...]] = {"relu": ("wi",), "gated-gelu": ("wi_0", "wi_1")}
"""`feed_forward_proj` -> the matrices that a feed-forward begins with."""
SIZES = ("d_model", "num_heads", "d_kv", "d_ff", "num_layers")
"""Sizes in config.json, in the order of the fields of `T5Settings`."""
ACTIVATIONS: Mapping[str, str] = {"relu": "relu", "gated-gelu": "gelu_new"}
"""`feed_forward_proj` -> the activation behind the first of them, as `dense_act_fn` calls it."""


@dataclass(frozen=True)
class T5Settings:
    """What config.json says of the network."""

    width: int
    """Numbers of a row."""
    heads: int
    """Heads of an attention."""
    head_width: int
    """Numbers of a head's key; all heads together need not have the width of a row."""
    inner: int
    """Numbers between the two layers of a feed-forward."""
    layers: int
    """Blocks."""
    feed: str
    """`relu` or `gated-gelu`."""
    eps: float
    """What a norm adds to the mean square."""
    buckets: int
    """Position biases of a head."""
    distance: int
    """From this distance on, all tokens have the same bias."""
    vocabulary: int
    """Tokens."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> T5Settings:
        """Those of a config.json. Raises KeyError, TypeError or ValueError where it does not say them all, or says what
        is not known here."""
        width, heads, head_width, inner, layers = (int(config[name]) for name in SIZES)
        feed, buckets = str(config["feed_forward_proj"]), int(config["relative_attention_num_buckets"])
        distance = int(config.get("relative_attention_max_distance", 128))  # which older files do not say
        if feed not in FEEDS or config.get("dense_act_fn", ACTIVATIONS[feed]) != ACTIVATIONS[feed]:
            raise ValueError("another activation")
        if buckets % 4 or distance <= buckets // 4 or min(width, heads, head_width, inner, layers) < 1:
            raise ValueError("other settings")
        eps, vocabulary = float(config["layer_norm_epsilon"]), int(config["vocab_size"])
        return cls(width, heads, head_width, inner, layers, feed, eps, buckets, distance, vocabulary)

    def shapes(self) -> Mapping[str, Shape]:
        """Name of a parameter -> its shape."""
        d, joint = self.width, self.heads * self.head_width
        layer = {f"layer.0.SelfAttention.{part}.weight": (joint, d) for part in "qkv"}
        layer |= {"layer.0.SelfAttention.o.weight": (d, joint), "layer.1.DenseReluDense.wo.weight": (d, self.inner)}
        layer |= {f"layer.1.DenseReluDense.{name}.weight": (self.inner, d) for name in FEEDS[self.feed]}
        found: dict[str, Shape] = {EMBEDDING: (self.vocabulary, d), FINAL_NORM: (d,), BIAS: (self.buckets, self.heads)}
        for block in range(self.layers):
            head = f"encoder.block.{block}"
            found |= {f"{head}.{name}": shape for name, shape in layer.items()}
            found |= {f"{head}.layer.{index}.layer_norm.weight": (d,) for index in (0, 1)}
        return found


@dataclass(frozen=True)
class T5Text:
    """An encoder whose parameters are read as they are needed."""

    settings: T5Settings
    """Its settings."""
    read: Read
    """Its parameters."""
    name: str = "numpy"
    """What runs it."""
    alone: bool = True
    """Each product is of one prompt, so that its rows do not depend on the prompts beside it."""

    def rows(self, ids: Ids, seen: Seen | None) -> Sequence[Floats]:
        """The rows (t, d) of each prompt of `ids` (n, t). With `seen` (n, t), which is True up to the padding, there
        are only rows of tokens that are no padding, and these see no padding."""
        found = self._embed(ids, [ids.shape[1]] * len(ids) if seen is None else seen.sum(1).tolist())
        biases = self._biases({len(one) for one in found})
        for block in range(self.settings.layers):
            self._attend(f"encoder.block.{block}.layer.0", found, biases)
            self._feed(f"encoder.block.{block}.layer.1", found)
        gain = self._read(FINAL_NORM)
        return [self._norm(rows, gain) for rows in found]

    def bounds(self) -> tuple[Ball, ...]:
        """The ball of the final norm, x = gamma * h / sqrt(mean h^2 + eps), which does not subtract a mean."""
        gamma = self.read(FINAL_NORM).astype(np.float64)
        return (Ball(gamma, np.zeros(len(gamma)), math.sqrt(len(gamma)), centred=False, proven=True),)

    def _read(self, name: str) -> Floats:
        return self.read(name).astype(np.float32, copy=False)

    def _embed(self, ids: Ids, counts: Sequence[int]) -> list[Floats]:
        """The embeddings of the first `counts` tokens of each prompt."""
        table = self.read(EMBEDDING)
        return [np.array(table[row[:count]], np.float32) for row, count in zip(ids, counts, strict=True)]

    def _biases(self, lengths: set[int]) -> Mapping[int, Floats]:
        """Number of tokens t -> the position biases (heads, t, t): of the token that looks, then of the token that it
        looks at."""
        values, one = self._read(BIAS), self.settings
        found = {}
        for length in lengths:
            places = np.arange(length)
            buckets = position_buckets(places[None, :] - places[:, None], one.buckets, one.distance)
            found[length] = np.ascontiguousarray(values[buckets].transpose(2, 0, 1))
        return found

    def _attend(self, name: str, found: Sequence[Floats], biases: Mapping[int, Floats]) -> None:
        """Adds to the rows of each prompt what its tokens see of each other."""
        gain = self._read(f"{name}.layer_norm.weight")
        q, k, v, o = (self._read(f"{name}.SelfAttention.{part}.weight").T for part in "qkvo")
        for rows in found:
            normed = self._norm(rows, gain)
            query, key, value = (self._split(normed @ weight) for weight in (q, k, v))
            scores = np.matmul(query, key.transpose(0, 2, 1))
            scores += biases[len(rows)]
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(-1, keepdims=True)
            rows += np.matmul(scores, value).transpose(1, 0, 2).reshape(len(rows), -1) @ o

    def _split(self, rows: Floats) -> Floats:
        """(t, heads * head_width) as (heads, t, head_width)."""
        return rows.reshape(len(rows), self.settings.heads, -1).transpose(1, 0, 2)

    def _feed(self, name: str, found: Sequence[Floats]) -> None:
        """Adds to the rows of each prompt what the feed-forward makes of each."""
        gain = self._read(f"{name}.layer_norm.weight")
        inner, gate = self._feed_weights(name)
        out = self._read(f"{name}.DenseReluDense.wo.weight").T
        for rows in found:
            normed = self._norm(rows, gain)
            made = normed @ inner
            if gate is None:
                np.maximum(made, 0, out=made)
            else:
                made = _gelu(made)
                made *= normed @ gate
            rows += made @ out

    def _feed_weights(self, name: str) -> tuple[Floats, Floats | None]:
        """The matrix that a feed-forward begins with, and its gate's where it has one."""
        inner, *gates = (self._read(f"{name}.DenseReluDense.{one}.weight").T for one in FEEDS[self.settings.feed])
        return inner, gates[0] if gates else None

    def _norm(self, rows: Floats, gain: Floats) -> Floats:
        scale = 1 / np.sqrt(np.square(rows).mean(-1, keepdims=True) + np.float32(self.settings.eps))
        made: Floats = rows * scale
        made *= gain
        return made


def position_buckets(distances: Ids, buckets: int, limit: int) -> Ids:
    """The bucket of each distance, from the token that looks to the one that it looks at.

    Half of the buckets are for tokens behind. Of each half, one half is for single distances, the other for ranges that
    grow up to `limit`. The logarithm is a float32's, as the published code has it, since its rounding decides at the
    edges of ranges.
    """
    half = buckets // 2
    exact = half // 2
    size = np.abs(distances)
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact))
    ratio = ratio / np.float32(math.log(limit / exact)) * np.float32(half - exact)
    far = np.minimum(exact + ratio.astype(np.int64), half - 1)
    found: Ids = np.where(size < exact, size, far) + np.where(distances > 0, half, 0)
    return found


def _gelu(x: Floats) -> Floats:
    """GELU in its tanh form, as T5 1.1 has it."""
    inner = x * x
    inner *= x
    inner *= np.float32(0.044715)
    inner += x
    inner *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner
