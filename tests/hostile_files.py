"""Files made to hurt: for every kind of file that editc reads, a good one, and what an attacker makes of it.

A `Case` is a command over files in a fresh folder. `corpus` yields them all; `run` runs one as the command line would
and tells how it ended. `python tests/hostile_files.py` prints the figures of docs/hostile.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import hostile_onnx
import numpy as np
import onnx_files
from tiny_files import (
    KEYS,
    delta_for,
    frame,
    pack,
    random_tensor,
    write_pipeline,
)

from editc import terminal
from editc.cli import cli
from editc.formats import delta_check, exported
from editc.formats.apply import apply, plan_apply
from editc.formats.checkpoint import open_model
from editc.formats.export import export
from editc.formats.exporting import Job
from editc.formats.folders import MAX_INDEX
from editc.formats.header import MAX_HEADER
from editc.formats.lora import read_adapter
from editc.formats.safetensors_delta import sealed, to_bytes
from editc.ir import Delta

KINDS = ("kohya", "diffusers", "diff", "peft")
FAMILY = {"kohya": "sd1", "diffusers": "flux", "diff": "sd1", "peft": "llama"}
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"
Build = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Case:
    """`build` makes the files in a folder that holds the pipeline `m`, and returns the command's words."""

    reader: str
    name: str
    build: Build


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, the codes it reported, seconds of CPU, and by how many bytes the process grew."""

    exit: int
    codes: tuple[str, ...]
    seconds: float
    peak: int
    wrote: bool
    said: str


@click.group()
def reading() -> None:
    """What no command of editc reads alone."""


@reading.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("model")
def adapter(file: Path, model: str) -> int:
    """An adapter as `fuse` reads it."""
    read_adapter(file, open_model(model).component("unet"))
    return 0


@contextlib.contextmanager
def stage() -> Iterator[Path]:
    """A folder with the pipeline `m`, alone in two folders more, in which nothing else may appear."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "outer" / "inner"
        write_pipeline(folder / "m")
        yield folder
        assert [path.name for path in (*folder.parents[1].iterdir(), *folder.parent.iterdir())] == ["outer", "inner"]


def run(case: Case, folder: Path) -> Ended:
    """Build the files, run the command, and put the folder back as it was."""
    words = [word.replace("HERE", str(folder)) for word in case.build(folder)]
    before, out, err = listing(folder), io.StringIO(), io.StringIO()
    resident = memory("VmRSS", anew=True)
    begun = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        exit_code = terminal.guarded(reading if words[0] == "adapter" else cli, words)
    seconds = time.process_time() - begun
    peak = memory("VmHWM") - resident
    wrote = listing(folder) != before
    found = tuple(re.findall(r"error\[(E\d+)\]", err.getvalue()))
    for path in folder.iterdir():
        if path.name != "m":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if wrote or words[-1] == "spoils":
        shutil.rmtree(folder / "m")
        write_pipeline(folder / "m")
    return Ended(exit_code, found, seconds, peak, wrote, out.getvalue() + err.getvalue())


