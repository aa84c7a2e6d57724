"""The numbers of quantised weights: blocks as the gguf library has them, 8-bit floats as torch has them."""

from __future__ import annotations

import numpy as np
import pytest
from quantised_models import BLOCKS, EIGHT
from tiny_files import noise

from editc.numerics.bits import blocks, dtypes


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_decode_as_the_library_does(kind: str) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    W, made = noise(5, (48, 256)).astype(np.float32), GGMLQuantizationType[kind]
    theirs = quantize(W, made)
    ours = blocks.decode(theirs.tobytes(), kind, W.shape)
    assert np.array_equal(ours.astype(np.float32), dequantize(theirs, made))
    assert blocks.encode(ours, kind, theirs.tobytes()) == theirs.tobytes()


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_encode_no_worse_than_the_library(kind: str) -> None:
    """In whole; and what they encode the library reads as the same weights."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    W, made = noise(5, (48, 256)) * 0.05, GGMLQuantizationType[kind]
    old = quantize(W.astype(np.float32), made).tobytes()
    wanted = (W + 0.1 * noise(6, W.shape)).astype(np.float32).astype(np.float64)
    ours = np.frombuffer(blocks.encode(wanted, kind, old), np.uint8).reshape(len(W), -1)
    read, theirs = dequantize(ours, made), dequantize(quantize(wanted.astype(np.float32), made), made)
    assert np.array_equal(read, blocks.decode(ours.tobytes(), kind, W.shape).astype(np.float32))
    assert np.linalg.norm(read - wanted) <= np.linalg.norm(theirs - wanted)


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_whose_weights_stay_keeps_its_bytes(kind: str) -> None:
    """Also one that no quantisation would have made like this: its codes do not reach the ends of the grid."""
    size = blocks.BLOCK_FORMATS[kind].nbytes
    heads = dtypes.encode(np.array([0.01, -0.07][: 1 + blocks.BLOCK_FORMATS[kind].offset]), "F16")
    odd = (heads + bytes([0x11] * (size - len(heads)))) * 8
    values_ = blocks.decode(odd, kind, (2, 128))
    assert blocks.encode(values_, kind, odd) == odd
    values_[0, 5] += 0.3
    changed = blocks.encode(values_, kind, odd)
    assert changed[:size] != odd[:size] and changed[size:] == odd[size:]


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_of_nothing_and_of_too_much(kind: str) -> None:
    old = bytes(blocks.BLOCK_FORMATS[kind].nbytes)
    assert blocks.encode(np.zeros((1, 32)), kind, old) == old
    assert not blocks.is_finite(blocks.encode(np.full((1, 32), 1e9), kind, old), kind)


@pytest.mark.parametrize("dtype,name", [("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2")])
def test_eight_bits_are_those_of_torch(dtype: str, name: str) -> None:
    """Every pattern; and every midpoint and its neighbours, where both are in range (torch then saturates)."""
    import torch

    kind = getattr(torch, name)
    every = torch.arange(256, dtype=torch.uint8).view(kind).double().numpy()
    found = dtypes.decode(bytes(range(256)), dtype, (256,))
    assert np.array_equal(found, every, equal_nan=True) and np.array_equal(np.signbit(found), np.signbit(every))
    grid = np.sort(every[np.isfinite(every)])
    middle = ((grid[1:] + grid[:-1]) / 2).astype(np.float32)
    near = np.concatenate([middle, np.nextafter(middle, np.float32(9e9)), np.nextafter(middle, np.float32(-9e9))])
    x = np.concatenate([near, grid.astype(np.float32), noise(4, (1000,)).astype(np.float32)])
    theirs = torch.from_numpy(x).to(kind).view(torch.uint8).numpy().tobytes()
    assert dtypes.encode(x.astype(np.float64), dtype) == theirs


def test_eight_bits_round_once() -> None:
    """A float64 just above a midpoint goes up, though as float32 it would be the midpoint and go down to even."""
    middle = 1.0625
    for dtype, up in (("F8_E4M3", 1.125), ("F8_E5M2", 1.0)):
        assert dtypes.round_to(np.array([middle * (1 + 2.0**-50)]), dtype) == up
    assert dtypes.round_to(np.array([middle]), "F8_E4M3") == 1.0


@pytest.mark.parametrize("dtype", EIGHT)
def test_eight_bits_past_the_end_are_not_finite(dtype: str) -> None:
    last = 448.0 if dtype == "F8_E4M3" else 57344.0
    assert dtypes.is_finite(dtypes.encode(np.array([last, -last]), dtype), dtype)
    for x in (2 * last, -2 * last, np.nan, np.inf):
        assert not dtypes.is_finite(dtypes.encode(np.array([x, 1.0]), dtype), dtype)
