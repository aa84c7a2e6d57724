"""An edit as a new version of a checkpoint for running engines: written, read, and refused where it does not fit."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from tiny_files import KEYS, contents, delta_for, pack, refused, unet, write_component

from editc.core.delta import Delta
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.exports import xor_index, zstd
from editc.formats.exports.write import find_refusals as unsuited
from editc.formats.models.model import Model, open_model
from editc.libraries import extras

pytest.importorskip("zstandard")


def checkpoint(folder: Path, dtype: str = "BF16", shards: int = 2) -> Model:
    """A component's folder in shards, as engines load it."""
    folder.mkdir()
    write_component(folder, unet(dtype), shards)
    return open_model(folder)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Delta, Model, Path]:
    model = checkpoint(tmp_path / "m")
    delta = delta_for(model, component="m")
    xor_index.write_version(delta, model, tmp_path / "v1")
    return delta, model, tmp_path / "v1"


def test_a_version_is_the_edited_checkpoint(made: tuple[Delta, Model, Path], tmp_path: Path) -> None:
    delta, model, folder = made
    apply(plan_apply([delta], model), out=tmp_path / "out")
    edited = open_model(tmp_path / "out").component()
    found = dict(xor_index.read_version(folder, model.component()))
    assert found == {name: edited.raw(name) for name in KEYS}
    assert xor_index.check_version(folder, delta, model) == len(KEYS)


def test_it_is_laid_out_as_engines_read_it(made: tuple[Delta, Model, Path]) -> None:
    """The index's metadata, U8 tensors under the checkpoint's own names, the results' checksums in the shard."""
    delta, model, folder = made
    index = json.loads((folder / xor_index.INDEX).read_text())
    assert index["metadata"] == {
        "version": "000001",
        "base_version": "000000",
        "delta_encoding": "xor",
        "compression_format": "zstd",
        "checksum_format": "adler32",
        "editc_delta_id": delta.delta_id,
    }
    assert index["weight_map"] == dict.fromkeys(KEYS, "model-00001-of-00001.safetensors")
    results = dict(xor_index.read_version(folder, model.component()))
    with safe_open(folder / "model-00001-of-00001.safetensors", "np") as shard:
        assert sorted(shard.keys()) == sorted(KEYS)
        assert shard.metadata() == {name: f"{zlib.adler32(raw):08x}" for name, raw in results.items()}
        assert all(shard.get_tensor(name).dtype == np.uint8 for name in KEYS)


def test_shards_are_cut_and_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xor_index, "_SHARD", 100)
    model = checkpoint(tmp_path / "m", "F32")
    delta = delta_for(model, component="m")
    files = xor_index.write_version(delta, model, tmp_path / "v1")
    assert len(files) > 2 and sorted(path.name for path in files) == sorted(contents(tmp_path / "v1"))
    assert xor_index.check_version(tmp_path / "v1", delta, model) == len(KEYS)


def test_what_cannot_be_written(made: tuple[Delta, Model, Path], tmp_path: Path) -> None:
    delta, model, folder = made
    with refused("E630"):
        xor_index.write_version(delta, model, folder)
    apply(plan_apply([delta], model), in_place=True)
    with refused("E608"):
        xor_index.write_version(delta, open_model(model.path), tmp_path / "v2")
    with refused("E622"):
        (tmp_path / "other").mkdir()
        write_component(tmp_path / "other", unet("BF16", seed=9))
        xor_index.write_version(delta, open_model(tmp_path / "other"), tmp_path / "v2")
    assert not (tmp_path / "v2").exists() and not list(tmp_path.glob(".v2*"))