def memory(name: str, anew: bool = False) -> int:
    """Bytes of this process as Linux counts them; `anew` forgets the peak (VmHWM) so far."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name)]
    return 1024 * int(line.split()[1])


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below a folder with size, time and inode: a write of any kind changes it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        found[str(path)] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def corpus() -> Iterator[Case]:
    """All cases."""
    with stage() as folder:
        delta = good(folder)
        files = {"delta": to_bytes(delta)} | {kind: written(kind, delta, folder) for kind in KINDS}
        weights = (folder / "m" / WEIGHTS).read_bytes()
        applied_files = journal_files(folder, delta)
    for reader, data in files.items():
        for name, bad in {**damages(data), **header_lies(data), **described(data)}.items():
            if len(bad) < 1_000_000 or reader in ("delta", "kohya"):
                yield Case(reader, name, as_delta(reader, bad, "inspect" if len(name) % 2 else "apply"))
    for kind in KINDS:
        for name, bad in tensor_lies(files[kind]).items():
            yield Case(kind, name, as_delta(kind, bad, "apply"))
    yield from forged(delta)
    yield from places()
    for name, bad in {**damages(weights), **header_lies(weights), **tensor_lies(weights)}.items():
        yield Case("checkpoint", name, as_weights(bad, files["delta"]))
    yield from indexes(files["delta"])
    yield from journals(applied_files)
    yield from adapters()
    yield from graphs()


def good(folder: Path) -> Delta:
    """A sound delta with a long manifest, so that it has some kilobytes."""
    model = open_model(folder / "m")
    found = replace(delta_for(model, "low-rank", rank=8), family="sd1", manifest="editc: 1\n" + "# kilobytes\n" * 300)
    return sealed(found)


def written(kind: str, delta: Delta, folder: Path) -> bytes:
    """The export of a sound delta: its tensors' file."""
    made = replace(delta, family=FAMILY[kind])
    if kind in ("diffusers",):
        made = replace(
            made,
            sites=tuple(replace(r, site=replace(r.site, component="transformer", role="entry")) for r in made.sites),
        )
    model = open_model(folder / "m") if kind in ("diff", "kohya") else None
    out = folder / f"{kind}.out"
    return export(Job(sealed(made), model, out), kind, tried=False).written.files[0].read_bytes()


# what the bytes of any safetensors file can suffer


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
    found = {name: frame(canonical(header | change), body) for name, change in changes.items()}
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
        return exported.container(changed, metadata)

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
    found["no tensors"] = exported.container({}, metadata)
    found["a tensor of integers"] = with_parts(parts={pick: ("I32", parts[pick][1], parts[pick][2])})
    if metadata.get("editc"):
        found["a tensor more"] = with_parts(parts={"zzz": ("F32", (1,), bytes(4))})
        found["a path more"] = with_parts(parts={"../../zzz": ("F32", (1,), bytes(4))})
        found["all zeros"] = exported.container({n: (d, s, bytes(len(r))) for n, (d, s, r) in parts.items()}, metadata)
    return found


# where the bytes are put, and what is run over them


def as_delta(reader: str, data: bytes, command: str) -> Build:
    """The file as a delta that is inspected, or applied to the pipeline."""

    def build(folder: Path) -> Sequence[str]:
        place = folder / "d.safetensors"
        if reader == "peft":
            place = folder / "d"
            place.mkdir()
            (place / exported.FOLDER_FILE).write_bytes(data)
            (place / "adapter_config.json").write_text("{")
        else:
            place.write_bytes(data)
        if command == "inspect":
            return ["inspect", str(place)]
        return ["apply", str(place), "--to", "HERE/m", "--out", "HERE/out"]

    return build


def as_weights(data: bytes, delta: bytes) -> Build:
    """The file as the pipeline's weights, with a sound delta to apply."""

    def build(folder: Path) -> Sequence[str]:
        shutil.copytree(folder / "m", folder / "w")
        (folder / "w" / WEIGHTS).write_bytes(data)
        (folder / "d.safetensors").write_bytes(delta)
        return ["apply", "HERE/d.safetensors", "--to", "HERE/w", "--out", "HERE/out", "--allow-finetune"]

    return build


def graphs() -> Iterator[Case]:
    """ONNX files, to be looked at."""
    with tempfile.TemporaryDirectory() as folder:
        sound = onnx_files.pico(Path(folder) / "m.onnx").read_bytes()
    for name, bad in hostile_onnx.damaged(sound).items():
        yield Case("onnx", name, as_graph(bad))
    for name, bad in hostile_onnx.crowded().items():
        yield Case("onnx", f"as many {name} as fit", as_graph(bad))


def as_graph(data: bytes) -> Build:
    """The file as an ONNX model that is inspected."""

    def build(folder: Path) -> Sequence[str]:
        (folder / "m.onnx").write_bytes(data)
        return ["inspect", "HERE/m.onnx"]

    return build


def resigned(delta: Delta, place: Path) -> Path:
    """The delta with a `delta_id` that is right, whether the delta makes sense or not: what an attacker would do."""
    kept = delta_check.check
    delta_check.check = lambda delta, place: None  # type: ignore[assignment]
    try:
        place.write_bytes(to_bytes(delta))
    finally:
        delta_check.check = kept  # type: ignore[assignment]
    return place


