"""Deltas on ONNX models: every target is found or it is an error; only its bytes change; hostile files are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_files as of
import pytest
import tiny_files as tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editc.diagnostics import EditcError
from editc.formats.apply import apply, plan_apply, revert
from editc.formats.checkpoint import Model, open_model
from editc.formats.inspect import describe_model
from editc.formats.onnx_file import read_graph
from editc.formats.safetensors_delta import write_delta
from editc.formats.status import status
from editc.ir import Delta, Form, Site
from editc.numerics import dtypes
from editc.records import site_record

K0, V0 = tiny.KEYS[:2]
FOUND_WANTING = ("E616", "E620", "E622", "E625", "E663", "E664", "E665", "E695")
quick_disk = tiny.quick_disk


@pytest.fixture
def base(tmp_path: Path) -> Model:
    return tiny.pipeline(tmp_path / "base")


@pytest.fixture
def delta(base: Model) -> Delta:
    return tiny.delta_for(base)


def changed(before: bytes, after: bytes) -> set[int]:
    assert len(before) == len(after)
    return set(np.flatnonzero(np.frombuffer(before, "u1") != np.frombuffer(after, "u1")).tolist())


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("said", ["dynamo", "legacy", "nothing"])
@pytest.mark.parametrize("external", [False, True])
def test_only_the_targets_bytes_change_and_they_are_the_results(
    delta: Delta, tmp_path: Path, external: bool, said: str, flip: bool
) -> None:
    path = of.pico(tmp_path / "in" / "model.onnx", external=external, said=said, flip=flip)
    plan = plan_apply([delta], open_model(path))
    assert plan.tier == "exact" and len(plan.targets) == 4
    (tmp_path / "out").mkdir()
    done = apply(plan, tmp_path / "out" / "edited.onnx")
    name = "weights.bin" if external else "model.onnx"
    files = [("model.onnx", "edited.onnx"), *([("weights.bin", "weights.bin")] if external else [])]
    for old, new in files:
        before, after = (tmp_path / "in" / old).read_bytes(), (tmp_path / "out" / new).read_bytes()
        touched = {i for t in plan.targets for i in range(t.tensor.offset, t.tensor.offset + t.tensor.nbytes)}
        assert changed(before, after) <= (touched if old == name else set())
    for target in plan.targets:
        part = target.tensor
        written = (tmp_path / "out" / (name if external else "edited.onnx")).read_bytes()[part.offset :][: part.nbytes]
        assert dtypes.sha256(part.upright(written)) == target.record.result["F32"]
        assert dtypes.sha256(written) == done.results["unet", target.record.site.name]
    assert plan_apply([delta], open_model(done.path)).status == "already"
    assert status(open_model(done.path)).applied == (delta.delta_id,)


@pytest.mark.parametrize("external", [False, True])
def test_in_place_and_back_bit_for_bit(delta: Delta, tmp_path: Path, external: bool) -> None:
    path = of.pico(tmp_path / "model.onnx", external=external)
    before = tiny.contents(tmp_path)
    apply(plan_apply([delta], open_model(path)), in_place=True)
    assert tiny.contents(tmp_path) != before
    assert status(open_model(path)).applied == (delta.delta_id,)
    assert status(open_model(path), [delta]).deltas[0].presence == "applied"
    revert(open_model(path))
    assert tiny.contents(tmp_path) == before
    assert status(open_model(path), [delta]).deltas[0].presence == "not applied"


def test_a_pipeline_with_onnx_parts_is_a_model_too(delta: Delta, base: Model, tmp_path: Path) -> None:
    folder = tmp_path / "optimum"
    of.pico(folder / "unet" / "model.onnx", external=True)
    of.pico(folder / "vae_decoder" / "model.onnx", seed=50)
    (folder / "model_index.json").write_text("{}")
    model = open_model(folder)
    assert describe_model(model)["components"]["unet"]["tensors"] == 7
    done = apply(plan_apply([delta], model), tmp_path / "edited")
    assert plan_apply([delta], open_model(done.path)).status == "already"
    assert (tmp_path / "edited/unet/model.onnx").read_bytes() == (folder / "unet/model.onnx").read_bytes()
    apply(plan_apply([delta], model), in_place=True)
    revert(model)
    assert plan_apply([delta], model).status == "ready"


@pytest.mark.parametrize("said", ["dynamo", "legacy", "name"])
def test_a_fine_tune_is_found_by_its_origin_or_name_and_needs_leave(
    delta: Delta, base: Model, tmp_path: Path, said: str
) -> None:
    """The control: where nothing says which tensor is which, nothing is edited."""
    tuned = open_model(of.pico(tmp_path / "model.onnx", drift=0.1, said=said))
    with tiny.refused("E622"):
        plan_apply([delta], tuned)
    plan = plan_apply([delta], tuned, allow_finetune=True)
    assert plan.tier == "relative"
    apply(plan, in_place=True)
    (wanted,) = [t for t in plan.targets if t.record.site.name == V0]
    W = dtypes.decode(tiny.unet(drift=0.1)[V0][2], "F32", (4, 6))
    factors = wanted.factors
    result = W + (W @ factors.left[0].astype(float)) @ factors.right[0].astype(float)
    found = plan_apply([delta], tuned).targets
    assert {t.state for t in found} == {"already"}
    now = tuned.path.read_bytes()[wanted.tensor.offset :][: wanted.tensor.nbytes]
    assert np.allclose(dtypes.decode(now, "F32", (6, 4)).T, result, atol=1e-6)
    with tiny.refused("E620"):
        plan_apply([delta], open_model(of.pico(tmp_path / "mute.onnx", drift=0.1, said="nothing")), True)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_cast_model_is_found_by_content(delta: Delta, tmp_path: Path, dtype: str) -> None:
    plan = plan_apply([delta], open_model(of.pico(tmp_path / "model.onnx", dtype, said="nothing")))
    assert plan.tier == "cast" and all(target.result for target in plan.targets)


def test_a_widened_model_is_found_by_content(base: Model, tmp_path: Path) -> None:
    """Half precision, stored as float32: no hash fits the bytes as they are."""
    half = tiny.pipeline(tmp_path / "half", dtype="F16")
    delta, content = tiny.delta_for(half, "low-rank", [K0]), half.component("unet").read(K0)
    wide = of.tensor("w", "F32", (6, 4), of.raw(dtypes.encode(np.ascontiguousarray(content.T), "F32")))
    (target,) = plan_apply([delta], build(tmp_path / "m.onnx", [wide])).targets
    assert target.state == "cast" and target.tensor.flipped


def build(path: Path, tensors: list[bytes], nodes: list[bytes] | tuple[bytes, ...] = ()) -> Model:
    path.write_bytes(of.model(of.graph(tensors, nodes)))
    return open_model(path)


def one(base: Model, name: str = K0) -> tuple[Delta, bytes]:
    """A delta of one site and the bytes of its base."""
    return tiny.delta_for(base, "low-rank", [name]), base.component("unet").raw(name)


def test_two_equal_tensors_are_told_apart_by_origin_or_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    twice = [of.tensor(name, "F32", (4, 6), of.raw(content)) for name in ("a", "b")]
    with tiny.refused("E664") as error:
        plan_apply([delta], build(tmp_path / "m.onnx", twice))
    assert "a, b" in error.diagnostics[0].notes[0]
    nodes = [of.node("Gemm", ("x", "b"), "y", of.legacy(K0))]
    plan = plan_apply([delta], build(tmp_path / "n.onnx", twice, nodes))
    assert plan.targets[0].tensor.offset == plan.model.path.read_bytes().rindex(content)
    both = [of.node("Gemm", ("x", n), f"y{n}", of.legacy(K0)) for n in "ab"]
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "o.onnx", twice, both))


def test_a_tensor_of_two_sites_is_refused(base: Model, tmp_path: Path) -> None:
    """Editing it for one site would edit it for the other: here K and V of a layer are made equal."""
    shape, content = (4, 6), base.component("unet").raw(K0)
    sites = [Site("unet", name, shape, "F32", "k") for name in (K0, V0)]
    factors = tiny.factors_for("low-rank", sites)
    values = dtypes.decode(content, "F32", shape)
    records = tuple(site_record(site, values, factors, k) for k, site in enumerate(sites))
    delta = tiny.sealed(replace(one(base)[0], sites=records, factors={"text": factors}))
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "m.onnx", [of.tensor("w", "F32", shape, of.raw(content))]))


def test_bytes_in_common_with_another_tensor_are_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    (tmp_path / "w.bin").write_bytes(content + b"\0" * 128)
    first = of.tensor("w", "F32", (4, 6), of.outside(location="w.bin", offset=0, length=96))
    other = of.tensor("o", "F32", (20,), of.outside(location="w.bin", offset=80, length=80))
    with tiny.refused("E664"):
        plan_apply([delta], build(tmp_path / "m.onnx", [first, other]))
    apart = of.tensor("o", "F32", (16,), of.outside(location="w.bin", offset=96, length=64))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [first, apart])).tier == "exact"


def test_which_way_round_a_square_matrix_is(tmp_path: Path) -> None:
    """By its content; a symmetric one by its node; without one it is refused."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(6, 6)).astype(np.float32)
    for values, known in ((plain, True), (plain + plain.T, False)):
        site = Site("unet", K0, (6, 6), "F32", "k")
        factors = tiny.factors_for("low-rank", [site])
        record = site_record(site, values.astype(float), factors, 0)
        delta = tiny.sealed(
            replace(tiny.delta_for(tiny.pipeline(tmp_path / f"{known}")), sites=(record,), factors={"text": factors})
        )
        for stored, op, extra in ((values.T, "MatMul", b""), (values.T, "Gemm", b""), (values, "Gemm", trans_b())):
            node = of.node(op, ("x", "w"), "y", extra=extra)
            made = build(tmp_path / "m.onnx", [of.tensor("w", "F32", (6, 6), of.raw(stored.tobytes()))], [node])
            (target,) = plan_apply([delta], made).targets
            assert target.tensor.flipped == (stored is not values)
        made = build(tmp_path / "m.onnx", [of.tensor("w", "F32", (6, 6), of.raw(values.T.tobytes()))])
        if known:
            assert plan_apply([delta], made).targets[0].tensor.flipped
        else:
            with tiny.refused("E665"):
                plan_apply([delta], made)


