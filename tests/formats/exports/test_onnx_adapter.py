"""ONNX Runtime's adapters: the runtime takes them, editc knows which delta they are, and damaged ones are refused."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_files as tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from editc.core.delta import Delta, Form
from editc.core.diagnostics import EditcError
from editc.formats.apply.apply import plan_apply
from editc.formats.containers import onnx_adapter
from editc.formats.exports import read as exported
from editc.formats.exports.format import Dtype, Job
from editc.formats.exports.onnx.surgery import input_names
from editc.formats.exports.write import export
from editc.formats.inspect import inspect
from editc.formats.models.model import Model

K0 = tiny.KEYS[0]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny.pipeline(tmp_path / "model")


def edit(model: Model, form: Form = "low-rank", **options: Any) -> Delta:
    return tiny.sealed(replace(tiny.delta_for(model, form, **options), family="sd1"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    path = folder / "d.onnx_adapter"
    export(Job(edit(tiny.pipeline(folder / "m"), names=[K0]), None, path), "onnx-adapter", tried=False)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", ["F32", "F16"])
@pytest.mark.parametrize("form", ["shared", "low-rank"])
def test_an_adapter_is_a_delta(model: Model, tmp_path: Path, form: Form, dtype: Dtype) -> None:
    path, delta = tmp_path / "d.onnx_adapter", edit(model, form)
    made = export(Job(delta, model, path, dtype), "onnx-adapter")
    (trial,) = made.trials
    assert (trial.matched, trial.total, trial.error, made.failures) == (4, 4, 0, ())
    assert exported.is_delta(path) and exported.format_of(path) == "onnx-adapter"
    back = exported.read_delta(path)
    assert back.delta_id == made.written.delta.delta_id and plan_apply([back], model).tier == "exact"
    told = inspect(str(path))
    assert (told["kind"], told["format"], told["delta_id"]) == ("delta", "onnx-adapter", back.delta_id)
    again = export(Job(back, None, tmp_path / "again.safetensors"), "safetensors")
    assert again.written.delta.delta_id == back.delta_id


def ready(path: Path) -> onnxruntime.InferenceSession:
    """y = x A B of the site K0, with A and B of rank 0 where no adapter is given."""
    A, B = input_names(K0)
    nodes = [helper.make_node("MatMul", ["x", A], ["xA"]), helper.make_node("MatMul", ["xA", B], ["y"])]
    sizes: dict[str, list[int | str | None]] = {"x": [1, 6], A: [6, "r"], B: ["r", 4]}
    ends = [helper.make_tensor_value_info(name, 1, shape) for name, shape in sizes.items()]
    empty = [helper.make_tensor(name, 1, shape, []) for name, shape in ((A, [6, 0]), (B, [0, 4]))]
    graph = helper.make_graph(nodes, "g", ends, [helper.make_tensor_value_info("y", 1, [1, 4])], empty)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, path: Path) -> Any:
    adapter, options = onnxruntime.LoraAdapter(), onnxruntime.RunOptions()
    adapter.Load(str(path))
    options.add_active_adapter(adapter)
    return session.run(None, {"x": np.ones((1, 6), np.float32)}, options)[0]


def test_a_session_runs_with_the_description_at_the_end(sound: bytes, tmp_path: Path) -> None:
    path, session = tmp_path / "d.onnx_adapter", ready(tmp_path / "m.onnx")
    path.write_bytes(sound)
    (factors,) = exported.read_delta(path).factors.values()
    change = factors.left[0].astype(float) @ factors.right[0].astype(float)
    assert np.abs(change).max() > 0.1
    np.testing.assert_allclose(run(session, path)[0], change.sum(1), rtol=1e-5)


def test_control_a_parameter_that_is_no_input_stops_the_session(tmp_path: Path) -> None:
    """Why the description is none."""
    A, B = input_names(K0)
    parts = {A: np.ones((6, 1), np.float32), B: np.ones((1, 4), np.float32)}
    session = ready(tmp_path / "m.onnx")
    assert run(session, plain(tmp_path / "a.onnx_adapter", parts)).sum() == 24
    with pytest.raises(Exception, match="Invalid input name: editc"):
        run(session, plain(tmp_path / "b.onnx_adapter", parts | {"editc": np.zeros(9, np.uint8)}))


def plain(path: Path, parameters: dict[str, Any]) -> Path:
    """An adapter as other programs write it."""
    made = onnxruntime.AdapterFormat()
    made.set_adapter_version(1)
    made.set_model_version(1)
    made.set_parameters({n: onnxruntime.OrtValue.ortvalue_from_numpy(value) for n, value in parameters.items()})
    made.export_adapter(str(path))
    return path


def test_the_header_has_what_the_library_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts: dict[str, np.ndarray[Any, Any]] = {
        "a": rng.normal(size=(3, 5)).astype(np.float32),
        "b" * 100: rng.normal(size=(7,)).astype(np.float16),
        "caf\u00e9": np.full((), 2.5, np.float32),
    }
    path = plain(tmp_path / "a.onnx_adapter", parts)
    header, data = onnx_adapter.read_onnx_adapter(path), path.read_bytes()
    assert header.entries.keys() == parts.keys() and not header.metadata
    for name, entry in header.entries.items():
        assert data[entry.start : entry.end] == parts[name].tobytes() and entry.shape == parts[name].shape
    assert not exported.is_delta(path)
    with tiny.refused("E603"):
        exported.read_delta(path)


def test_every_changed_byte_is_refused_or_harmless(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.onnx_adapter"
    path.write_bytes(sound)
    whole, refused = exported.read_delta(path).delta_id, 0
    tried = range(0, len(sound), 5)
    for at in tried:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
        try:
            assert exported.read_delta(path).delta_id == whole, at
        except EditcError as error:
            refused += 1
            assert error.diagnostics[0].code in ("E601", "E602", "E603", "E604"), at
    assert refused > 0.9 * len(tried)


def test_truncated_anywhere(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.onnx_adapter"
    for end in range(len(sound)):
        path.write_bytes(sound[:end])
        with pytest.raises(EditcError) as error:
            exported.read_delta(path)
        assert error.value.diagnostics[0].code in ("E601", "E603"), end


def first_parameter(adapter: bytes) -> int:
    """Where the table of the first parameter is."""
    at = root = struct.unpack_from("<I", adapter)[0]
    at += struct.unpack_from("<H", adapter, root - struct.unpack_from("<i", adapter, root)[0] + 10)[0]
    at += struct.unpack_from("<I", adapter, at)[0] + 4
    return int(at + struct.unpack_from("<I", adapter, at)[0])


def lies(sound: bytes) -> dict[str, bytes]:
    """Adapters whose offsets and counts are not so."""
    (length,) = struct.unpack_from("<Q", sound, len(sound) - 16)
    adapter, said = sound[: -16 - length], sound[-16 - length : -16]
    root = struct.unpack_from("<I", adapter)[0]
    far = {f"root at {n}": struct.pack("<I", n) + sound[4:] for n in (0, 4, len(adapter), 1 << 31, (1 << 32) - 1)}
    count = 1 << 13
    behind = 32 + 4 * count + first_parameter(adapter)
    slots = b"".join(struct.pack("<I", behind - 32 - 4 * n) for n in range(count))
    root_table = struct.pack("<I4s", 20, b"TORT") + struct.pack("<6H", 12, 8, 0, 0, 0, 4) + struct.pack("<iI", 12, 4)
    often = root_table + struct.pack("<I", count) + slots + adapter
    return far | {
        "another magic": adapter[:4] + b"TROT" + sound[8:],
        "a table without fields": adapter[:root] + struct.pack("<i", root - 4) + sound[root + 4 :],
        "one parameter often": onnx_adapter.append_description(often, said.decode()),
        "many parameters": onnx_adapter.append_description(root_table + b"\xff" * 4 + slots, said.decode()),
        "a long description": sound[:-16] + struct.pack("<Q", 1 << 63) + sound[-8:],
        "all description": sound[:-16] + struct.pack("<Q", len(sound) - 16) + sound[-8:],
        "no UTF-8": onnx_adapter.append_description(adapter, "")[:-16] + b"\xff" + struct.pack("<Q", 1) + sound[-8:],
        "another text": onnx_adapter.append_description(adapter, "{}"),
        "no adapter": sound[-16 - length :],
        "empty": b"",
    }


def test_hostile_adapters_end_in_a_code(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.onnx_adapter"
    for name, data in lies(sound).items():
        path.write_bytes(data)
        begun = time.process_time()
        for read in (exported.read_delta, lambda path: inspect(str(path))):
            with pytest.raises(EditcError) as error:
                read(path)
            assert error.value.diagnostics[0].code[:2] == "E6", name
        assert time.process_time() - begun < 1, name


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_damage_ends_in_a_code(sound: bytes, tmp_path: Path, data: st.DataObject) -> None:
    bad = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 700) | st.integers(0, len(bad) - 1))
        bad[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path = tmp_path / "d.onnx_adapter"
    path.write_bytes(bytes(bad))
    try:
        exported.read_delta(path)
    except EditcError as error:
        assert error.diagnostics[0].code[:2] == "E6"