def forged(delta: Delta) -> Iterator[Case]:
    """Deltas whose every byte is signed for, and which lie in what they say."""
    lies: dict[str, Mapping[str, Any]] = {
        "claims without a name": {"claims": ({"value": 1.0},)},
        "claims of texts": {"claims": ({"name": "drift", "value": "low"},)},
        "claims named by lists": {"claims": ({"name": ["drift"], "value": 1.0},)},
        "claims of maps": {"claims": ({"name": {}, "value": {}, "bound": []},)},
        "claims of huge numbers": {"claims": ({"name": "drift", "value": 10**400},)},
        "edits of nothing": {"edits": ({},)},
        "edits of lists": {"edits": ({"concept": [1], "method": [2], "strength": "much", "options": 3},)},
        "many edits": {"edits": tuple({"concept": str(n)} for n in range(20_000))},
        "no edits": {"edits": ()},
        "a family that is a path": {"family": "../../../sd1"},
        "no family": {"family": ""},
        "an unknown family": {"family": "sd99"},
        "a manifest of no YAML": {"manifest": "\t{[a: b"},
        "no manifest": {"manifest": ""},
        "a manifest that is binary": {"manifest": "\0\1\x1b]0;title\7"},
        "a manifest of aliases": {"manifest": BOMB},
        "a deep manifest": {"manifest": "[" * 100_000},
        "a long manifest": {"manifest": "a: " + "x" * 1_000_000},
        "a manifest that names files": {"manifest": FILES},
        "overrides that are a number": {"extra": {"set": 5}},
        "overrides that are lists": {"extra": {"set": [[1], {}]}},
        "overrides that are nonsense": {"extra": {"set": ["a.b.c=[", "=", "x"]}},
        "kept prompts that are a number": {"extra": {"kept": 5}},
        "kept prompts that are lists": {"extra": {"kept": [[1]]}},
        "evidence that is a list": {"extra": {"evidence": []}},
        "evidence of lists": {"extra": {"evidence": {KEYS[0]: [1]}}},
        "deep extra": {"extra": {"a": nested(500)}},
        "an encoder that is a path": {"encoder": "/etc/passwd"},
    }
    for name, change in lies.items():
        for command in ("inspect", "verify"):
            yield Case("forged delta", f"{name}, {command}", as_forged(delta, change, command))
    escapes = {"sites": named(delta, ESCAPES), "edits": ({"concept": ESCAPES, "method": ESCAPES},), "family": ESCAPES}
    escapes |= {"claims": ({"name": ESCAPES, "value": 1.0},), "tool": ESCAPES}
    yield Case("forged delta", "names with escapes, inspect", as_forged(delta, escapes, "inspect"))
    yield Case("forged delta", "names with escapes, apply", as_forged(delta, escapes, "apply"))
    factors, record = delta.factors["text"], delta.sites[0]
    bad = np.full_like(factors.left[0], np.nan)
    big = np.full_like(factors.left[0], 3e38)
    nonsense: dict[str, Mapping[str, Any]] = {
        "NaN factors": {"factors": {"text": replace(factors, left=(bad, *factors.left[1:]))}},
        "infinite factors": {"factors": {"text": replace(factors, left=(bad + np.inf, *factors.left[1:]))}},
        "factors near the largest": {"factors": {"text": replace(factors, left=(big, *factors.left[1:]))}},
        "factors of other shapes": {"factors": {"text": replace(factors, left=factors.left[::-1])}},
        "no factors": {"factors": {"text": replace(factors, left=(), right=())}},
        "a sketch of NaN": {"sites": (replace(record, sketch="0000c07f" * 33), *delta.sites[1:])},
        "a sketch of letters": {"sites": (replace(record, sketch="é" * 176), *delta.sites[1:])},
        "a site that is not there": {"sites": named(delta, "no.such.weight")},
        "a site named as a path": {"sites": named(delta, "../../../etc/passwd")},
        "a component as a path": {"sites": parted(delta, "../../../etc")},
        "no component": {"sites": parted(delta, "")},
        "results equal to bases": {"sites": tuple(replace(r, result=r.base) for r in delta.sites)},
        "results that are wrong": {"sites": tuple(replace(r, result=r.base_transposed) for r in delta.sites)},
        "bases that are wrong": {"sites": tuple(replace(r, base=r.base_transposed) for r in delta.sites)},
    }
    for name, change in nonsense.items():
        yield Case("forged delta", f"{name}, apply", as_forged(delta, change, "apply"))


ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202etxet\r"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = (
    "editc: 1\nmodel: /etc/passwd\nedits: [{erase: circle, to: square}]\nconstraints: {preserve: {file: /etc/passwd}}\n"
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def named(delta: Delta, name: str) -> tuple[Any, ...]:
    return (replace(delta.sites[0], site=replace(delta.sites[0].site, name=name)), *delta.sites[1:])


