"""Bytes that lie: what a safetensors file's length, header, description and tensors can suffer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tiny_files import frame

from editc.formats.containers import safetensors_write
from editc.formats.containers.safetensors import MAX_HEADER


def damages(data: bytes) -> dict[str, bytes]:
    """Cut at every kilobyte, lengthened, and with a length of the header that lies."""
    found = {f"cut at {n} bytes": data[:n] for n in (0, 1, 7, 8, 9, *range(1024, len(data), 1024), len(data) - 1)}
    found |= {"lengthened": data + b"\0", "twice": data + data, "zeros": bytes(4096), "ones": b"\xff" * 4096}
    length = int.from_bytes(data[:8], "little")
    for lie in (0, 1, length - 8, length + 8, len(data), MAX_HEADER + 1, 1 << 40, (1 << 64) - 1):
        found[f"header of {lie} bytes"] = lie.to_bytes(8, "little") + data[8:]
    return found | {
        "a pickle": b"\x80\x04\x95" + data,
        "a zip": b"PK\x03\x04" + data,
        "text": b"version https://git-lfs",
    }


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def header_lies(data: bytes) -> dict[str, bytes]:
    """Headers that say what is not so: of one tensor, of the metadata, and of the JSON itself."""
    header, body = split(data)
    names = sorted(name for name in header if name != "__metadata__")
    first, second = names[0], names[1]
    entry, size = header[first], header[first]["data_offsets"][1] - header[first]["data_offsets"][0]
    changes: dict[str, Mapping[str, Any]] = {
        "overlapping": {second: header[second] | {"data_offsets": entry["data_offsets"]}},
        "all of one place": {n: entry for n in names},
        "a gap": {second: header[second] | {"data_offsets": [n + 4 for n in header[second]["data_offsets"]]}},
        "offsets backwards": {first: entry | {"data_offsets": entry["data_offsets"][::-1]}},
        "offsets far out": {first: entry | {"data_offsets": [1 << 60, (1 << 60) + size]}},
        "offsets beyond 64 bits": {first: entry | {"data_offsets": [1 << 70, (1 << 70) + size]}},
        "offsets of floats": {first: entry | {"data_offsets": [0.0, float(size)]}},
        "shape huge": {first: entry | {"shape": [1 << 31, 1 << 31]}},
        "shape that wraps": {first: entry | {"shape": [1 << 62, 1 << 62, 4]}},
        "shape of a million ones": {first: entry | {"shape": [1] * 100_000}},
        "shape negative": {first: entry | {"shape": [-1, -size // 4]}},
        "shape of booleans": {first: entry | {"shape": [True, size // 4]}},
        "shape of texts": {first: entry | {"shape": ["4", "6"]}},
        "shape null": {first: entry | {"shape": None}},
        "dtype unknown": {first: entry | {"dtype": "F128"}},
        "dtype a list": {first: entry | {"dtype": ["F32"]}},
        "dtype I8": {first: entry | {"dtype": "I8", "shape": [size]}},
        "dtype F8": {first: entry | {"dtype": "F8_E4M3", "shape": [size]}},
        "dtype F16": {first: entry | {"dtype": "F16", "shape": [size // 2]}},
        "dtype F64": {first: entry | {"dtype": "F64", "shape": [size // 8]}},
        "dtype F4": {first: entry | {"dtype": "F4", "shape": [2 * size]}},
        "a field more": {first: entry | {"code": "import os"}},
        "a tensor that is a text": {first: "tensor"},
        "a tensor that is null": {first: None},
        "an empty entry": {first: {}},
        "metadata a list": {"__metadata__": []},
        "metadata of numbers": {"__metadata__": {"editc": 1}},
        "metadata of objects": {"__metadata__": {"editc": {}}},
        "an empty tensor more": {"more": {"dtype": "F32", "shape": [0], "data_offsets": [len(body), len(body)]}},
    }
    found = {name: frame(canonical({**header, **change}), body) for name, change in changes.items()}
    for name in ("../../../etc/passwd", "/etc/passwd", "C:\\windows", "a\0b", "x" * 100_000, "\ud800", "", "\x1b[2J"):
        renamed = {name if n == first else n: value for n, value in header.items()}
        found[f"a tensor named {name[:20]!a}"] = frame(canonical(renamed), body)
    text = canonical(header)
    doubled = text[:-1] + b"," + json.dumps(first).encode() + b":" + canonical(entry) + b"}"
    raw = {
        "a tensor twice": doubled,
        "a field twice": text.replace(b'"dtype":', b'"dtype":"F32","dtype":', 1),
        "metadata twice": text[:-1] + b',"__metadata__":{}}',
        "NaN in it": text[:-1] + b',"a":NaN}',
        "a number of 10,000 digits": text[:-1] + b',"a":' + b"9" * 10_000 + b"}",
        "deep lists": text[:-1] + b',"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "deep maps": text[:-1] + b',"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        "as many lists as fit": b'{"a":[' + b"[]," * ((MAX_HEADER - 100) // 3) + b"[]]}",
        "as many maps as fit": b'{"a":[' + b'{"":1},' * ((MAX_HEADER - 100) // 7) + b"{}]}",
        "as many tensors as fit": b"{" + b",".join(b'"%d":{}' % n for n in range(MAX_HEADER // 14)) + b"}",
        "not UTF-8": text.replace(b"dtype", b"dt\xffpe", 1),
        "UTF-16": text.decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "empty": b"",
        "a list": b"[]",
        "half": text[: len(text) // 2],
    }
    return found | {f"header: {name}": frame(bad, body) for name, bad in raw.items()}


def described(data: bytes) -> dict[str, bytes]:
    """What the text of the key `editc` can say wrongly, in a delta file or in an export's note."""
    header, body = split(data)
    text = header["__metadata__"]["editc"]
    value = json.loads(text)
    about = value.get("delta", value)
    site, group = about["sites"][0], next(iter(about["groups"].values()))
    changes: dict[str, Mapping[str, Any]] = {
        "version 2": {"version": 2},
        "version a text": {"version": "1"},
        "version true": {"version": True},
        "another format": {"format": "safetensors"},
        "another rule": {"compatibility": "anything goes"},
        "a key more": {"hook": "import os"},
        "no sites": {"sites": []},
        "sites a map": {"sites": {"0": site}},
        "sites of numbers": {"sites": [1, 2]},
        "sites null": {"sites": None},
        "a site twice": {"sites": [site, *about["sites"][:-1]]},
        "a site without a name": {"sites": [site | {"name": ""}, *about["sites"][1:]]},
        "a site named by a number": {"sites": [site | {"name": 7}, *about["sites"][1:]]},
        "a site named as a path": {"sites": [site | {"name": "../../etc/passwd"}, *about["sites"][1:]]},
        "a component as a path": {"sites": [{**s, "component": "../../.."} for s in about["sites"]]},
        "a site of no size": {"sites": [site | {"shape": [0, 6]}, *about["sites"][1:]]},
        "a huge site": {"sites": [site | {"shape": [1 << 39, 1 << 39]}, *about["sites"][1:]]},
        "a site of floats": {"sites": [site | {"shape": [4.0, 6.0]}, *about["sites"][1:]]},
        "a site of 5 dimensions": {"sites": [site | {"shape": [1, 1, 1, 4, 6]}, *about["sites"][1:]]},
        "a quantised site": {"sites": [site | {"dtype": "I8"}, *about["sites"][1:]]},
        "hashes of numbers": {"sites": [site | {"base": {"F32": 1}}, *about["sites"][1:]]},
        "hashes a list": {"sites": [site | {"result": []}, *about["sites"][1:]]},
        "hashes short": {"sites": [site | {"result": {"F32": "00"}}, *about["sites"][1:]]},
        "a sketch that is none": {"sites": [site | {"sketch": "zz"}, *about["sites"][1:]]},
        "a sketch a list": {"sites": [site | {"sketch": [1.0]}, *about["sites"][1:]]},
        "transposed a text": {"sites": [site | {"transposed": "no"}, *about["sites"][1:]]},
        "no groups": {"groups": {}},
        "groups a list": {"groups": [group]},
        "a group of a number": {"groups": {"text": 1}},
        "a group of an unknown form": {"groups": {"text": group | {"form": "exec"}}},
        "a group of a listed form": {"groups": {"text": group | {"form": ["dense"]}}},
        "a group over sites that are not there": {"groups": {"text": group | {"sites": [1 << 39]}}},
        "a group over negative sites": {"groups": {"text": group | {"sites": [-1]}}},
        "a group over texts": {"groups": {"text": group | {"sites": ["0"]}}},
        "a group without sites": {"groups": {"text": {"form": "dense", "left": 1, "right": 0}}},
        "a group of 2^39 factors": {"groups": {"text": group | {"left": 1 << 39}}},
        "a group of true factors": {"groups": {"text": group | {"left": True}}},
        "two groups over one site": {"groups": {"a": group, "b": group}},
        "a group named as a path": {"groups": {"../../x": group}},
        "claims a text": {"claims": "all hold"},
        "edits of texts": {"edits": ["circle"]},
        "extra a list": {"extra": []},
        "another id": {"delta_id": "0" * 64},
        "an id that is a number": {"delta_id": 0},
        "another family": {"family": "../../sd1"},
        "another manifest": {"manifest": "editc: 1"},
        "a manifest that is null": {"manifest": None},
        "half a character": {"family": "\ud800"},
    }
    texts = {name: canonical(wrapped(value, about | change)).decode() for name, change in changes.items()}
    texts |= {
        "text: empty": "",
        "text: a list": "[]",
        "text: null": "null",
        "text: NaN": text[:-1] + ',"zz":NaN}',
        "text: a key twice": text[:-1] + ',"version":1}',
        "text: deep": text[:-1] + ',"zz":' + "[" * 200_000 + "]" * 200_000 + "}",
        "text: deep from the start": "[" * 200_000,
        "text: deep note": '{"as":' + "[" * 200_000,
        "text: infinite": text.replace('"version":1', '"version":1e999', 1),
        "text: lists": text[:-1] + ',"zz":[' + "[]," * (MAX_HEADER // 4) + "[]]}",
        "text: another spelling": json.dumps(value),
    }
    if "delta" in value:
        for name, change in NOTES.items():
            texts[f"note: {name}"] = canonical(value | change).decode()
    return {
        n: frame(canonical(header | {"__metadata__": header["__metadata__"] | {"editc": t}}), body)
        for n, t in texts.items()
    }


NOTES: Mapping[str, Mapping[str, Any]] = {
    "version 2": {"version": 2},
    "an unknown kind": {"as": "exec"},
    "a kind that is a list": {"as": ["kohya"]},
    "a kind as a path": {"as": "../../x"},
    "a kind that is not read so": {"as": "checkpoint"},
    "the delta's own kind": {"as": "safetensors"},
    "another kind": {"as": "diff"},
    "a third kind": {"as": "peft"},
    "options a list": {"options": []},
    "no delta": {"delta": None},
    "a delta that is a list": {"delta": []},
    "an empty delta": {"delta": {}},
    "a key more": {"code": 1},
}


def wrapped(value: Mapping[str, Any], about: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**value, "delta": about} if "delta" in value else about


def tensor_lies(data: bytes) -> dict[str, bytes]:
    """Sound files whose tensors are not: not finite, of another shape, missing, or more than were said."""
    header, body = split(data)
    names = sorted(name for name in header if name != "__metadata__" and header[name]["dtype"] == "F32")
    parts = {
        n: (e["dtype"], tuple(e["shape"]), body[e["data_offsets"][0] : e["data_offsets"][1]])
        for n, e in header.items()
        if n != "__metadata__"
    }
    metadata, found = header.get("__metadata__", {}), {}

    def with_parts(**changes: Any) -> bytes:
        changed = {n: p for n, p in {**parts, **changes.get("parts", {})}.items() if p is not None}
        return safetensors_write.file_bytes(changed, metadata)

    pick = next(name for name in names if "attn2" in name and len(parts[name][1]) == 2)
    size = len(parts[pick][2]) // 4
    for word, number in {"NaN": np.nan, "inf": np.inf, "-inf": -np.inf, "1e38": 1e38}.items():
        values = np.full(size, 0.5, "<f4")
        values[0] = number
        found[f"{word} in a tensor"] = with_parts(parts={pick: ("F32", parts[pick][1], values.tobytes())})
    rows = parts[pick][1][0]
    shapes = {"flat": (size,), "a point": (), "empty": (0, 6), "no rank": (rows, 0), "deep": (1, 1, 1, 1, size)}
    for word, shape in shapes.items():
        held = b"\0" * (4 * int(np.prod(shape)))
        found[f"a tensor that is {word}"] = with_parts(parts={pick: ("F32", shape, held)})
    found["a tensor less"] = with_parts(parts={pick: None})
    found["no tensors"] = safetensors_write.file_bytes({}, metadata)
    found["a tensor of integers"] = with_parts(parts={pick: ("I32", parts[pick][1], parts[pick][2])})
    if metadata.get("editc"):
        found["a tensor more"] = with_parts(parts={"zzz": ("F32", (1,), bytes(4))})
        found["a path more"] = with_parts(parts={"../../zzz": ("F32", (1,), bytes(4))})
        found["all zeros"] = safetensors_write.file_bytes(
            {n: (d, s, bytes(len(r))) for n, (d, s, r) in parts.items()}, metadata
        )
    return found


def tensor_header(size: int, metadata: Mapping[str, str]) -> bytes:
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    return frame(canonical({"__metadata__": metadata, "group/text/left.0": entry}))


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file with holes: it takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)
