"""Deltas as ONNX graphs: what ONNX Runtime computes, and that the file is the delta and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_files as tiny

from editc.core.delta import Delta, Form, Site
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import site_record
from editc.formats.apply.apply import plan_apply
from editc.formats.exports import read
from editc.formats.exports.format import Job, Written
from editc.formats.exports.onnx import graph
from editc.formats.exports.onnx.trials import try_graph, try_multiplier
from editc.formats.exports.write import export
from editc.formats.inspect import inspect
from editc.formats.models.model import Model

FORMS: tuple[Form, ...] = ("shared", "low-rank", "dense")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny.pipeline(tmp_path / "model")


def edit(model: Model, form: Form = "shared", **options: Any) -> Delta:
    return tiny.sealed(replace(tiny.delta_for(model, form, **options), family="sd1"))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F64"])
@pytest.mark.parametrize("form", FORMS)
def test_the_runtime_applies_the_delta_and_the_file_is_the_delta(tmp_path: Path, form: Form, dtype: str) -> None:
    delta = edit(tiny.pipeline(tmp_path / "model", dtype=dtype), form)
    path = tmp_path / "delta.onnx"
    made = export(Job(delta, None, path), "onnx-graph")
    (trial,) = made.trials
    assert (trial.matched, trial.total, trial.skipped, made.failures) == (4, 4, "", ())
    assert trial.error <= trial.bound <= {"F32": 3e-5, "F64": 3e-14, "F16": 3e-2, "BF16": 0.3}[dtype]
    if dtype != "F64":
        assert trial.error == 0
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert read.is_delta(path) and read.format_of(path) == "onnx-graph"
    assert read.read_delta(path).delta_id == delta.delta_id
    assert inspect(str(path))["format"] == "onnx-graph"
    assert graph.graph_bytes(delta) == path.read_bytes()


def test_a_delta_in_onnx_is_applied_like_any(model: Model, tmp_path: Path) -> None:
    export(Job(edit(model), None, tmp_path / "d.onnx"), "onnx-graph", tried=False)
    assert plan_apply([read.read_delta(tmp_path / "d.onnx")], model).tier == "exact"


def test_transposed_sites_are_patched_as_they_are_stored(model: Model, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    for form in FORMS:
        site = Site("unet", "h.0.c_attn.weight", (4, 6), "F32", "k", transposed=True)
        factors = tiny.factors_for(form, [site])
        record = site_record(site, values.astype(float), factors, 0)
        delta = tiny.sealed(replace(edit(model), sites=(record,), factors={"text": factors}))
        made = export(Job(delta, None, tmp_path / f"{form}.onnx"), "onnx-graph")
        assert not made.failures and made.trials[0].matched == 1


def test_the_trial_sees_another_edit(model: Model, tmp_path: Path) -> None:
    """The control: the graph of one delta, tried as that of another."""
    export(Job(edit(model, seed=3), None, tmp_path / "d.onnx"), "onnx-graph", tried=False)
    for other, matched in ((edit(model, seed=4), 0), (edit(model, seed=3), 4)):
        trial = try_graph(Written((tmp_path / "d.onnx",), other))
        assert trial.matched == matched and trial.passed == (matched == 4)


@pytest.mark.parametrize("old,new", [(b"MatMul", b"MatMuk"), (b".edited", b".editeb"), (b"erase", b"erasf")])
def test_no_byte_of_the_graph_may_differ(model: Model, tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "d.onnx"
    export(Job(edit(model), None, path), "onnx-graph", tried=False)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with tiny.refused("E601"):
        read.read_delta(path)


def test_every_changed_byte_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "d.onnx"
    export(Job(edit(model), None, path), "onnx-graph", tried=False)
    data = path.read_bytes()
    for at in range(0, len(data), 41):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(EditcError) as error:
            read.read_delta(path)
        assert error.value.diagnostics[0].code[:2] == "E6", at
    for end in range(0, len(data), 211):
        path.write_bytes(data[:end])
        with pytest.raises(EditcError):
            read.read_delta(path)


def test_a_model_is_no_delta(tmp_path: Path) -> None:
    import onnx_files as of

    path = of.pico(tmp_path / "model.onnx")
    assert not read.is_delta(path)
    with tiny.refused("E603"):
        read.read_delta(path)


def test_edited_rows_do_what_edited_weights_do(model: Model, tmp_path: Path) -> None:
    """W c' = W' c for every site, where c' is what the multiplier makes of a row c."""
    import onnxruntime

    delta = edit(model)
    made = export(Job(delta, model, tmp_path / "m.onnx"), "onnx-multiplier")
    assert not made.failures and made.trials[0].error <= made.trials[0].bound
    assert read.read_delta(tmp_path / "m.onnx").delta_id == delta.delta_id
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).normal(size=(3, 5, tiny.WIDTH)).astype(np.float32)
    (changed,) = session.run(None, {"rows": rows})
    assert np.abs(changed - rows).max() > 0.1
    U, V = (part.astype(float) for part in (delta.factors["text"].left[0], delta.factors["text"].right[0]))
    for record in delta.sites:
        W = model.component("unet").read(record.site.name)
        assert np.allclose(changed @ W.T, rows @ (W + W @ U @ V).T, atol=1e-5)


def test_rows_are_not_edited_where_a_layer_is_left_out(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    part = tiny.sealed(replace(tiny.delta_for(model, names=tiny.KEYS[:3]), family="sd1"))
    with tiny.refused("E667") as error:
        export(Job(part, model, out), "onnx-multiplier")
    assert error.diagnostics[0].notes == (tiny.KEYS[3],)
    with tiny.refused("E667"):
        export(Job(edit(model, "low-rank"), model, out), "onnx-multiplier")
    with tiny.refused("E676"):
        export(Job(edit(model), None, out), "onnx-multiplier")
    with tiny.refused("E680"):
        export(Job(replace(edit(model), family="flux"), model, out), "onnx-multiplier")
    assert not out.exists()


def test_the_multipliers_trial_sees_another_edit(model: Model, tmp_path: Path) -> None:
    export(Job(edit(model, seed=3), model, tmp_path / "m.onnx"), "onnx-multiplier", tried=False)
    assert not try_multiplier(Written((tmp_path / "m.onnx",), edit(model, seed=4))).passed
