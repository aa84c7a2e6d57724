"""ONNX files made to hurt: damaged ones, and small ones that are all fields, so that reading them would never end."""

from __future__ import annotations

import onnx_files as of

from editc.formats.containers.protobuf import MAX_STEPS, encode_bytes, encode_number

TINY = MAX_STEPS + 10
"""More fields than steps."""


def damaged(sound: bytes) -> dict[str, bytes]:
    """A sound file cut at each kilobyte, lengthened, and with bytes that are none of its own."""
    found = {f"cut at {n} bytes": sound[:n] for n in (0, 1, 7, *range(1024, len(sound), 1024), len(sound) - 1)}
    found |= {"lengthened": sound + b"\xff", "two graphs": sound + sound, "zeros": bytes(4096), "ones": b"\xff" * 4096}
    lies = {
        "over the end": b"\x3a\xff\x01",
        "no end": b"\x3a" + b"\xff" * 12,
        "kind 3": b"\x0b",
        "number 0": b"\x02\x00",
    }
    return found | {f"begins with {name}": lie + sound for name, lie in lies.items()}


def crowded() -> dict[str, bytes]:
    """Files of some megabytes that are as many parts as fit, of each kind of part that costs the reader something."""
    names = [f"{n:x}" for n in range(TINY // 16)]
    whole = of.tensor("w", "F32", (1,), of.raw(b"\0" * 4))
    nested = b""
    for _ in range(14):
        nested = of.data(
            1, encode_bytes(4, "If") + encode_bytes(5, encode_bytes(6, nested + encode_bytes(1, b"\x0a\x01w" * 4000)))
        )
    return {
        "numbers": encode_number(1, 8) * TINY,
        "fixed numbers": b"\x0d\0\0\0\0" * (TINY // 2),
        "long numbers": b"\x88\x80\x80\x80\x01" + b"\x80" * 9 + b"\x01" + encode_number(1, 1 << 20) * (TINY // 4),
        "texts": encode_bytes(1, b"a" * 300) * (TINY // 100),
        "functions": encode_bytes(25, b"") * (TINY // 3),
        "metadata": b"".join(encode_bytes(14, encode_bytes(1, name)) for name in names),
        "nodes": encode_bytes(7, encode_bytes(1, b"") * (TINY // 4)),
        "notes of nodes": encode_bytes(7, encode_bytes(1, encode_bytes(9, b"") * 10) * (TINY // 10)),
        "inputs": encode_bytes(7, encode_bytes(1, encode_bytes(1, b"") * (TINY // 4))),
        "named inputs": encode_bytes(7, encode_bytes(1, encode_bytes(1, "w") * (TINY // 6))),
        "uses": encode_bytes(7, encode_bytes(5, whole) + encode_bytes(1, encode_bytes(1, "w") * (TINY // 6))),
        "attributes": encode_bytes(7, encode_bytes(1, encode_bytes(5, b"") * (TINY // 4))),
        "attributes of a Gemm": encode_bytes(
            7, encode_bytes(1, encode_bytes(4, "Gemm") + encode_bytes(5, b"") * (TINY // 4))
        ),
        "integers of an attribute": encode_bytes(
            7, encode_bytes(1, encode_bytes(4, "Gemm") + encode_bytes(5, encode_number(8, 0) * TINY))
        ),
        "tensors": encode_bytes(7, b"".join(encode_bytes(5, encode_bytes(8, name)) for name in names)),
        "whole tensors": encode_bytes(
            7, b"".join(encode_bytes(5, of.tensor(name, "F32", (1,), of.raw(b"1234"))) for name in names)
        ),
        "tensors outside": encode_bytes(
            7,
            b"".join(
                encode_bytes(5, of.tensor(n, "F32", (1,), of.outside(location="w", offset=n))) for n in names[::4]
            ),
        ),
        "numbers of a tensor": encode_bytes(7, encode_bytes(5, b"\x25\0\0\0\0" * (TINY // 2))),
        "pieces of a tensor": encode_bytes(7, encode_bytes(5, encode_number(7, 0) * (TINY // 4))),
        "graphs": encode_bytes(7, encode_bytes(1, encode_bytes(5, encode_bytes(6, b"") * 50_000)) * 20),
        "graphs in graphs": encode_bytes(7, nested * 10),
        "long names": encode_bytes(
            7, b"".join(encode_bytes(1, encode_bytes(1, name + "x" * 60_000)) for name in names[:2500])
        ),
    }
