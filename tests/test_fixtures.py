"""Files of format version 1, kept for ever: each still reads, is the delta that it was, and applies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_files import contents, quick_disk

from editc.formats.apply import apply, plan_apply
from editc.formats.checkpoint import open_model
from editc.formats.exported import kind_of, read_delta
from editc.formats.inspect import inspect
from editc.numerics import dtypes

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))

from make import DELTAS, EXPORTS, write_exports

__all__ = ["quick_disk"]

IDS = {
    "deltas/dense": "5dabeb6baaba10c0a82a9ca52eea5eefff18affe44c177cb1ab80464c9d02c10",
    "deltas/low-rank": "8b85dcde50017c60e348707e200025a9babb6afa1cb7ca1524d7367cb143288f",
    "deltas/shared": "ecec3a6905bd50a31815e77d054d87324b324c49083e9d56368900dcb861b426",
    "deltas/xor": "890a94ff88aa08b61ccb0950df815b5132b662e07b72594b329694400ac59e27",
    "exports/diff": "9a8b8469673c5b62ee5c2356a3dc0a5a6c778762b5bb63d08afdc430930a0708",
    "exports/diffusers": "7f79f4946245dcbc1234740e2c4034a4466d31d74e90dba77d7470f1fee682f3",
    "exports/kohya": "b590af5d6fccce51b44655f0fd90040eee78f3657be4d7e0fa4b07a9d1257c0c",
    "exports/onnx-graph": "1ed6d8b319f36581c94d8f31dc7ecdba276bd011c06de88e79255beaf0dbb8af",
    "exports/peft": "5cce292ed885fbd2b469399e000d81ad5638f929831c32b5d7907e7e51af2718",
}


def test_every_fixture_is_listed() -> None:
    kept = [path for folder in (DELTAS, EXPORTS) for path in folder.iterdir() if path.name != "base"]
    assert {f"{path.parents[1].name}/{path.name.split('.')[0]}" for path in kept} == IDS.keys()


@pytest.mark.parametrize("name", IDS)
def test_a_fixture_is_the_delta_that_it_was(name: str, tmp_path: Path) -> None:
    path = place(name)
    delta = read_delta(path)
    assert delta.version == 1 and delta.delta_id == IDS[name]
    assert inspect(str(path))["delta_id"] == IDS[name]
    assert kind_of(path) == (name.split("/")[1] if name.startswith("exports") else "safetensors")
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
    folder = DELTAS if kind == "deltas" else EXPORTS
    (found,) = (path for path in folder.iterdir() if path.name.split(".")[0] == stem)
    return found