def read(folder: Path, model: Model) -> int:
    return len(list(xor_index.read_version(folder, model.component())))


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["metadata"].update(delta_encoding="overwrite"),
        lambda index: index["metadata"].update(compression_format="none"),
        lambda index: index["metadata"].pop("checksum_format"),
        lambda index: index.update(metadata=[]),
        lambda index: index.update(weight_map=None),
        lambda index: index["weight_map"].update({KEYS[0]: "../m/diffusion_pytorch_model-00001-of-00002.safetensors"}),
        lambda index: index["weight_map"].update({KEYS[0]: "/etc/passwd"}),
        lambda index: index["weight_map"].update({KEYS[0]: 3}),
        lambda index: index["weight_map"].update({KEYS[0]: "gone.safetensors"}),
        lambda index: index["weight_map"].update({"new.weight": "model-00001-of-00001.safetensors"}),
    ],
)
def test_an_index_that_does_not_fit_is_refused(made: tuple[Delta, Model, Path], change: Any) -> None:
    _, model, folder = made
    index = json.loads((folder / xor_index.INDEX).read_text())
    change(index)
    (folder / xor_index.INDEX).write_text(json.dumps(index))
    with refused("E608"):
        read(folder, model)


def test_damage_is_found(made: tuple[Delta, Model, Path]) -> None:
    """Every byte of the shard counts: a changed one is refused, in the header, in a frame or in a checksum."""
    _, model, folder = made
    shard = folder / "model-00001-of-00001.safetensors"
    data = bytearray(shard.read_bytes())
    unread = {i for i in range(len(data)) if data[i : i + 1] == b" "}
    for position in range(0, len(data), 7):
        data[position] ^= 0x10
        shard.write_bytes(data)
        if position not in unread:
            with refused("E608"):
                read(folder, model)
        data[position] ^= 0x10
    for text in ("", "{", "[]", '{"metadata": {}, "metadata": {}}'):
        (folder / xor_index.INDEX).write_text(text)
        with refused("E608"):
            read(folder, model)


def test_a_frame_that_would_fill_the_memory(made: tuple[Delta, Model, Path]) -> None:
    _, model, folder = made
    size = len(model.component().raw(KEYS[0]))
    huge = zstd.compress(bytes(1 << 24))  # magic, descriptor, and in 4 bytes the content's size
    lying = huge[:5] + size.to_bytes(4, "little") + huge[9:]
    for frame in (huge, lying, huge[:20], b""):
        shard = pack({KEYS[0]: ("U8", (len(frame),), frame)}, {KEYS[0]: "00000001"})
        (folder / "model-00001-of-00001.safetensors").write_bytes(shard)
        index = json.loads((folder / xor_index.INDEX).read_text())
        index["weight_map"] = {KEYS[0]: "model-00001-of-00001.safetensors"}
        (folder / xor_index.INDEX).write_text(json.dumps(index))
        with refused("E608"):
            read(folder, model)


PLAIN = st.lists(st.tuples(st.sampled_from([b"\0", b"\1", b"ab"]), st.integers(0, 5000)), max_size=8).map(
    lambda parts: b"".join(part * count for part, count in parts)
)


@given(PLAIN)
def test_frames_unpack(plain: bytes) -> None:
    assert zstd.decompress(zstd.compress(plain), len(plain)) == plain


@given(st.binary(max_size=200), st.integers(0, 100))
def test_random_frames_are_no_frames(data: bytes, size: int) -> None:
    for frame in (data, zstd.compress(bytes(size))[:9] + data):
        try:
            assert len(zstd.decompress(frame, size)) == size
        except ValueError:
            continue


def test_a_frame_is_read_to_its_end_and_no_further() -> None:
    frame = zstd.compress(b"abc" * 99)
    for wrong, size in ((frame, 296), (frame, 298), (frame[:-1], 297), (frame + b"\0", 297), (frame + frame, 594)):
        with pytest.raises(ValueError, match="frame"):
            zstd.decompress(wrong, size)


def test_without_the_library_it_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an export writes does not hang on what happens to be installed."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for name, extra in (("xor-index", "engines"), ("gguf-lora", "gguf"), ("onnx-adapter", "onnx")):
        (fault,) = unsuited([name], "llama")
        assert fault.code == "E669" and f"'.[{extra}]'" in fault.help
    assert not unsuited(["kohya"], "sd1")
