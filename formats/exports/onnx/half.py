"""ONNX nodes that round float64 to half precision once.

ONNX Runtime casts float64 to halves by way of float32 and so rounds twice: 1 + 2^-11 + 2^-40 becomes 1 in float16, not
1 + 2^-10. These nine nodes make of each number the half it rounds to, which any cast keeps, in three steps:

1. With u = 2^-53 and a = (1/(2u) + 1) x, |a - (a - u a)| is the power of two at or below |x| (Rump, Ultimately fast
   accurate summation, 2009, algorithm 3.5; u a is exact). Times the half's spacing at 1, which is put into the first
   factor, it is q, the spacing of halves about x; below the normal numbers the spacing is `least`. (Rump multiplies by
   1 - u, which ONNX Runtime takes for 1 and leaves out.)
2. x / q is exact, a division by a power of two. Round takes it to the nearest integer, ties to even, as halves do.
3. That integer is at most 2^11 for float16 and 2^8 for bfloat16, so its product with q is exact: x rounded once. It is
   a half, or past the largest one the next step of its grid, 2^16 or 2^128, which every cast makes infinite.

Numbers of 2^979 and more overflow in the first step and give NaN; no weight is one.
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
"""Of each half the spacing at 1, and the least one."""


def constants(dtype: str) -> dict[str, Any]:
    """The float64 numbers that the nodes for `dtype` read; none for a dtype that is no half."""
    if dtype not in SPACINGS:
        return {}
    spacing, least = SPACINGS[dtype]
    values = {"spread": (2.0**52 + 1) * spacing, "unit": 2.0**-53, "least": least}
    return {f"{dtype}.{name}": np.array(value) for name, value in values.items()}


def cast(wide: str, out: str, dtype: str) -> Iterator[bytes]:
    """Nodes from the float64 value `wide` to `out` in `dtype`, rounded once to nearest, ties to even."""
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
