"""Weight files: what is read is exact, and what is not well-formed is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_files import (
    KEYS,
    frame,
    pack,
    pipeline,
    random_tensor,
    refused,
    unet,
    write_component,
    write_pipeline,
)

from editc.formats.containers.safetensors import MAX_HEADER, read_header
from editc.formats.models import paths
from editc.formats.models.fingerprint import encoder_fingerprint, fingerprint
from editc.formats.models.model import open_component, open_model
from editc.numerics.bits import dtypes


def test_a_pipeline_is_read_lazily(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    assert model.layout == "pipeline" and set(model.components) == {"unet", "text_encoder"}
    weights = model.component("unet")
    assert weights.names() == sorted(unet())
    assert weights.bytes_read == 0
    values = weights.read(KEYS[0])
    assert values.dtype == np.float64 and values.shape == weights.shape(KEYS[0]) == (4, 6)
    assert weights.bytes_read == 4 * 6 * 4
    assert weights.raw(KEYS[0]) == unet()[KEYS[0]][2]
    tensor = weights.where(KEYS[0])
    assert tensor.file.read_bytes()[tensor.offset : tensor.offset + tensor.nbytes] == weights.raw(KEYS[0])
    with refused("E615"):
        model.component("vae")
    with refused("E619"):
        weights.shape("nothing")
    with refused("E616"):
        weights.read("steps")


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_shards_and_dtypes_give_the_same_tensors(tmp_path: Path, dtype: str, shards: int) -> None:
    weights = pipeline(tmp_path / "m", dtype=dtype, shards=shards).component("unet")
    for name, (kind, shape, raw) in unet(dtype).items():
        assert (weights.dtype(name), weights.shape(name), weights.raw(name)) == (kind, shape, raw)


def test_a_component_a_file_and_a_transformers_folder_are_models(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    file = root / "unet" / "diffusion_pytorch_model.safetensors"
    for place in (root / "unet", file, str(file)):
        model = open_model(place)
        assert model.component("unet").names() == model.component().names() == sorted(unet())
    assert open_model(root / "text_encoder").component("model").names() == ["embed.weight", "ids"]


def test_the_plain_file_is_preferred_and_what_is_left_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    folder.mkdir()
    write_component(folder, unet())
    (folder / "diffusion_pytorch_model.fp16.safetensors").write_bytes(pack(unet("F16")))
    (folder / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(pack(unet("BF16")))
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    weights = open_component("unet", folder)
    assert weights.dtype(KEYS[0]) == "F32"
    assert all(one in weights.notes[0] for one in (".fp16.", ".non_ema.", ".bin"))
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    assert open_component("unet", folder).dtype(KEYS[0]) == "F16"
    (folder / "diffusion_pytorch_model.fp16.safetensors").unlink()
    (folder / "diffusion_pytorch_model.non_ema.safetensors").unlink()
    with refused("E611") as error:
        open_component("unet", folder)
    assert "convert to safetensors" in error.diagnostics[0].help


def test_models_that_are_not_there_or_not_readable(tmp_path: Path) -> None:
    with refused("E610"):
        open_model(tmp_path / "nowhere")
    with refused("E611"):
        open_model(tmp_path)
    (tmp_path / "model.npz").write_bytes(b"PK")
    with refused("E611"):
        open_model(tmp_path / "model.npz")
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x02")
    with refused("E611"):
        open_model(tmp_path / "old.ckpt")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02")
    (tmp_path / "old.ckpt").unlink()
    with refused("E611"):
        open_model(tmp_path)


def test_ambiguous_folders_are_refused(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m", shards=2)
    (root / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pack(unet()))
    with refused("E613"):
        open_model(root).component("unet")
    other = tmp_path / "two"
    other.mkdir()
    for name in ("a", "b"):
        (other / f"{name}.safetensors").write_bytes(pack(unet()))
    with refused("E613"):
        open_model(other).component()


def _edit_index(folder: Path, change: object) -> None:
    index = next(folder.glob("*.index.json"))
    document = json.loads(index.read_text())
    change(document)  # type: ignore[operator]
    index.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["weight_map"].update(nothing=next(iter(d["weight_map"].values()))),
        lambda d: d["weight_map"].update(x="../../secret.safetensors"),
        lambda d: d["weight_map"].update(x="/etc/secret.safetensors"),
        lambda d: d["weight_map"].update(x="gone.safetensors"),
        lambda d: d["weight_map"].update(x=3),
        lambda d: d.update(weight_map=[]),
        lambda d: d.clear(),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, change: object) -> None:
    root = write_pipeline(tmp_path / "m", shards=2)
    _edit_index(root / "unet", change)
    with refused("E613"):
        open_model(root).component("unet")


def test_broken_shards_are_refused(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m", shards=2)
    first, second = sorted((root / "unet").glob("*.safetensors"))
    kept = first.read_bytes()
    first.write_bytes(kept[:-3])
    with refused("E612"):
        open_model(root).component("unet")
    first.write_bytes(second.read_bytes())
    with refused("E613"):
        open_model(root).component("unet")
    first.unlink()
    with refused("E613"):
        open_model(root).component("unet")
    next((root / "unet").glob("*.index.json")).unlink()
    with refused("E613"):
        open_model(root).component("unet")
    next((root / "unet").glob("*.safetensors")).write_bytes(kept)
    (root / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_bytes(b"\xff{")
    with refused("E613"):
        open_model(root).component("unet")


def _hub(cache: Path) -> Path:
    folder = cache / "models--org--pico"
    (folder / "refs").mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    write_pipeline(folder / "snapshots" / ("a" * 40))
    weights = folder / "snapshots" / ("a" * 40) / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "blobs" / "f00")
    weights.symlink_to("../../../blobs/f00")
    return folder


def test_hub_ids_resolve_in_the_local_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    _hub(tmp_path / "cache")
    for place in ("org/pico", "org/pico@main", "org/pico@" + "a" * 40, "org/pico@aaaaaaa"):
        assert open_model(place).component("unet").names() == sorted(unet())
    for place in ("org/other", "org/pico@v2", "org/pico@../main", "org/pico@bbbbbbb"):
        with refused("E614"):
            open_model(place)
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "cache").rename(tmp_path / "home" / "hub")
    assert open_model("org/pico").component("unet").names()
    (tmp_path / "org").mkdir()
    write_pipeline(tmp_path / "org" / "pico", seed=5)
    assert open_model("org/pico").path == tmp_path / "org" / "pico", "a path that exists comes first"


def test_the_demo_is_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "demo_model", lambda: write_pipeline(tmp_path / "demo"))
    assert open_model("editc:demo").component("unet").names() == sorted(unet())


def _header(**changes: object) -> bytes:
    entry: dict[str, object] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return frame(json.dumps({"a": entry | changes}).encode(), b"\0" * 8)


HOSTILE = {
    "empty": b"",
    "seven bytes": b"\1" * 7,
    "length beyond the end": (1 << 40).to_bytes(8, "little") + b"{}",
    "length over the limit": (MAX_HEADER + 1).to_bytes(8, "little") + b"{}",
    "length all ones": b"\xff" * 8 + b"{}",
    "not an object": frame(b"[1]"),
    "leading space": frame(b" {}"),
    "not UTF-8": frame(b'{"\xff":1}'),
    "half a surrogate": frame(b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "two documents": frame(b"{}{}"),
    "duplicate tensor": frame(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}'),
    "duplicate field": frame(b'{"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "NaN": frame(b'{"a":NaN}'),
    "deep": frame(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a number with many digits": frame(b'{"a":' + b"9" * 5000 + b"}"),
    "metadata of numbers": frame(b'{"__metadata__":{"a":1}}'),
    "metadata a list": frame(b'{"__metadata__":[]}'),
    "unknown dtype": _header(dtype="F128"),
    "dtype a list": _header(dtype=["F32"]),
    "shape negative": _header(shape=[-2]),
    "shape of floats": _header(shape=[2.0]),
    "shape of booleans": _header(shape=[True, 2]),
    "shape enormous": _header(shape=[1 << 62, 1 << 62]),
    "shape with many dimensions": _header(shape=[1] * 1000),
    "shape does not fit": _header(shape=[3]),
    "offsets backwards": _header(data_offsets=[8, 0]),
    "offsets out of range": _header(data_offsets=[8, 16]),
    "offsets one": _header(data_offsets=[8]),
    "offsets beyond 64 bits": _header(data_offsets=[1 << 70, (1 << 70) + 8]),
    "field missing": frame(b'{"a":{"dtype":"F32","shape":[0]}}'),
    "field too many": _header(extra=1),
    "half a byte": frame(b'{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}', b"\0"),
    "bytes of no tensor": _header() + b"\0",
    "truncated": _header()[:-1],
    "overlap": frame(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
        b"\0" * 12,
    ),
    "gap": frame(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
        b"\0" * 12,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_quickly(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(HOSTILE[name])
    start = time.process_time()
    with refused("E612"):
        open_model(tmp_path / "m.safetensors").component()
    assert time.process_time() - start < 1


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = pack({"a": random_tensor(0, "F32", (3,)), "b": random_tensor(1, "F16", (2, 2))})
    file = tmp_path / "m.safetensors"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with refused("E612"):
            read_header(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**65) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F4", "I8", "F99"]),
        "shape": st.lists(st.integers(-1, 4), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=1, max_size=3) | json_values,
    }
)


@settings(max_examples=250, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), entries | json_values, max_size=3), st.binary(max_size=24), st.integers(0, 9)
)
def test_random_headers_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, header, body, lie) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path_factory.getbasetemp() / "random.safetensors"
    data = frame(json.dumps(header).encode(), body)
    file.write_bytes(data if lie else (len(data) // 2).to_bytes(8, "little") + data[8:])
    try:
        found = read_header(file)
    except Exception as error:
        assert [d.code for d in error.diagnostics] == ["E612"]  # type: ignore[attr-defined]
        return
    assert sum(entry.end - entry.start for entry in found.entries.values()) == len(data) - found.data_start


def test_what_the_safetensors_library_writes_is_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray[Any, Any]] = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.ones(3, np.float16),
        "c": np.zeros((0, 2)),
    }
    save_file(arrays, tmp_path / "m.safetensors", metadata={"format": "pt"})
    weights = open_model(tmp_path / "m.safetensors").component()
    assert weights.names() == ["a", "b", "c"] and weights.metadata == {"format": "pt"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(weights.read(name), array.astype(np.float64))


def test_the_fingerprint_sees_names_shapes_and_edited_values(tmp_path: Path) -> None:
    base = pipeline(tmp_path / "a").component("unet")
    found = {
        fingerprint(base),
        fingerprint(base, KEYS),
        fingerprint(base, KEYS[:1]),
        fingerprint(pipeline(tmp_path / "b", seed=1).component("unet"), KEYS),
        fingerprint(pipeline(tmp_path / "c", dtype="F16").component("unet"), KEYS),
    }
    assert len(found) == 5
    assert fingerprint(base) == fingerprint(pipeline(tmp_path / "d", seed=1, shards=2).component("unet"))
    assert fingerprint(base, KEYS) == fingerprint(pipeline(tmp_path / "e", shards=3).component("unet"), KEYS[::-1])


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16"])
def test_the_encoder_fingerprint_is_that_of_a_copy_in_half_precision(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many bytes are rounded at once."""
    root = write_pipeline(tmp_path / "m")
    file, (_, shape, raw) = root / "text_encoder" / "model.safetensors", random_tensor(7, dtype, (5, 6))
    marks = []
    for step in (8, 48, 1 << 20):
        monkeypatch.setattr("editc.formats.models.fingerprint._STEP", step)
        file.write_bytes(pack({"embed.weight": (dtype, shape, raw)}))
        marks.append(encoder_fingerprint(root))
    half = dtypes.encode(dtypes.decode(raw, dtype, shape), "F16")
    file.write_bytes(pack({"embed.weight": ("F16", shape, half)}))
    assert set(marks) == {encoder_fingerprint(root)}


