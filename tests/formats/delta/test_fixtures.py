"""Files of each format version, kept for ever: each still reads, is the delta that it was, and applies."""

from __future__ import annotations

from pathlib import Path

import pytest
from format_fixtures import DELTAS, EXPORTS, HALVES, write_exports
from tiny_files import contents

from editc.formats.apply.apply import apply, plan_apply
from editc.formats.exports.read import format_of, read_delta
from editc.formats.inspect import inspect
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes

FOLDERS = {"deltas": DELTAS, "halves": HALVES, "exports": EXPORTS}
IDS = {
    "deltas/dense": "a7b9e25e64315af04a8ebc56c4171007545c6ab589ef9a674f71394a6b0e6759",
    "deltas/low-rank": "41f7617550155d58427ae644a1d79910b26d307480b70f5d7b3035796a92ee97",
    "deltas/shared": "11a96ab0157caf5c0f94506da3136de2ac14874a08991d44c85b5f96161080b2",
    "deltas/xor": "f9fd0a7b10cd83a7bec725f32e98f7fab9d015035ccb1cd36b5dcdf2023f2e5e",
    "halves/low-rank": "4389dcf73b2b0abcf4dd8cb352f1850738e7e25a21faad02a4c5dee0823ed431",
    "exports/diff": "d9249d321abf4b6178bb80a1b0dab4b060835c310087479052e3b438362439dd",
    "exports/diffusers": "cc4f91ae4296bb62ee0f01dcc23f482dfd4779a5d3efbc150c3ac51f74eb775c",
    "exports/kohya": "53dedef9a545324088f764ad7cc44c865095e3732fd142c8f083c386dc9401d3",
    "exports/onnx-graph": "cc4429f14a181247df2b64c3535260f9b2e5b6ddb66500fe2025732d68aadc0b",
    "exports/peft": "2385684ca5572f9fb041de0dd358d80c36c76200acdf722e1d77a3c38a94632d",
}


def test_every_fixture_is_listed() -> None:
    kept = {f"{kind}/{path.name.split('.')[0]}" for kind, folder in FOLDERS.items() for path in folder.iterdir()}
    assert kept - {"deltas/base"} == IDS.keys()


@pytest.mark.parametrize("name", IDS)
def test_a_fixture_is_the_delta_that_it_was(name: str, tmp_path: Path) -> None:
    path = place(name)
    delta = read_delta(path)
    assert delta.version == (2 if name.startswith("halves") else 1) and delta.delta_id == IDS[name]
    assert inspect(str(path))["delta_id"] == IDS[name]
    assert format_of(path) == (name.split("/")[1] if name.startswith("exports") else "safetensors")
    if any(record.site.component != "unet" for record in delta.sites):
        return
    base = open_model(DELTAS / "base")
    plan = plan_apply([delta], base)
    assert plan.tier == "exact"
    apply(plan, out=tmp_path / "out")
    edited = open_model(tmp_path / "out").component("unet")
    for record in delta.sites:
        assert dtypes.sha256(edited.raw(record.site.name)) == record.result["F32"]


def test_the_exports_are_what_this_code_would_write_today(tmp_path: Path) -> None:
    write_exports(tmp_path / "v1", DELTAS / "base")
    made, kept = contents(tmp_path / "v1"), contents(EXPORTS)
    assert made == kept


def place(name: str) -> Path:
    kind, stem = name.split("/")
    (found,) = (path for path in FOLDERS[kind].iterdir() if path.name.split(".")[0] == stem)
    return found
