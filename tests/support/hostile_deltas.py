"""Hostile deltas, exports and adapters: damaged, signed for and yet untrue, or no files at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hostile_bytes import damages, header_lies, sparse, tensor_header
from hostile_run import Build, Case
from tiny_files import KEYS, delta_for, frame, pack, random_tensor

from editc.core.delta import Delta
from editc.formats.delta import check
from editc.formats.delta.container import to_bytes, with_delta_id
from editc.formats.exports import embed
from editc.formats.exports.format import Job
from editc.formats.exports.write import export
from editc.formats.models.model import open_model

KINDS = ("kohya", "diffusers", "diff", "peft")
FAMILY = {"kohya": "sd1", "diffusers": "flux", "diff": "sd1", "peft": "llama"}


def good(folder: Path) -> Delta:
    """A sound delta with a long manifest, so that it has some kilobytes."""
    model = open_model(folder / "m")
    found = replace(delta_for(model, "low-rank", rank=8), family="sd1", manifest="editc: 1\n" + "# kilobytes\n" * 300)
    return with_delta_id(found)


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
    return export(Job(with_delta_id(made), model, out), kind, tried=False).written.files[0].read_bytes()


def as_delta(reader: str, data: bytes, command: str) -> Build:
    """The file as a delta that is inspected, or applied to the pipeline."""

    def build(folder: Path) -> Sequence[str]:
        place = folder / "d.safetensors"
        if reader == "peft":
            place = folder / "d"
            place.mkdir()
            (place / embed.FOLDER_FILE).write_bytes(data)
            (place / "adapter_config.json").write_text("{")
        else:
            place.write_bytes(data)
        if command == "inspect":
            return ["inspect", str(place)]
        return ["apply", str(place), "--to", "HERE/m", "--out", "HERE/out"]

    return build


def resigned(delta: Delta, place: Path) -> Path:
    """The delta with a `delta_id` that is right, whether the delta makes sense or not: what an attacker would do."""
    kept = check.check_delta
    check.check_delta = lambda delta, place: None
    try:
        place.write_bytes(to_bytes(delta))
    finally:
        check.check_delta = kept
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
        "alpha of truths": {f"{module}.alpha": ("BOOL", (), b"\1")},
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