def test_the_encoder_fingerprint_is_of_values_and_words(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "a")
    base = encoder_fingerprint(root)
    assert len(base) == 64
    assert encoder_fingerprint(root / "unet") == base, "a component knows the pipeline that it lies in"
    assert encoder_fingerprint(root / "unet" / "diffusion_pytorch_model.safetensors") == base
    alone = tmp_path / "alone"
    alone.mkdir()
    write_component(alone, unet())
    assert encoder_fingerprint(alone) == ""
    (root / "text_encoder" / "config.json").write_text('{"hidden_act":"quick_gelu","torch_dtype":"float16"}')
    parts = {"embed.weight": random_tensor(7, "F16", (5, 6))}
    (root / "text_encoder" / "model.safetensors").write_bytes(pack(parts))
    (root / "tokenizer" / "merges.txt").unlink()
    (root / "tokenizer" / "vocab.json").unlink()
    words: dict[str, Any] = {"model": {"vocab": {"b": 1, "a": 0}, "merges": [["a", "b"]]}}
    (root / "tokenizer" / "tokenizer.json").write_text(json.dumps(words))
    assert encoder_fingerprint(root) == base, "a half-precision copy in another library's spelling"
    assert encoder_fingerprint(write_pipeline(tmp_path / "b", encoder_seed=8)) != base
    (root / "text_encoder" / "config.json").write_text('{"hidden_act":"gelu"}')
    assert encoder_fingerprint(root) != base
    words["model"]["vocab"]["c"] = 2
    (root / "tokenizer" / "tokenizer.json").write_text("{")
    with refused("E617"):
        encoder_fingerprint(root)
