"""ONNX nodes that round float64 to half precision once.

ONNX Runtime converts float64 to half precision through float32, and so rounds twice: 1 + 2^-11 + 2^-40 becomes 1 in
float16 instead of 1 + 2^-10. The nine nodes here turn each number into the half-precision number that it rounds to,
which any cast then keeps. They work in three steps:

1. With u = 2^-53 and a = (1/(2u) + 1) x, |a - (a - u a)| is the largest power of two up to |x| (Rump, Ultimately fast
   accurate summation, 2009, algorithm 3.5; u a is exact). Times the spacing of halves at 1, which is part of the first
   factor, it is q, the spacing of halves around x. For subnormal numbers the spacing is `least`. (Rump multiplies by 1
   - u, but ONNX Runtime takes that for 1 and leaves the product out.)
2. x / q is exact, because q is a power of two. Round takes it to the nearest integer, ties to even, as halves round.
3. That integer is at most 2^11 for float16 and 2^8 for bfloat16, so its product with q is exact: it is x rounded once.
   It is a half, or the next step beyond the largest half, 2^16 or 2^128, which every cast turns into infinity.

Numbers from 2^979 on overflow in the first step and give NaN. No weight is that large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from editc.formats.containers.onnx_write import TYPES, encode_node

SPACINGS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"F16": (2.0**-10, 2.0**-24), "BF16": (2.0**-7, 2.0**-133)}
)
"""Dtype -> the spacing of its numbers at 1, and its smallest spacing."""


def constants(dtype: str) -> dict[str, Any]:
    """The float64 constants that the nodes for `dtype` read; none if it is not a half-precision dtype."""
    if dtype not in SPACINGS:
        return {}
    spacing, least = SPACINGS[dtype]
    values = {"spread": (2.0**52 + 1) * spacing, "unit": 2.0**-53, "least": least}
    return {f"{dtype}.{name}": np.array(value) for name, value in values.items()}


def cast(wide: str, out: str, dtype: str) -> Iterator[bytes]:
    """Yield the nodes that convert the float64 value `wide` to `out` in `dtype`, rounded once to nearest, ties to
    even."""
    if dtype in SPACINGS:
        yield encode_node("Mul", [wide, f"{dtype}.spread"], f"{wide}.spread")
        yield encode_node("Mul", [f"{wide}.spread", f"{dtype}.unit"], f"{wide}.unit")
        yield encode_node("Sub", [f"{wide}.spread", f"{wide}.unit"], f"{wide}.below")
        yield encode_node("Sub", [f"{wide}.spread", f"{wide}.below"], f"{wide}.signed")
        yield encode_node("Abs", [f"{wide}.signed"], f"{wide}.normal")
        yield encode_node("Max", [f"{wide}.normal", f"{dtype}.least"], f"{wide}.spacing")
        yield encode_node("Div", [wide, f"{wide}.spacing"], f"{wide}.steps")
        yield encode_node("Round", [f"{wide}.steps"], f"{wide}.whole")
        wide, whole = f"{wide}.half", wide
        yield encode_node("Mul", [f"{whole}.whole", f"{whole}.spacing"], wide)
    yield encode_node("Cast", [wide], out, to=TYPES[dtype])
