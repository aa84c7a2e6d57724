"""Format version 2: what a delta file stores in tensors that version 1 writes as text, or as many small tensors.

A record of a site is some 1,300 bytes of text in version 1, more than the factors of a small matrix. Here hashes and
sketches are two tensors of the whole file, and the factors of a group one tensor a side.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.formats.containers.canonical import damage_error
from editc.numerics.bits.dtypes import EDITABLE, are_halves

HASHES, SKETCHES = "sites/hashes", "sites/sketches"
"""Names of the tensors (n, 32) of U8, the digests, and (sites, 33) of F32, the sketches."""
_KINDS = ("base", "base_transposed", "result")
"""The maps of hashes, in their order in the tensor."""
_SKETCH = 33
"""Numbers of a sketch."""
_Tensor: TypeAlias = NDArray[Any]
Parts: TypeAlias = Mapping[str, _Tensor]
"""Tensor name -> tensor."""


def pack(about: Mapping[str, Any], parts: Parts) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    """The description and the tensors of version 2, from those of version 1."""
    sites, groups = about["sites"], about["groups"]
    hashes = [one[kind][dtype] for one in sites for dtype in sorted(one["base"]) for kind in _KINDS]
    packed = {
        HASHES: np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 32),
        SKETCHES: np.frombuffer(b64decode("".join(one["sketch"] for one in sites)), "<f4").reshape(-1, _SKETCH),
    }
    packed |= {name: part for name, part in parts.items() if part.dtype == np.uint8}
    for name, entry in groups.items():
        for side in ("left", "right"):
            if flat := [parts[f"group/{name}/{side}.{i}"].reshape(-1) for i in range(entry[side])]:
                packed[f"group/{name}/{side}"] = _narrow(np.concatenate(flat))
    short = [
        {key: one[key] for key in one.keys() - {*_KINDS, "sketch"}} | {"hashed": sorted(one["base"])} for one in sites
    ]
    ranked = {name: {**entry, "ranks": _ranks(name, entry, parts)} for name, entry in groups.items()}
    return {**about, "sites": short, "groups": ranked}, packed


def unpack(about: Mapping[str, Any], packed: Parts, place: str) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    """What `pack` was given. Raises E601 where the tensors are not those that the description tells of.

    Types of values that version 1 has too are left to its reader, but for those that are computed with here.
    """
    try:
        sites = list(_with_hashes(about["sites"], packed))
        parts = {name: part for name, part in packed.items() if part.dtype == np.uint8 and name != HASHES}
        groups = {}
        for name, entry in about["groups"].items():
            parts |= _factors(name, entry, about["sites"], packed)
            groups[name] = {key: entry[key] for key in entry.keys() - {"ranks"}}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise damage_error("its tensors are not those that its description tells of", place) from error
    sides = {f"group/{name}/{side}" for name in groups for side in ("left", "right")}
    if odd := packed.keys() - parts.keys() - sides - {HASHES, SKETCHES}:
        raise damage_error(f"it holds tensors that belong to no group, such as '{min(odd)[:200]}'", place)
    return {**about, "sites": sites, "groups": groups}, parts


def _narrow(flat: _Tensor) -> _Tensor:
    """F16 where that holds every number exactly, else as it is."""
    return flat.astype(np.float16) if are_halves(flat) else flat


def _ranks(name: str, entry: Mapping[str, Any], parts: Parts) -> list[int]:
    """The columns of each left factor; none for `dense`, whose left factors have the shapes of the sites."""
    count = 0 if entry["form"] == "dense" else entry["left"]
    return [parts[f"group/{name}/left.{i}"].shape[1] for i in range(count)]


def _with_hashes(sites: Sequence[Mapping[str, Any]], packed: Parts) -> Iterator[dict[str, Any]]:
    """Yield each site with its hashes and its sketch as text. Raises ValueError and its like."""
    hashes, sketches = packed[HASHES], packed[SKETCHES]
    if any(len(one["hashed"]) > len(EDITABLE) for one in sites):  # before any of them becomes text
        raise ValueError("more hashes than dtypes")
    count = sum(len(_KINDS) * len(one["hashed"]) for one in sites)
    if hashes.shape != (count, 32) or hashes.dtype != np.uint8 or sketches.shape != (len(sites), _SKETCH):
        raise ValueError("another number of hashes or sketches")
    if sketches.dtype != np.float32:
        raise ValueError("sketches are F32")
    rows = iter(hashes)
    for one, sketch in zip(sites, sketches, strict=True):
        found: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
        for dtype in one["hashed"]:
            for kind in _KINDS:
                found[kind][dtype] = next(rows).tobytes().hex()
        rest = {key: one[key] for key in one.keys() - {"hashed"}}
        yield {**rest, **found, "sketch": b64encode(sketch.tobytes()).decode()}


def _factors(
    name: str, entry: Mapping[str, Any], sites: Sequence[Mapping[str, Any]], packed: Parts
) -> dict[str, _Tensor]:
    """The factors of a group, each in its shape and in float32. Raises ValueError and its like."""
    shapes = [(int(sites[i]["shape"][0]), int(sites[i]["shape"][1])) for i in entry["sites"]]
    ranks, widths = [int(one) for one in entry["ranks"]], [width for _, width in shapes]
    rows = widths[:1] if entry["form"] == "shared" else [height for height, _ in shapes]
    left = shapes if entry["form"] == "dense" else list(zip(rows, ranks, strict=bool(ranks)))
    right = list(zip(ranks[: entry["right"]], widths, strict=False))
    found: dict[str, _Tensor] = {}
    for side, of in (("left", left), ("right", right)):
        if len(of) != entry[side]:
            raise ValueError("another number of factors")
        if of:
            found |= _split(f"group/{name}/{side}", of, packed[f"group/{name}/{side}"])
    return found


def _split(name: str, shapes: Sequence[tuple[int, int]], flat: _Tensor) -> dict[str, _Tensor]:
    """A flat tensor cut into matrices. Raises ValueError unless they fill it."""
    ends = list(accumulate((prod(shape) for shape in shapes), initial=0))
    if flat.ndim != 1 or flat.dtype == np.uint8 or min(min(shape) for shape in shapes) < 0 or ends[-1] != len(flat):
        raise ValueError("factors of another size")
    wide = flat.astype(np.float32, copy=False)
    cut = enumerate(zip(shapes, pairwise(ends), strict=True))
    return {f"{name}.{i}": wide[start:end].reshape(shape) for i, (shape, (start, end)) in cut}
