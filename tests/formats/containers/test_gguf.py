"""GGUF: headers read strictly, tensors found under the names of transformers, adapters written for llama.cpp."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_files as llama
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_files import refused, sealed

from editc.core.delta import Form
from editc.core.diagnostics import EditcError
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.containers import gguf
from editc.formats.exports import read
from editc.formats.exports.format import Job
from editc.formats.exports.write import export
from editc.formats.exports.write import find_refusals as unsuited
from editc.formats.inspect import inspect
from editc.formats.models import gguf_names
from editc.formats.models.model import open_model
from editc.libraries import extras
from editc.numerics.bits import dtypes


def converted(path: Path) -> Path:
    """An adapter as llama.cpp's convert_lora_to_gguf.py writes it, by the same library: four keys, and each pair."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    for end, shape in ((".lora_a", (4, llama.INNER)), (".lora_b", (llama.WIDTH, 4))):
        writer.add_tensor(f"blk.1.ffn_down.weight{end}", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def row(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)


def file(keys: list[bytes], rows: list[bytes], body: bytes, version: int = 3, counts: Any = None) -> bytes:
    tensors, count = counts or (len(rows), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, count) + b"".join(keys) + b"".join(rows)
    return head + bytes(-len(head) % 32) + body


def string(name: str, value: str) -> bytes:
    return text(name) + struct.pack("<I", 8) + text(value)


TWO = [row("a", (2, 32), 8, 0), row("b", (3,), 0, 96)]
BODY = bytes(96 + 12)


def test_a_file_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(file([string("general.name", "café")], TWO, BODY))
    header = gguf.read_gguf(tmp_path / "m.gguf")
    assert header.metadata == {"general.name": "café"}
    a, b = header.entries["a"], header.entries["b"]
    assert (a.dtype, a.shape, a.end - a.start) == ("Q8_0", (2, 32), 68)
    assert (b.dtype, b.shape, b.start - a.start) == ("F32", (3,), 96)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "magic only": b"GGUF",
    "another magic": b"GGML" + file([], TWO, BODY)[4:],
    "version 1": file([], TWO, BODY, version=1),
    "big-endian": file([], TWO, BODY, version=3 << 24),
    "many tensors": file([], TWO, BODY, counts=(1 << 60, 0)),
    "many keys": file([], TWO, BODY, counts=(2, 1 << 60)),
    "more keys than there are": file([], TWO, BODY, counts=(2, 3)),
    "huge text": file([struct.pack("<Q", 1 << 62)], TWO, BODY),
    "huge array": file([text("k") + struct.pack("<IIQ", 9, 4, 1 << 61)], TWO, BODY),
    "many texts": file([text("k") + struct.pack("<IIQ", 9, 8, 1 << 61)], TWO, BODY),
    "texts to the end": file([text("k") + struct.pack("<IIQ", 9, 8, 1 << 20)], TWO, bytes(1 << 20)),
    "long text": file([text("k") + struct.pack("<IQ", 8, 17_000_000) + bytes(17_000_000)], TWO, BODY),
    "texts that end in the middle": file([text("k") + struct.pack("<IIQQ", 9, 8, 2, 1 << 63)], TWO, BODY),
    "array of arrays": file([text("k") + struct.pack("<IIQ", 9, 9, 1)], TWO, BODY),
    "unknown value": file([text("k") + struct.pack("<I", 99)], TWO, BODY),
    "key twice": file([string("k", "a"), string("k", "b")], TWO, BODY),
    "not UTF-8": file([struct.pack("<Q", 2) + b"\xff\xfe"], TWO, BODY),
    "tensor twice": file([], [row("a", (32,), 8, 0), row("a", (32,), 8, 64)], bytes(98)),
    "no name": file([], [row("", (32,), 8, 0)], bytes(34)),
    "no dimensions": file([], [row("a", (), 0, 0)], bytes(34)),
    "five dimensions": file([], [row("a", (1, 1, 1, 1, 32), 8, 0)], bytes(34)),
    "unknown type": file([], [row("a", (32,), 4, 0)], bytes(34)),
    "half a block": file([], [row("a", (2, 16), 8, 0)], bytes(34)),
    "huge shape": file([], [row("a", (1 << 40, 1 << 40), 0, 0)], bytes(34)),
    "shape that wraps around": file([], [row("a", (1 << 32, 1 << 32), 0, 0)], bytes(34)),
    "overlap": file([], [row("a", (2, 32), 8, 0), row("b", (3,), 0, 32)], BODY),
    "gap": file([], [row("a", (2, 32), 8, 0), row("b", (3,), 0, 128)], bytes(140)),
    "first tensor later": file([], [row("a", (32,), 8, 32)], bytes(66)),
    "offset that wraps around": file([], [row("a", (32,), 8, (1 << 64) - 32)], bytes(66)),
    "truncated": file([], TWO, BODY[:-1]),
    "trailing": file([], TWO, BODY + bytes(64)),
    "alignment 0": file([string("general.alignment", "0")], TWO, BODY),
    "alignment 48": file([string("general.alignment", "48")], TWO, BODY),
    "alignment word": file([string("general.alignment", "x" * 1000)], TWO, BODY),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.gguf").write_bytes(HOSTILE[name])
    started = time.perf_counter()
    with refused("E692"):
        open_model(tmp_path / "m.gguf").component()
    assert time.perf_counter() - started < 1
    with refused("E692"):
        read.read_delta(tmp_path / "m.gguf")
    with refused("E692"):
        inspect(str(tmp_path / "m.gguf"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for step in (open_model, read.read_delta):
        with pytest.raises(EditcError):
            step(tmp_path / "pipe.gguf")


def test_many_empty_texts_in_a_sparse_file(tmp_path: Path) -> None:
    """A million texts of nothing take no space on the disk; they must not take time either."""
    head = file([text("k") + struct.pack("<IIQ", 9, 8, 1 << 20)], [], b"", counts=(0, 1))
    with (tmp_path / "m.gguf").open("wb") as out:
        out.write(head)
        out.truncate(200_000_000)
    started = time.process_time()
    with refused("E692"):
        open_model(tmp_path / "m.gguf").component()
    assert time.process_time() - started < 1


@pytest.mark.parametrize("at", range(0, 2400, 97))
def test_truncated_anywhere(tmp_path: Path, at: int) -> None:
    whole = llama.gguf(tmp_path / "m.gguf").path.read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[: at * len(whole) // 2400])
    with refused("E692"):
        open_model(tmp_path / "m.gguf").component()


@given(st.integers(0, 1 << 30), st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_another_file(at: int, value: int) -> None:
    """Never anything but a coded error."""
    whole = bytearray(file([string("general.name", "pico")], TWO, BODY))
    whole[at % len(whole)] = value
    path = Path(__import__("tempfile").mkdtemp()) / "m.gguf"
    path.write_bytes(whole)
    try:
        entries = gguf.read_gguf(path).entries
    except EditcError as error:
        assert error.diagnostics[0].code == "E692"
    else:
        assert all(entry.end <= len(whole) for entry in entries.values())
    finally:
        path.unlink()
        path.parent.rmdir()


def test_types_are_those_of_the_library() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    assert {kind.value: (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType} == gguf.TYPES


def test_layout_is_that_of_the_librarys_reader(tmp_path: Path) -> None:
    from gguf import GGUFReader

    model = llama.gguf(tmp_path / "m.gguf", "Q5_1")
    ours = gguf.read_gguf(model.path).entries
    theirs = {t.name: t for t in GGUFReader(model.path).tensors}
    assert ours.keys() == theirs.keys()
    for name, entry in ours.items():
        assert entry.start == theirs[name].data_offset and entry.end - entry.start == theirs[name].n_bytes
        assert entry.shape == tuple(theirs[name].shape[::-1]) and entry.dtype == theirs[name].tensor_type.name


def test_names_are_those_written_down_by_hand(tmp_path: Path) -> None:
    part = llama.gguf(tmp_path / "m.gguf", "F32").component()
    for name, values in llama.weights().items():
        assert np.array_equal(part.read(name), values) and llama.their_name(name) in part.tensors
    assert "model.layers.9.mlp.down_proj.weight" not in part.tensors and "" not in part.tensors
    assert len(part.tensors) == len(llama.weights()) == len(part.names())


@pytest.mark.parametrize("form", ["shared", "low-rank"])
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_full_precision_in_gguf_is_exact(tmp_path: Path, kind: str, form: Form) -> None:
    """A GGUF file that is not quantised holds the base's own bytes: same tier and same result hash as safetensors."""
    model, delta = llama.gguf(tmp_path / "m.gguf", kind), llama.delta(form)
    plan = plan_apply([delta], model)
    assert plan.tier == ("exact" if kind == "F32" else "cast")
    done = apply(plan, tmp_path / "out.gguf")
    for record in delta.sites:
        assert done.results["model", record.site.name] == record.result[kind]


def test_rows_that_may_be_in_another_order_are_refused(tmp_path: Path) -> None:
    names = tuple(f"model.layers.{i}.self_attn.q_proj.weight" for i in range(llama.LAYERS))
    for kind in ("F32", "Q8_0"):
        with refused("E691") as error:
            plan_apply([llama.delta(names=names)], llama.gguf(tmp_path / f"{kind}.gguf", kind), requantize=True)
        assert "rotary" in error.diagnostics[0].notes[0]
    same = llama.gguf(tmp_path / "q.gguf", "F32", architecture="qwen2")
    assert plan_apply([llama.delta(names=names)], same).tier == "exact"


def test_a_transposed_site_is_refused(tmp_path: Path) -> None:
    delta = llama.delta(names=llama.OUT)
    sites = tuple(replace(r, site=replace(r.site, transposed=True)) for r in delta.sites)
    with refused("E691"):
        plan_apply([sealed(replace(delta, sites=sites, delta_id=""))], llama.gguf(tmp_path / "m.gguf", "F32"))


def test_formats_that_cannot_be_written_again(tmp_path: Path) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(tmp_path / "k.gguf", "llama")
    writer.add_block_count(2)
    for name in llama.DOWN:
        raw = np.zeros((llama.WIDTH, 144), np.uint8)
        writer.add_tensor(llama.their_name(name), raw, raw_dtype=GGMLQuantizationType.Q4_K)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    for asked in (False, True):
        with refused("E691") as error:
            plan_apply([llama.delta()], open_model(tmp_path / "k.gguf"), requantize=asked)
        assert "Q4_K" in error.diagnostics[0].notes[0]


def test_one_part_of_a_split_model_says_so(tmp_path: Path) -> None:
    part = llama.gguf(tmp_path / "m.gguf", "F32", more={"split.count": "3"})
    assert "one of 3 parts" in plan_apply([llama.delta()], part).notes[0]


def test_a_folder_with_gguf_alone_says_so(tmp_path: Path) -> None:
    llama.gguf(tmp_path / "m.gguf")
    with refused("E611") as error:
        open_model(tmp_path)
    assert "m.gguf" in error.diagnostics[0].help


def test_inspect_tells_models_adapters_and_exports_apart(tmp_path: Path) -> None:
    llama.gguf(tmp_path / "m.gguf", "Q4_0")
    found = inspect(str(tmp_path / "m.gguf"))
    assert (found["kind"], found["layout"]) == ("model", "GGUF model")
    assert found["components"]["m"]["bytes_by_dtype"].keys() == {"Q4_0", "F32"}
    export(Job(llama.delta(), llama.folder(tmp_path / "f"), tmp_path / "l.gguf"), "gguf-lora")
    found = inspect(str(tmp_path / "l.gguf"))
    assert (found["kind"], found["format"]) == ("delta", "gguf-lora")


def test_layout_is_that_of_a_converted_adapter(tmp_path: Path) -> None:
    from gguf import GGUFReader

    other = converted(tmp_path / "converted.gguf")
    assert inspect(str(other))["layout"] == "GGUF adapter"
    with refused("E603"):
        read.read_delta(other)
    export(Job(llama.delta(), llama.folder(tmp_path / "f"), tmp_path / "l.gguf"), "gguf-lora")
    theirs, ours = GGUFReader(other), GGUFReader(tmp_path / "l.gguf")
    assert ours.fields.keys() - theirs.fields.keys() == {"editc"} and theirs.fields.keys() <= ours.fields.keys()
    for name, field in theirs.fields.items():
        assert ours.fields[name].types == field.types
        if name.startswith(("general.", "adapter.type")):
            assert ours.fields[name].contents() == field.contents()
    shapes = {t.name: tuple(t.shape) for t in ours.tensors}
    assert {t.name for t in theirs.tensors} <= shapes.keys()
    assert [tuple(t.shape) for t in theirs.tensors] == [(llama.INNER, 4), (4, llama.WIDTH)]  # as the file has them
    assert shapes["blk.1.ffn_down.weight.lora_a"] == (llama.INNER, 2)
    assert shapes["blk.1.ffn_down.weight.lora_b"] == (2, llama.WIDTH)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("form", ["shared", "low-rank"])
def test_adapters_are_read_back_to_the_bit(tmp_path: Path, form: Form, dtype: Any) -> None:
    model = llama.folder(tmp_path / "f")
    made = export(Job(llama.delta(form), model, tmp_path / "l.gguf", dtype), "gguf-lora")
    (trial,) = made.trials
    assert trial.passed and (trial.matched, trial.total, trial.error) == (2, 2, 0.0) and not trial.skipped
    back = read.read_delta(tmp_path / "l.gguf")
    assert back.delta_id == made.written.delta.delta_id
    assert plan_apply([back], model).tier == "exact"


def test_an_adapter_edits_the_gguf_that_it_is_for(tmp_path: Path) -> None:
    base = llama.gguf(tmp_path / "m.gguf", "F32")
    export(Job(llama.delta("shared"), base, tmp_path / "l.gguf"), "gguf-lora")
    back = read.read_delta(tmp_path / "l.gguf")
    apply(plan_apply([back], base), tmp_path / "out.gguf")
    W = llama.weights()[llama.DOWN[1]]
    (factors,) = back.factors.values()
    wanted = W + factors.left[1].astype(np.float64) @ factors.right[1].astype(np.float64)
    found = open_model(tmp_path / "out.gguf").component().read("blk.1.ffn_down.weight")
    assert np.array_equal(found, dtypes.round_to(wanted, "F32"))


def test_ranks_are_padded_to_one_for_there_is_one_alpha(tmp_path: Path) -> None:
    from gguf import GGUFReader

    delta = llama.delta()
    (factors,) = delta.factors.values()
    less = (factors.left[0], factors.left[1][:, :1]), (factors.right[0], factors.right[1][:1])
    uneven = replace(delta, factors={"mlp": replace(factors, left=less[0], right=less[1])}, delta_id="")
    made = export(Job(sealed(uneven), llama.folder(tmp_path / "f"), tmp_path / "l.gguf"), "gguf-lora")
    assert made.trials[0].passed
    assert {int(t.shape[1]) for t in GGUFReader(tmp_path / "l.gguf").tensors if t.name.endswith("lora_a")} == {2}


def test_same_bytes_every_time_and_no_changed_byte_is_taken(tmp_path: Path) -> None:
    model = llama.folder(tmp_path / "f")
    for name in ("a.gguf", "b.gguf"):
        export(Job(llama.delta(), model, tmp_path / name), "gguf-lora", tried=False)
    data = (tmp_path / "a.gguf").read_bytes()
    assert data == (tmp_path / "b.gguf").read_bytes()
    known = read.read_delta(tmp_path / "a.gguf").delta_id
    passed = 0
    for at in range(0, len(data), max(1, len(data) // 200)):
        (tmp_path / "b.gguf").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert read.read_delta(tmp_path / "b.gguf").delta_id == known
            passed += 1
        except EditcError:
            pass
    assert passed < 10  # the architecture's name, and padding


def test_another_alpha_is_another_strength(tmp_path: Path) -> None:
    export(Job(llama.delta(), llama.folder(tmp_path / "f"), tmp_path / "l.gguf"), "gguf-lora")
    data = (tmp_path / "l.gguf").read_bytes()
    at = data.index(b"adapter.lora.alpha") + len("adapter.lora.alpha") + 4
    assert struct.unpack_from("<f", data, at) == (2.0,)
    (tmp_path / "l.gguf").write_bytes(data[:at] + struct.pack("<f", 4.0) + data[at + 4 :])
    with refused("E601"):
        read.read_delta(tmp_path / "l.gguf")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def unknown(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mystery", "num_hidden_layers": 2}')


@pytest.mark.parametrize("broken", [no_config, unknown])
def test_models_without_names_in_llama_cpp(tmp_path: Path, broken: Callable[[Path], None]) -> None:
    model = llama.folder(tmp_path / "f")
    broken(model.path)
    with refused("E694"):
        export(Job(llama.delta(), model, tmp_path / "l.gguf"), "gguf-lora")
    assert not (tmp_path / "l.gguf").exists()


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.k_proj.weight", "model.embed_tokens.weight"])
def test_matrices_that_adapters_hold_in_another_way(tmp_path: Path, name: str) -> None:
    with refused("E694"):
        export(Job(llama.delta(names=[name]), llama.folder(tmp_path / "f"), tmp_path / "l.gguf"), "gguf-lora")


def test_only_for_language_models_and_never_without_the_model(tmp_path: Path) -> None:
    assert unsuited(["gguf-lora"], "sd1")[0].code == "E680" and not unsuited(["gguf-lora"], "llama")
    with refused("E676"):
        export(Job(llama.delta(), None, tmp_path / "l.gguf"), "gguf-lora")


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of the file itself still work; those of transformers are an error that says what to install."""
    model = llama.gguf(tmp_path / "m.gguf", "F32")
    gguf_names._name_map.cache_clear()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert model.component().read("blk.0.ffn_down.weight").shape == (llama.WIDTH, llama.INNER)
    with refused("E694") as error:
        plan_apply([llama.delta()], model)
    assert "pip install" in error.diagnostics[0].help