def trans_b() -> bytes:
    return of.data(5, of.data(1, "transB") + of.number(3, 1) + of.number(20, 2))


def test_a_transposed_site_is_found_both_ways_round(base: Model, tmp_path: Path) -> None:
    """GPT-2's own layout, (d_in, d_out), is what MatMul takes as it is."""
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    site = Site("unet", K0, (4, 6), "F32", "k", transposed=True)
    factors = tiny.factors_for("low-rank", [site])
    record = site_record(site, values.astype(float), factors, 0)
    delta = tiny.sealed(replace(tiny.delta_for(base), sites=(record,), factors={"text": factors}))
    for stored in (values, values.T):
        content = of.tensor("w", "F32", stored.shape, of.raw(np.ascontiguousarray(stored).tobytes()))
        model = build(tmp_path / "m.onnx", [content])
        apply(plan_apply([delta], model), in_place=True)
        (target,) = plan_apply([delta], model).targets
        assert target.state == "already" and target.tensor.flipped == (stored is not values)
        revert(model)


def test_constants_and_subgraphs_count(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    weight = of.tensor("", "F32", (4, 6), of.raw(content))
    constant = of.node("Constant", (), "w", extra=of.data(5, of.data(1, "value") + of.data(5, weight)))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [], [constant])).tier == "exact"
    inner = of.graph([of.tensor("w", "F32", (4, 6), of.raw(content))])
    branch = of.node("If", ("c",), "y", extra=of.data(5, of.data(1, "then_branch") + of.data(6, inner)))
    assert plan_apply([delta], build(tmp_path / "n.onnx", [], [branch])).tier == "exact"


