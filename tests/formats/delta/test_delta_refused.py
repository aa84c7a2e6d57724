"""Delta files that are refused: any byte that differs, any description that was changed, and nonsense."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import delta_cases
import numpy as np
import pytest
from delta_cases import f32, rewritten, same
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_files import frame, pack, refused, sealed, write_pipeline

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.delta.container import from_bytes, read_delta, to_bytes
from editc.formats.exports.read import is_delta
from editc.formats.exports.read import read_delta as read_any

delta = delta_cases.delta


@pytest.mark.parametrize("version", [1, 2])
def test_every_changed_byte_is_refused(version: int, delta: Delta) -> None:
    delta = sealed(replace(delta, version=version))
    data = bytearray(to_bytes(delta))
    for position in range(len(data)):
        for change in (0x01, 0x20, 0x80):
            data[position] ^= change
            with pytest.raises(EditcError) as caught:
                from_bytes(bytes(data))
            assert {d.code for d in caught.value.diagnostics} <= {"E601", "E602", "E603"}
            data[position] ^= change
    assert same(from_bytes(bytes(data)), delta)


@pytest.mark.parametrize("version", [1, 2])
def test_every_truncation_and_extension_is_refused(version: int, delta: Delta) -> None:
    data = to_bytes(replace(delta, version=version))
    for length in [*range(0, 300), *range(300, len(data), 37), *range(len(data) - 80, len(data))]:
        with refused("E601"):
            from_bytes(data[:length])
    for more in (b"\0", b" " * 8, data):
        with refused("E601"):
            from_bytes(data + more)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("E602", lambda h, d: d.update(version=3)),
        ("E602", lambda h, d: d.update(version=3, new_key=[1])),
        ("E601", lambda h, d: d.update(version=2)),
        ("E602", lambda h, d: d.update(compatibility="sketches-2")),
        ("E603", lambda h, d: d.update(format="other")),
        ("E603", lambda h, d: d.update(version="1")),
        ("E601", lambda h, d: d.update(unknown=1)),
        ("E601", lambda h, d: d.pop("sites")),
        ("E601", lambda h, d: d.update(sites={})),
        ("E601", lambda h, d: d.update(sites=[1])),
        ("E601", lambda h, d: d.update(groups=[])),
        ("E601", lambda h, d: d.update(groups={"text": 1})),
        ("E601", lambda h, d: d.update(edits=["circle"])),
        ("E601", lambda h, d: d.update(family=3)),
        ("E601", lambda h, d: d["sites"][0].pop("base")),
        ("E601", lambda h, d: d["sites"][0].update(shape=["4", 6])),
        ("E601", lambda h, d: d["sites"][0].update(transposed=0)),
        ("E601", lambda h, d: d["sites"][0].update(base={"F32": 1})),
        ("E601", lambda h, d: d["groups"]["text"].update(form="sparse")),
        ("E601", lambda h, d: d["groups"]["text"].update(form=["dense"])),
        ("E601", lambda h, d: d["groups"]["text"].update(sites=[-1])),
        ("E601", lambda h, d: d["groups"]["text"].update(left=1 << 39)),
        ("E601", lambda h, d: d["groups"]["text"].update(left=True)),
        ("E601", lambda h, d: d["groups"].update(other=d["groups"]["text"])),
        ("E601", lambda h, d: d.update(delta_id="0" * 64)),
        ("E601", lambda h, d: d.update(family="sdxl")),
        ("E601", lambda h, d: h["__metadata__"].update(more="text")),
    ],
)
def test_a_changed_description_is_refused(delta: Delta, code: str, change: Any) -> None:
    with refused(code):
        from_bytes(rewritten(to_bytes(delta), change))


def test_a_newer_version_is_named(delta: Delta) -> None:
    with refused("E602") as error:
        from_bytes(rewritten(to_bytes(delta), lambda h, d: d.update(version=7)))
    assert "version 7" in error.diagnostics[0].message


@pytest.mark.parametrize("version", [1, 2])
def test_other_spellings_of_the_same_header_are_refused(version: int, delta: Delta) -> None:
    data = to_bytes(replace(delta, version=version))
    assert rewritten(data, lambda h, d: None) == data
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    with refused("E601"):
        from_bytes(frame(json.dumps(header).encode(), data[8 + length :]))
    with refused("E601"):
        from_bytes(frame(data[8 : 8 + length] + b" " * 8))


def test_files_that_are_not_deltas(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    weights = root / "unet" / "diffusion_pytorch_model.safetensors"
    with refused("E603"):
        read_delta(weights)
    with refused("E610"):
        read_delta(tmp_path / "none")
    with refused("E610"):
        read_delta(tmp_path)
    with refused("E603"):
        from_bytes(pack({}, {DELTA_KEY: "[]"}))
    with refused("E601"):
        from_bytes(pack({}, {DELTA_KEY: "{"}))
    with refused("E601"):
        from_bytes(pack({}, {DELTA_KEY: "[" * 100_000}))
    with refused("E603"):
        from_bytes(pack({}, {DELTA_KEY: '{"format":"editc-delta","version":true}'}))
    assert not is_delta(weights) and not is_delta(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80))
def test_random_bytes_are_never_a_delta(data: bytes, length: int) -> None:
    with pytest.raises(EditcError):
        from_bytes(length.to_bytes(8, "little") + data)


def with_factors(delta: Delta, **changes: Any) -> Delta:
    return replace(delta, factors={"text": replace(delta.factors["text"], **changes)})


def with_site(delta: Delta, **changes: Any) -> Delta:
    record = delta.sites[0]
    return replace(delta, sites=(replace(record, site=replace(record.site, **changes)), *delta.sites[1:]))


def u8(*values: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array(values, np.uint8)


NONSENSE: dict[str, Callable[[Delta], Delta]] = {
    "no sites": lambda d: replace(d, sites=(), factors={}),
    "site of no group": lambda d: replace(d, factors={}),
    "site of two groups": lambda d: replace(d, factors={**d.factors, "other": d.factors["text"]}),
    "site twice": lambda d: replace(d, sites=(d.sites[0], d.sites[0])),
    "site that does not exist": lambda d: with_factors(d, sites=(0, 1)),
    "site without a name": lambda d: with_site(d, name=""),
    "site of one dimension": lambda d: with_site(d, shape=(4,)),
    "site without rows": lambda d: with_site(d, shape=(0, 6)),
    "quantised site": lambda d: with_site(d, dtype="F8_E4M3"),
    "no hashes": lambda d: replace(d, sites=(replace(d.sites[0], base={}, base_transposed={}, result={}),)),
    "hash in capitals": lambda d: replace(
        d, sites=(replace(d.sites[0], result={k: v.upper() for k, v in d.sites[0].result.items()}),)
    ),
    "hashes of other dtypes": lambda d: replace(d, sites=(replace(d.sites[0], result={"F32": "0" * 64}),)),
    "left of another width": lambda d: with_factors(d, left=(f32(7, 1),)),
    "right of another width": lambda d: with_factors(d, right=(f32(1, 7),)),
    "ranks that differ": lambda d: with_factors(d, left=(f32(6, 2),)),
    "rank zero": lambda d: with_factors(d, left=(f32(6, 0),), right=(f32(0, 6),)),
    "two lefts": lambda d: with_factors(d, left=(f32(6, 1), f32(6, 1))),
    "no right": lambda d: with_factors(d, right=()),
    "a factor of one dimension": lambda d: with_factors(d, left=(f32(6),)),
    "not finite": lambda d: with_factors(d, left=(np.full((6, 1), np.nan, np.float32),)),
    "float64 factors": lambda d: with_factors(d, left=(np.ones((6, 1)),)),
    "low rank without a left": lambda d: with_factors(d, form="low-rank", left=(), right=(f32(1, 6),)),
    "low rank of another height": lambda d: with_factors(d, form="low-rank", left=(f32(5, 1),), right=(f32(1, 6),)),
    "dense with a right": lambda d: with_factors(d, form="dense", left=(f32(4, 6),)),
    "factors of bytes": lambda d: with_factors(d, left=(np.ones((6, 1), np.uint8),)),
    "bits for too few sites": lambda d: with_factors(d, bits=(u8(), u8())),
    "bits of another size": lambda d: with_factors(d, bits=(u8(0, *range(95)),)),
    "bits that would fill the memory": lambda d: with_site(
        with_factors(d, form="xor", left=(), right=(), bits=(u8(1, 2),)), shape=(4000, 6000)
    ),
    "bits packed in an unknown way": lambda d: with_factors(d, bits=(u8(2, *range(96)),)),
    "bits of two dimensions": lambda d: with_factors(d, bits=(np.zeros((97, 1), np.uint8),)),
    "bits that are no bytes": lambda d: with_factors(d, bits=(np.zeros(97, np.float32),)),
    "xor without bits": lambda d: with_factors(d, form="xor", left=(), right=()),
    "xor with no change": lambda d: with_factors(d, form="xor", left=(), right=(), bits=(u8(),)),
    "xor with factors": lambda d: with_factors(d, form="xor", bits=(u8(0, *range(96)),)),
    "dense of another shape": lambda d: with_factors(d, form="dense", left=(f32(6, 4),), right=()),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_neither_written_nor_read(delta: Delta, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nonsense = NONSENSE[name](delta)
    with refused("E604"):
        to_bytes(nonsense)
    if name not in ("float64 factors", "factors of bytes", "bits that are no bytes"):
        with monkeypatch.context() as forger:
            forger.setattr("editc.formats.delta.check.check_delta", lambda delta, place: None)
            forged = to_bytes(nonsense)
        with refused("E604"):
            from_bytes(forged)


def test_a_delta_that_changes_nothing_is_an_error(delta: Delta) -> None:
    with refused("E625"):
        to_bytes(replace(delta, sites=tuple(replace(r, result=r.base) for r in delta.sites)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), {1, 2}, b"bytes"])
def test_claims_that_json_cannot_say_are_refused(delta: Delta, value: Any) -> None:
    with refused("E605"):
        to_bytes(replace(delta, claims=({"name": "drift", "value": value},)))


def test_keys_that_are_numbers_become_text_in_one_order(delta: Delta) -> None:
    assert sealed(replace(delta, extra={"steps": {10: "a", 9: "b"}})).extra == {"steps": {"10": "a", "9": "b"}}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "C:\\x", "a/left.0", "caf\u00e9", "nul\0", '"', "\ud800"]
)
def test_names_that_look_like_paths_are_only_names(delta: Delta, name: str) -> None:
    odd = with_site(delta, name=name, component=name)
    odd = replace(odd, factors={name: odd.factors["text"]})
    if name == "\ud800":
        with refused("E604"):
            sealed(odd)
        return
    back = sealed(odd)
    assert back.sites[0].site.name == name and list(back.factors) == [name]


def test_a_git_lfs_pointer_is_named_and_not_called_a_damaged_delta(tmp_path: Path) -> None:
    path = tmp_path / "delta.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1835056\n")
    for read in (read_delta, read_any):
        with refused("E618"):
            read(path)
