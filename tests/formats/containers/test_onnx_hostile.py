"""Hostile ONNX files: refused with a code, in time, with little memory, and no other file is touched."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import onnx_files as of
import onnx_targets
import pytest
import tiny_files as tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_targets import build, one

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.containers.onnx import read_graph
from editc.formats.models.model import Model, open_model

base = onnx_targets.base
delta = onnx_targets.delta
wanted = onnx_targets.wanted
FOUND_WANTING = ("E616", "E620", "E622", "E625", "E663", "E664", "E665", "E695")


@pytest.mark.parametrize(
    "place",
    [
        {"location": "../weights.bin"},
        {"location": "/etc/passwd"},
        {"location": "a/../../weights.bin"},
        {"location": ""},
        {"location": "..\\weights.bin"},
        {"location": "C:weights.bin"},
        {"location": "w\0.bin"},
        {"location": "nothing.bin"},
        {"location": "link.bin"},
        {"location": "folder/w.bin"},
        {"location": "."},
        {"location": "w.bin", "offset": "-1"},
        {"location": "w.bin", "offset": "1e3"},
        {"location": "w.bin", "offset": "9" * 30},
        {"location": "w.bin", "offset": "1000", "length": "96"},
        {"location": "w.bin", "offset": "0", "length": "95"},
        {"offset": "0"},
    ],
    ids=str,
)
def test_external_data_stays_in_the_folder(base: Model, tmp_path: Path, place: dict[str, str]) -> None:
    delta, content = one(base)
    (tmp_path / "weights.bin").write_bytes(content)
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "w.bin").write_bytes(content)
    (inside / "link.bin").symlink_to(tmp_path / "weights.bin")
    (inside / "folder").symlink_to(inside)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.bin").write_bytes(content)
    (inside / "folder").unlink()
    (inside / "folder").symlink_to(tmp_path / "elsewhere")
    with tiny.refused("E662"):
        plan_apply([delta], build(inside / "m.onnx", [of.tensor("w", "F32", (4, 6), of.outside(**place))]))


def test_a_forged_journal_reaches_no_file_that_is_not_the_models(delta: Delta, tmp_path: Path) -> None:
    path = of.pico(tmp_path / "model.onnx", external=True)
    apply(plan_apply([delta], open_model(path)), in_place=True)
    (record,) = (tmp_path / "model.onnx.editc").rglob("record.json")
    (tmp_path / "notes.txt").write_bytes((tmp_path / "weights.bin").read_bytes())
    record.write_text(record.read_text().replace("weights.bin", "notes.txt"))
    before = (tmp_path / "notes.txt").read_bytes()
    with tiny.refused("E636"):
        revert(open_model(path))
    assert (tmp_path / "notes.txt").read_bytes() == before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return of.pico(tmp_path_factory.mktemp("whole") / "model.onnx").read_bytes()


def survives(path: Path, content: bytes, delta: Delta | None = None) -> bool:
    """True if the file is read; a coded error in under a second otherwise. What a delta then finds in it is there or
    refused."""
    path.write_bytes(content)
    begun = time.perf_counter()
    try:
        open_model(path).component()
        if delta is not None:
            assert_applied_or_refused(delta, path)
    except EditcError as error:
        assert error.diagnostics[0].code in ("E618", "E661", "E662")
        return False
    finally:
        assert time.perf_counter() - begun < 1
    return True


def assert_applied_or_refused(delta: Delta, path: Path) -> None:
    try:
        plan = plan_apply([delta], open_model(path), allow_finetune=True)
    except EditcError as error:
        assert {one.code for one in error.diagnostics} <= {*FOUND_WANTING, "E661", "E662"}
        return
    size = path.stat().st_size
    assert all(0 < t.tensor.offset <= size - t.tensor.nbytes for t in plan.targets)


def test_truncated_anywhere(whole: bytes, tmp_path: Path) -> None:
    read = [end for end in range(len(whole)) if survives(tmp_path / "m.onnx", whole[:end])]
    assert len(read) <= 2  # what follows the graph may be missing: the opset, which is not looked at
    assert survives(tmp_path / "m.onnx", whole)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_changed(whole: bytes, wanted: Delta, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=12))
    survives(tmp_path / "m.onnx", bytes(content), wanted)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all(tmp_path: Path, content: bytes) -> None:
    survives(tmp_path / "m.onnx", content)


def nested(depth: int) -> bytes:
    body = of.graph([])
    for _ in range(depth):
        body = of.graph([], [of.node("If", (), "y", extra=of.data(5, of.data(1, "b") + of.data(6, body)))])
    return of.model(body)


@pytest.mark.parametrize(
    "content",
    [
        nested(40),
        of.model(of.graph([])) * 2,
        of.model(of.graph([of.tensor("w", "F32", (1 << 62,) * 8, of.raw(b""))])),
        of.model(of.graph([of.tensor("w", "F32", (4, 6), of.raw(b"\0" * 95))])),
        of.model(of.graph([of.tensor("w", "F32", (2,), of.raw(b"\0" * 8))] * 2)),
        of.model(of.graph([of.tensor("w", "F32", (2,), of.raw(b"\0" * 8), of.raw(b"\0" * 8))])),
        of.model(of.graph([of.tensor("w" * 70000, "F32", (2,), of.raw(b"\0" * 8))])),
        of.model(of.graph([of.tensor("w", "F32", (1,) * 40, of.raw(b"\0" * 4))])),
        of.number(7, 5),
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x3b\x3c",
        b"",
    ],
    ids=["deep", "two graphs", "huge", "short", "twice", "two contents", "name", "dims", "number", "lies", "group", ""],
)
def test_what_is_not_well_formed_is_refused(tmp_path: Path, content: bytes) -> None:
    assert not survives(tmp_path / "m.onnx", content)


def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    """A hole of 1.5 GB as one tensor: the graph behind it is found in a moment."""
    size = 1500 << 20
    small = of.tensor("w", "F32", (2,), of.raw(b"\0" * 8))
    head = of.tensor("big", "F32", (size // 4,)) + of.data(9, b"")[:1] + of.data(0, b"\0" * 0)[:0]
    length = of.number(0, size)[1:]
    inner = len(head) + len(length) + size
    tensor = of.number(0, 5 << 3 | 2)[1:] + of.number(0, inner)[1:] + head + length
    body = len(tensor) + size + len(of.graph([small]))
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.write(of.number(1, 8) + of.number(0, 7 << 3 | 2)[1:] + of.number(0, body)[1:] + tensor)
        file.seek(size, os.SEEK_CUR)
        file.write(of.graph([small]))
    tracemalloc.start()
    graph = read_graph(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(graph.tensors) == {"big", "w"} and peak < 1 << 20


def test_a_graph_of_20000_nodes_is_within_the_limit(tmp_path: Path) -> None:
    """Each with what the dynamo exporter says of it, half of them with a tensor; files with more parts than any model
    are in tests/support/hostile_onnx.py."""
    count, value = 20_000, of.raw(b"\0" * 16)
    notes = {f"note_{i}": "file model.py, line 1, in forward " * 8 for i in range(5)}
    attribute = of.data(5, of.data(1, "alpha") + of.number(20, 1) + of.number(3, 1))
    nodes = [of.node("MatMul", (f"x{i}", f"w{i // 2}"), f"x{i + 1}", extra=attribute, **notes) for i in range(count)]
    tensors = [of.tensor(f"w{i}", "F32", (2, 2), value) for i in range(count // 2)]
    shapes = b"".join(of.data(13, of.data(1, f"x{i}") + of.data(2, b"\0" * 20)) for i in range(count))
    (tmp_path / "m.onnx").write_bytes(of.model(of.graph(tensors, nodes) + shapes))
    graph = read_graph(tmp_path / "m.onnx")
    assert len(graph.tensors) == count // 2 and sum(map(len, graph.uses.values())) == count


def test_a_small_file_cannot_ask_for_endless_work(base: Model, tmp_path: Path) -> None:
    """Many tensors at shifted places of one file; many of one place; many graphs with nodes of one name."""
    delta, content = one(base)
    (tmp_path / "w.bin").write_bytes(content * 40)
    shifted = [
        of.tensor(f"w{i}", "F32", (4, 6), of.outside(location="w.bin", offset=i, length=96)) for i in range(1000)
    ]
    with tiny.refused("E662"):
        plan_apply([delta], build(tmp_path / "m.onnx", shifted))
    same = [of.tensor(f"w{i}", "F32", (4, 6), of.outside(location="w.bin", offset=96, length=96)) for i in range(3000)]
    inner = of.data(5, of.data(1, "b") + of.data(6, of.graph([of.tensor("w", "F32", (4, 6), of.raw(content))])))
    begun = time.process_time()
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "n.onnx", same))
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "o.onnx", [], [of.node("If", ("c",), "y", "n", extra=inner)] * 5000))
    assert time.process_time() - begun < 5