def parted(delta: Delta, component: str) -> tuple[Any, ...]:
    return tuple(replace(r, site=replace(r.site, component=component)) for r in delta.sites)


def as_forged(delta: Delta, change: Mapping[str, Any], command: str) -> Build:
    def build(folder: Path) -> Sequence[str]:
        place = str(resigned(replace(delta, **change), folder / "d.safetensors"))
        words = {"inspect": ["inspect", place], "verify": ["verify", place, "--model", "HERE/m"]}
        return words.get(command, ["apply", place, "--to", "HERE/m", "--out", "HERE/out"])

    return build


def places() -> Iterator[Case]:
    """Things that are no files, or of a size that nobody sends."""

    def at(make: Callable[[Path], object], *words: str) -> Build:
        def build(folder: Path) -> Sequence[str]:
            make(folder / "d.safetensors")
            return words

        return build

    makes: dict[str, Callable[[Path], object]] = {
        "a pipe": lambda p: os.mkfifo(p),
        "a link to /dev/zero": lambda p: p.symlink_to("/dev/zero"),
        "a link to itself": lambda p: p.symlink_to(p),
        "a link to nothing": lambda p: p.symlink_to(p.parent / "nothing"),
        "a folder": lambda p: p.mkdir(),
        "a terabyte of nothing": lambda p: sparse(p, b"", 1 << 40),
        "a terabyte behind a header": lambda p: sparse(p, frame(b"{}"), 1 << 40),
        "a terabyte tensor": lambda p: sparse(p, tensor_header(1 << 40, {}), 1 << 40),
        "a terabyte delta": lambda p: sparse(p, tensor_header(1 << 40, {"editc": "{}"}), 1 << 40),
        "a terabyte export": lambda p: sparse(p, tensor_header(1 << 40, {"editc": '{"as":"kohya"}'}), 1 << 40),
    }
    for name, make in makes.items():
        yield Case(
            "place", f"{name}, apply", at(make, "apply", "HERE/d.safetensors", "--to", "HERE/m", "--out", "HERE/out")
        )
        yield Case("place", f"{name}, inspect", at(make, "inspect", "HERE/d.safetensors"))
        if "terabyte" not in name:
            yield Case("place", f"{name}, adapter", at(make, "adapter", "HERE/d.safetensors", "HERE/m"))


def tensor_header(size: int, metadata: Mapping[str, str]) -> bytes:
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    return frame(canonical({"__metadata__": metadata, "group/text/left.0": entry}))


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file with holes: it takes no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)