def test_numbers_one_by_one_and_quantised_ones_are_refused(base: Model, tmp_path: Path) -> None:
    delta, content = one(base)
    halves = np.frombuffer(content, "<f4").astype("<f2").view("<u2")
    packed = b"".join(of.number(0, int(v))[1:] for v in halves)
    node = of.node("Gemm", ("x", "w"), "y", of.legacy(K0))
    with tiny.refused("E663"):
        plan_apply([delta], build(tmp_path / "m.onnx", [of.tensor("w", "F16", (4, 6), of.data(5, packed))], [node]))
    quantised = of.tensor("w", "I8", (4, 6), of.raw(b"\1" * 24))
    with tiny.refused("E616"):
        plan_apply([delta], build(tmp_path / "m.onnx", [quantised], [node]), True)
    floats = of.tensor("w", "F32", (4, 6), of.data(4, content))
    assert plan_apply([delta], build(tmp_path / "m.onnx", [floats])).tier == "exact"


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


def test_a_copy_does_not_take_the_name_of_other_external_data(delta: Delta, tmp_path: Path) -> None:
    path = of.pico(tmp_path / "model.onnx", external=True)
    before = tiny.contents(tmp_path)
    with tiny.refused("E666"):
        apply(plan_apply([delta], open_model(path)), tmp_path / "edited.onnx")
    assert tiny.contents(tmp_path) == before


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


