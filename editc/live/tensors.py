"""What a tensor of torch is, as checkpoints describe tensors, and its bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from editc.formats.models.model import Tensor

DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
"""dtype of torch -> the dtype of safetensors with the same bytes."""
PLAIN = ("torch", "builtins")
"""Packages whose classes of tensors and parameters hold the numbers that they seem to hold."""


def describe(values: Any, place: Path) -> Tensor:
    """Describe a tensor in memory. `place`: the model and its component, as messages name them."""
    name = str(values.dtype).removeprefix("torch.")
    dtype = DTYPES.get(name, name)
    return Tensor(place, 0, values.numel() * values.element_size(), dtype, tuple(values.shape), fault=_fault(values))


def read_bytes(values: Any) -> bytes:
    """The bytes of a tensor, row-major, wherever it is."""
    import torch

    held = values.detach().cpu().contiguous()
    raw: bytes = held.reshape(-1).view(torch.uint8).numpy().tobytes()
    return raw


def tensor_of(raw: bytes, like: Any) -> Any:
    """A tensor on the CPU with these bytes, in the dtype and shape of another."""
    import torch

    return torch.frombuffer(bytearray(raw), dtype=like.dtype).reshape(like.shape)


def _fault(values: Any) -> str:
    """Why a tensor's numbers are not the weights: a library packed them, or spread them over devices. '' if they
    are."""
    kind = type(values)
    library = kind.__module__.partition(".")[0]
    packed = not values.is_floating_point() and library not in PLAIN
    if packed or hasattr(values, "__tensor_flatten__"):  # which classes have that hold other tensors inside
        return f"a {kind.__name__} of {library}"
    return "" if values.is_floating_point() else f"stored as {str(values.dtype).removeprefix('torch.')}"