def indexes(delta: bytes) -> Iterator[Case]:
    """The index of a sharded checkpoint."""
    file = "diffusion_pytorch_model-00001-of-00002.safetensors"
    tables: dict[str, Any] = {
        "not JSON": b"{",
        "not UTF-8": b'{"weight_map":{"\xff":1}}',
        "deep": b'{"weight_map":' + b"[" * 200_000,
        "a list": [],
        "no map": {},
        "an empty map": {"weight_map": {}},
        "a map that is a list": {"weight_map": [file]},
        "a shard that is a number": {"weight_map": {"a": 1}},
        "a shard that is null": {"weight_map": {"a": None}},
        "a shard that is missing": {"weight_map": {"a": "none.safetensors"}},
        "a shard outside": {"weight_map": {"a": "../../../etc/passwd"}},
        "a shard above": {"weight_map": {"a": "../model.safetensors"}},
        "a shard anywhere": {"weight_map": {"a": "/etc/shadow.safetensors"}},
        "a shard behind a backslash": {"weight_map": {"a": "..\\model.safetensors"}},
        "a shard with a nul": {"weight_map": {"a": "a\0.safetensors"}},
        "a shard with a long name": {"weight_map": {"a": "x" * 5000 + ".safetensors"}},
        "a shard with half a character": {"weight_map": {"a": "\ud800.safetensors"}},
        "a shard of a newline": {"weight_map": {"a": "\n.safetensors"}},
        "a shard that is a pickle": {"weight_map": {"a": "pytorch_model.bin"}},
        "a tensor that is not there": {"weight_map": {"no.such": file}},
        "a tensor in another shard": {"weight_map": {KEYS[0]: "diffusion_pytorch_model-00002-of-00002.safetensors"}},
        "a tensor twice": b'{"weight_map":{"a":"%s","a":"%s"}}' % (file.encode(), file.encode()),
        "100,000 shards": {"weight_map": {str(n): f"{n}.safetensors" for n in range(100_000)}},
        "as many lists as fit": b'{"a":[' + b"[]," * (MAX_INDEX // 3 - 40) + b"[]]}",
        "too long": b" " * (MAX_INDEX + 1) + b"{}",
        "a number of 10,000 digits": b'{"weight_map":' + b"9" * 10_000 + b"}",
    }

    def build_with(table: Any) -> Build:
        def build(folder: Path) -> Sequence[str]:
            root = write_pipeline(folder / "w", shards=2)
            data = table if isinstance(table, bytes) else canonical(table)
            (root / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_bytes(data)
            (folder / "d.safetensors").write_bytes(delta)
            return ["apply", "HERE/d.safetensors", "--to", "HERE/w", "--out", "HERE/out"]

        return build

    for name, table in tables.items():
        yield Case("index", name, build_with(table))

    def looped(folder: Path) -> Sequence[str]:
        build_with(b"")(folder)
        index = folder / "w" / "unet" / "diffusion_pytorch_model.safetensors.index.json"
        index.unlink()
        sparse(index, b'{"weight_map":', 1 << 40)
        return ["status", "HERE/w", "--delta", "HERE/d.safetensors"]

    yield Case("index", "a terabyte", looped)


def journal_files(folder: Path, delta: Delta) -> dict[str, bytes]:
    """A pipeline with a delta applied in place: every file of it."""
    root = write_pipeline(folder / "edited")
    apply(plan_apply([delta], open_model(root)), in_place=True)
    return {
        name: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for name in [str(path.relative_to(root))]
    }


def journals(files: Mapping[str, bytes]) -> Iterator[Case]:
    """What a downloaded model may bring along as its history."""
    record_name = next(name for name in files if name.endswith("record.json"))
    record = json.loads(files[record_name])
    part, mark = record["ranges"][0], next(iter(record["files"].values()))
    file = next(iter(record["files"]))
    changes: dict[str, Mapping[str, Any]] = {
        "version 2": {"version": 2},
        "version a list": {"version": [1]},
        "another mode": {"mode": "exec"},
        "a mode that is a list": {"mode": ["out"]},
        "no files": {"files": {}},
        "files a list": {"files": [file]},
        "files of numbers": {"files": {file: 1}},
        "a file outside": {"files": {"../../x.safetensors": mark}, "ranges": [part | {"file": "../../x.safetensors"}]},
        "a file anywhere": {"files": {"/etc/x.safetensors": mark}, "ranges": [part | {"file": "/etc/x.safetensors"}]},
        "a file that is none": {"files": {"model_index.json": mark}, "ranges": [part | {"file": "model_index.json"}]},
        "a file with a nul": {"files": {"a\0.safetensors": mark}, "ranges": [part | {"file": "a\0.safetensors"}]},
        "a file with a long name": {"files": {"x" * 5000 + ".safetensors": mark}, "ranges": []},
        "a file with half a character": {"files": {"\ud800.safetensors": mark}, "ranges": []},
        "a range in no file": {"ranges": [part | {"file": "none.safetensors"}]},
        "ranges a map": {"ranges": {"0": part}},
        "ranges of numbers": {"ranges": [1]},
        "a range with a field more": {"ranges": [part | {"run": "rm"}]},
        "a negative offset": {"ranges": [part | {"offset": -8}]},
        "an offset of a float": {"ranges": [part | {"offset": 1.5}]},
        "an offset far out": {"ranges": [part | {"offset": 1 << 62}]},
        "an offset beyond 64 bits": {"ranges": [part | {"offset": 1 << 70}]},
        "a size far out": {"ranges": [part | {"nbytes": 1 << 62}]},
        "a size beyond 64 bits": {"ranges": [part | {"nbytes": 1 << 70}]},
        "an undo far out": {"ranges": [part | {"undo": 1 << 62}]},
        "an undo beyond 64 bits": {"ranges": [part | {"undo": 1 << 70}]},
        "a range over the header": {"ranges": [part | {"offset": 0}]},
        "a hash of a number": {"ranges": [part | {"base": 1}]},
        "a hash that is wrong": {"ranges": [part | {"base": "0" * 64}]},
        "a time far out": {"files": {file: mark | {"modified": 1 << 80}}},
        "a size of true": {"files": {file: mark | {"size": True}}},
        "no deltas": {"deltas": []},
        "deltas of texts": {"deltas": ["x"]},
        "deltas without an id": {"deltas": [{}]},
        "a delta's id a list": {"deltas": [{"delta_id": ["x"]}]},
        "a delta's id a path": {"deltas": [{"delta_id": "../../../../x"}]},
        "a delta's edits a number": {"deltas": [{"delta_id": "x", "edits": 5}]},
        "a delta's edits of numbers": {"deltas": [{"delta_id": "x", "edits": [5]}]},
    }
    texts = {name: canonical(record | change) for name, change in changes.items()}
    texts |= {
        "empty": b"",
        "null": b"null",
        "a list": b"[]",
        "not UTF-8": b"\xff\xfe",
        "deep": b"[" * 200_000,
        "a key twice": files[record_name].rstrip()[:-1] + b',"version":1}',
        "half": files[record_name][: len(files[record_name]) // 2],
        "NaN": b'{"version":NaN}',
        "as many lists as fit": b'{"a":[' + b"[]," * (MAX_HEADER // 3 - 40) + b"[]]}",
        "too long": b" " * (MAX_HEADER + 1),
    }

    def forged_journal(text: bytes, done: bool, command: str) -> Build:
        def build(folder: Path) -> Sequence[str]:
            for name, data in files.items():
                place = folder / "w" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            (folder / "w" / record_name).write_bytes(text)
            if not done:
                (folder / "w" / record_name).with_name("done").unlink()
            return [command, "HERE/w"]

        return build

    for name, text in texts.items():
        yield Case("journal", f"{name}, revert", forged_journal(text, True, "revert"))
        yield Case("journal", f"{name}, interrupted, status", forged_journal(text, False, "status"))

    def moved(change: Callable[[Path], object], command: str) -> Build:
        def build(folder: Path) -> Sequence[str]:
            forged_journal(files[record_name], True, command)(folder)
            change((folder / "w" / record_name).parent)
            return [command, "HERE/w"]

        return build

    moves: dict[str, Callable[[Path], object]] = {
        "no undo": lambda p: (p / "undo.bin").unlink(),
        "half an undo": lambda p: os.truncate(p / "undo.bin", 10),
        "another undo": lambda p: (p / "undo.bin").write_bytes(bytes(4096)),
        "an undo that is a pipe": lambda p: ((p / "undo.bin").unlink(), os.mkfifo(p / "undo.bin")),
        "an undo that is a folder": lambda p: ((p / "undo.bin").unlink(), (p / "undo.bin").mkdir()),
        "a record that is a pipe": lambda p: ((p / "record.json").unlink(), os.mkfifo(p / "record.json")),
        "a record that is a folder": lambda p: ((p / "record.json").unlink(), (p / "record.json").mkdir()),
        "a record of a terabyte": lambda p: sparse(p / "record.json", b"{", 1 << 40),
        "an entry without a number": lambda p: p.rename(p.parent / "entry"),
        "an entry that is empty": lambda p: (p.parent / "0002-x").mkdir(),
    }
    for name, change in moves.items():
        yield Case("journal", f"{name}, revert", moved(change, "revert"))


def adapters() -> Iterator[Case]:
    """Kohya files as `fuse` reads them."""
    module = "lora_unet_" + KEYS[0].removesuffix(".weight").replace(".", "_")
    rank = 2
    up, down = random_tensor(1, "F32", (4, rank)), random_tensor(2, "F32", (rank, 6))
    alpha = ("F32", (), np.float32(1).tobytes())
    sound = {f"{module}.lora_up.weight": up, f"{module}.lora_down.weight": down, f"{module}.alpha": alpha}
    data = pack(sound)

    def one(data: bytes) -> Build:
        def build(folder: Path) -> Sequence[str]:
            (folder / "a.safetensors").write_bytes(data)
            return ["adapter", "HERE/a.safetensors", "HERE/m"]

        return build

    def f32(shape: tuple[int, ...], value: float) -> tuple[str, tuple[int, ...], bytes]:
        return "F32", shape, np.full(shape, value, "<f4").tobytes()

    changes: dict[str, Mapping[str, Any]] = {
        "NaN": {f"{module}.lora_up.weight": f32((4, rank), np.nan)},
        "infinite": {f"{module}.lora_down.weight": f32((rank, 6), np.inf)},
        "alpha NaN": {f"{module}.alpha": f32((), np.nan)},
        "alpha infinite": {f"{module}.alpha": f32((1,), np.inf)},
        "alpha a vector": {f"{module}.alpha": f32((3,), 1)},
        "alpha empty": {f"{module}.alpha": f32((0,), 1)},
        "alpha of integers": {f"{module}.alpha": ("I64", (), bytes(8))},
        "rank 0": {f"{module}.lora_up.weight": f32((4, 0), 1), f"{module}.lora_down.weight": f32((0, 6), 1)},
        "ranks that differ": {f"{module}.lora_up.weight": f32((4, 3), 1)},
        "a point": {f"{module}.lora_down.weight": f32((), 1)},
        "deep": {f"{module}.lora_down.weight": f32((1, 1, 1, rank, 6), 1)},
        "quantised": {f"{module}.lora_up.weight": ("I8", (4, rank), bytes(4 * rank))},
        "float8": {f"{module}.lora_up.weight": ("F8_E4M3", (4, rank), bytes(4 * rank))},
        "a module elsewhere": {"lora_unet_no_such.lora_up.weight": up, "lora_unet_no_such.lora_down.weight": down},
        "a path": {"../../x.lora_up.weight": up},
        "a path behind the prefix": {
            "lora_unet_../../x.lora_up.weight": up,
            "lora_unet_../../x.lora_down.weight": down,
        },
        "half": {"lora_unet_down_1_attn2_to_k.lora_up.weight": up},
        "a stranger": {"text_model.weight": up},
    }
    for name, change in changes.items():
        yield Case("adapter", name, one(pack({**sound, **change})))
    for name, bad in {**damages(data), **header_lies(data)}.items():
        yield Case("adapter", name, one(bad))


def main() -> None:
    """The figures, as Markdown."""
    rows: dict[str, list[Ended]] = {}
    with stage() as folder:
        for case in corpus():
            rows.setdefault(case.reader, []).append(run(case, folder))
    print("| files | refused | harmless | slowest | largest peak | codes |\n|---|---|---|---|---|---|")
    for reader, found in [*rows.items(), ("all", [one for group in rows.values() for one in group])]:
        codes = Counter(code for ended in found for code in set(ended.codes))
        said = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        harmless = sum(ended.exit == 0 for ended in found)
        slowest, peak = max(e.seconds for e in found), max(e.peak for e in found) / 1e6
        print(f"| {reader} | {len(found) - harmless} | {harmless} | {slowest:.2f} s | {peak:.0f} MB | {said} |")


if __name__ == "__main__":
    main()