@pytest.mark.parametrize("external", [False, True])
def test_a_killed_run_is_finished_though_nothing_names_the_tensors(
    delta: Delta, tmp_path: Path, external: bool
) -> None:
    """Half a result has no hash that anyone knows; the stored bytes before it do."""
    path = of.pico(tmp_path / "model.onnx", external=external, said="nothing")
    before = tiny.contents(tmp_path)
    plan = plan_apply([delta], open_model(path))
    apply(plan, in_place=True)
    after = {name: content for name, content in tiny.contents(tmp_path).items() if ".editc" not in name}
    (done,) = (tmp_path / "model.onnx.editc").rglob("done")
    done.unlink()
    torn = plan.targets[1].tensor
    with torn.file.open("r+b") as file:
        file.seek(torn.offset)
        file.write(b"\x55" * 7)
    again = plan_apply([delta], open_model(path))
    assert again.interrupted and again.status == "ready"
    apply(again, in_place=True)
    assert {name: content for name, content in tiny.contents(tmp_path).items() if ".editc" not in name} == after
    revert(open_model(path))
    assert tiny.contents(tmp_path) == before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return of.pico(tmp_path_factory.mktemp("whole") / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Delta:
    return tiny.delta_for(tiny.pipeline(tmp_path_factory.mktemp("wanted") / "base"))


def survives(path: Path, content: bytes, delta: Delta | None = None) -> bool:
    """True if the file is read; a coded error in under a second otherwise. What a delta then finds in it is there or
    refused."""
    path.write_bytes(content)
    begun = time.perf_counter()
    try:
        open_model(path).component()
        if delta is not None:
            try_to_apply(delta, path)
    except EditcError as error:
        assert error.diagnostics[0].code in ("E661", "E662")
        return False
    finally:
        assert time.perf_counter() - begun < 1
    return True


def try_to_apply(delta: Delta, path: Path) -> None:
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


@pytest.mark.parametrize("form", ["shared", "low-rank", "dense"])
def test_every_form_gives_the_results_of_the_safetensors_file(base: Model, tmp_path: Path, form: Form) -> None:
    delta = tiny.delta_for(base, form)
    model = open_model(of.pico(tmp_path / "model.onnx"))
    apply(plan_apply([delta], model), in_place=True)
    assert {t.state for t in plan_apply([delta], model).targets} == {"already"}


def test_neither_torch_nor_onnx_is_imported(delta: Delta, tmp_path: Path) -> None:
    write_delta(delta, tmp_path / "d.safetensors")
    path = of.pico(tmp_path / "model.onnx", external=True)
    code = (
        "import sys\nfrom editc import api\nfrom pathlib import Path\n"
        f"api.apply([Path({str(tmp_path / 'd.safetensors')!r})], {str(path)!r}, in_place=True)\n"
        f"api.revert({str(path)!r})\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'google'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_graph_of_20000_nodes_is_within_the_limit(tmp_path: Path) -> None:
    """Each with what the dynamo exporter says of it, half of them with a tensor; files with more parts than any model
    are in tests/hostile_onnx.py."""
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
