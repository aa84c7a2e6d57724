"""What a downloaded model can bring along: weights, an index and a journal that lie."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hostile_onnx
import onnx_files
from hostile_bytes import canonical, sparse
from hostile_run import Build, Case
from tiny_files import KEYS, write_pipeline

from editc.core.delta import Delta
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.containers.safetensors import MAX_HEADER
from editc.formats.models.layout import MAX_INDEX
from editc.formats.models.model import open_model

WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"


def as_weights(data: bytes, delta: bytes) -> Build:
    """The file as the pipeline's weights, with a sound delta to apply."""

    def build(folder: Path) -> Sequence[str]:
        shutil.copytree(folder / "m", folder / "w")
        (folder / "w" / WEIGHTS).write_bytes(data)
        (folder / "d.safetensors").write_bytes(delta)
        return ["apply", "HERE/d.safetensors", "--to", "HERE/w", "--out", "HERE/out", "--allow-finetune"]

    return build


def indexes(delta: bytes) -> Iterator[Case]:
    """The index of a sharded checkpoint."""
    file = "diffusion_pytorch_model-00001-of-00002.safetensors"
    tables: dict[str, Any] = {
        "not JSON": b"{",
        "not UTF-8": b'{"weight_map":{"\xff":1}}',
        "deep": b'{"weight_map":' + b"[" * 200_000,
        "a list": [],
        "no map": {},
        "an empty map": {"weight_map": {}},
        "a map that is a list": {"weight_map": [file]},
        "a shard that is a number": {"weight_map": {"a": 1}},
        "a shard that is null": {"weight_map": {"a": None}},
        "a shard that is missing": {"weight_map": {"a": "none.safetensors"}},
        "a shard outside": {"weight_map": {"a": "../../../etc/passwd"}},
        "a shard above": {"weight_map": {"a": "../model.safetensors"}},
        "a shard anywhere": {"weight_map": {"a": "/etc/shadow.safetensors"}},
        "a shard behind a backslash": {"weight_map": {"a": "..\\model.safetensors"}},
        "a shard with a nul": {"weight_map": {"a": "a\0.safetensors"}},
        "a shard with a long name": {"weight_map": {"a": "x" * 5000 + ".safetensors"}},
        "a shard with half a character": {"weight_map": {"a": "\ud800.safetensors"}},
        "a shard of a newline": {"weight_map": {"a": "\n.safetensors"}},
        "a shard that is a pickle": {"weight_map": {"a": "pytorch_model.bin"}},
        "a tensor that is not there": {"weight_map": {"no.such": file}},
        "a tensor in another shard": {"weight_map": {KEYS[0]: "diffusion_pytorch_model-00002-of-00002.safetensors"}},
        "a tensor twice": b'{"weight_map":{"a":"%s","a":"%s"}}' % (file.encode(), file.encode()),
        "100,000 shards": {"weight_map": {str(n): f"{n}.safetensors" for n in range(100_000)}},
        "as many lists as fit": b'{"a":[' + b"[]," * (MAX_INDEX // 3 - 40) + b"[]]}",
        "too long": b" " * (MAX_INDEX + 1) + b"{}",
        "a number of 10,000 digits": b'{"weight_map":' + b"9" * 10_000 + b"}",
    }

    def build_with(table: Any) -> Build:
        def build(folder: Path) -> Sequence[str]:
            root = write_pipeline(folder / "w", shards=2)
            data = table if isinstance(table, bytes) else canonical(table)
            (root / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_bytes(data)
            (folder / "d.safetensors").write_bytes(delta)
            return ["apply", "HERE/d.safetensors", "--to", "HERE/w", "--out", "HERE/out"]

        return build

    for name, table in tables.items():
        yield Case("index", name, build_with(table))

    def looped(folder: Path) -> Sequence[str]:
        build_with(b"")(folder)
        index = folder / "w" / "unet" / "diffusion_pytorch_model.safetensors.index.json"
        index.unlink()
        sparse(index, b'{"weight_map":', 1 << 40)
        return ["status", "HERE/w", "--delta", "HERE/d.safetensors"]

    yield Case("index", "a terabyte", looped)


def a_pipe(place: Path) -> None:
    """A pipe in place of a file: whoever opens it waits for ever."""
    place.unlink()
    os.mkfifo(place)


def a_folder(place: Path) -> None:
    """A folder in place of a file."""
    place.unlink()
    place.mkdir()


def journal_files(folder: Path, delta: Delta) -> dict[str, bytes]:
    """A pipeline with a delta applied in place: every file of it."""
    root = write_pipeline(folder / "edited")
    apply(plan_apply([delta], open_model(root)), in_place=True)
    return {
        name: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        for name in [str(path.relative_to(root))]
    }


def journals(files: Mapping[str, bytes]) -> Iterator[Case]:
    """What a downloaded model may bring along as its history."""
    record_name = next(name for name in files if name.endswith("record.json"))
    record = json.loads(files[record_name])
    part, mark = record["ranges"][0], next(iter(record["files"].values()))
    file = next(iter(record["files"]))
    changes: dict[str, Mapping[str, Any]] = {
        "version 2": {"version": 2},
        "version a list": {"version": [1]},
        "another mode": {"mode": "exec"},
        "a mode that is a list": {"mode": ["out"]},
        "no files": {"files": {}},
        "files a list": {"files": [file]},
        "files of numbers": {"files": {file: 1}},
        "a file outside": {"files": {"../../x.safetensors": mark}, "ranges": [part | {"file": "../../x.safetensors"}]},
        "a file anywhere": {"files": {"/etc/x.safetensors": mark}, "ranges": [part | {"file": "/etc/x.safetensors"}]},
        "a file that is none": {"files": {"model_index.json": mark}, "ranges": [part | {"file": "model_index.json"}]},
        "a file with a nul": {"files": {"a\0.safetensors": mark}, "ranges": [part | {"file": "a\0.safetensors"}]},
        "a file with a long name": {"files": {"x" * 5000 + ".safetensors": mark}, "ranges": []},
        "a file with half a character": {"files": {"\ud800.safetensors": mark}, "ranges": []},
        "a range in no file": {"ranges": [part | {"file": "none.safetensors"}]},
        "ranges a map": {"ranges": {"0": part}},
        "ranges of numbers": {"ranges": [1]},
        "a range with a field more": {"ranges": [part | {"run": "rm"}]},
        "a negative offset": {"ranges": [part | {"offset": -8}]},
        "an offset of a float": {"ranges": [part | {"offset": 1.5}]},
        "an offset far out": {"ranges": [part | {"offset": 1 << 62}]},
        "an offset beyond 64 bits": {"ranges": [part | {"offset": 1 << 70}]},
        "a size far out": {"ranges": [part | {"nbytes": 1 << 62}]},
        "a size beyond 64 bits": {"ranges": [part | {"nbytes": 1 << 70}]},
        "an undo far out": {"ranges": [part | {"undo": 1 << 62}]},
        "an undo beyond 64 bits": {"ranges": [part | {"undo": 1 << 70}]},
        "a range over the header": {"ranges": [part | {"offset": 0}]},
        "a hash of a number": {"ranges": [part | {"base": 1}]},
        "a hash that is wrong": {"ranges": [part | {"base": "0" * 64}]},
        "a time far out": {"files": {file: mark | {"modified": 1 << 80}}},
        "a size of true": {"files": {file: mark | {"size": True}}},
        "no deltas": {"deltas": []},
        "deltas of texts": {"deltas": ["x"]},
        "deltas without an id": {"deltas": [{}]},
        "a delta's id a list": {"deltas": [{"delta_id": ["x"]}]},
        "a delta's id a path": {"deltas": [{"delta_id": "../../../../x"}]},
        "a delta's edits a number": {"deltas": [{"delta_id": "x", "edits": 5}]},
        "a delta's edits of numbers": {"deltas": [{"delta_id": "x", "edits": [5]}]},
    }
    texts = {name: canonical(record | change) for name, change in changes.items()}
    texts |= {
        "empty": b"",
        "null": b"null",
        "a list": b"[]",
        "not UTF-8": b"\xff\xfe",
        "deep": b"[" * 200_000,
        "a key twice": files[record_name].rstrip()[:-1] + b',"version":1}',
        "half": files[record_name][: len(files[record_name]) // 2],
        "NaN": b'{"version":NaN}',
        "as many lists as fit": b'{"a":[' + b"[]," * (MAX_HEADER // 3 - 40) + b"[]]}",
        "too long": b" " * (MAX_HEADER + 1),
    }

    def forged_journal(text: bytes, done: bool, command: str) -> Build:
        def build(folder: Path) -> Sequence[str]:
            for name, data in files.items():
                place = folder / "w" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            (folder / "w" / record_name).write_bytes(text)
            if not done:
                (folder / "w" / record_name).with_name("done").unlink()
            return [command, "HERE/w"]

        return build

    for name, text in texts.items():
        yield Case("journal", f"{name}, revert", forged_journal(text, True, "revert"))
        yield Case("journal", f"{name}, interrupted, status", forged_journal(text, False, "status"))

    def moved(change: Callable[[Path], object], command: str) -> Build:
        def build(folder: Path) -> Sequence[str]:
            forged_journal(files[record_name], True, command)(folder)
            change((folder / "w" / record_name).parent)
            return [command, "HERE/w"]

        return build

    moves: dict[str, Callable[[Path], object]] = {
        "no undo": lambda p: (p / "undo.bin").unlink(),
        "half an undo": lambda p: os.truncate(p / "undo.bin", 10),
        "another undo": lambda p: (p / "undo.bin").write_bytes(bytes(4096)),
        "an undo that is a pipe": lambda p: a_pipe(p / "undo.bin"),
        "an undo that is a folder": lambda p: a_folder(p / "undo.bin"),
        "a record that is a pipe": lambda p: a_pipe(p / "record.json"),
        "a record that is a folder": lambda p: a_folder(p / "record.json"),
        "a record of a terabyte": lambda p: sparse(p / "record.json", b"{", 1 << 40),
        "an entry without a number": lambda p: p.rename(p.parent / "entry"),
        "an entry that is empty": lambda p: (p.parent / "0002-x").mkdir(),
    }
    for name, change in moves.items():
        yield Case("journal", f"{name}, revert", moved(change, "revert"))


def graphs() -> Iterator[Case]:
    """ONNX files, to be looked at."""
    with tempfile.TemporaryDirectory() as folder:
        sound = onnx_files.pico(Path(folder) / "m.onnx").read_bytes()
    for name, bad in hostile_onnx.damaged(sound).items():
        yield Case("onnx", name, as_graph(bad))
    for name, bad in hostile_onnx.crowded().items():
        yield Case("onnx", f"as many {name} as fit", as_graph(bad))


def as_graph(data: bytes) -> Build:
    """The file as an ONNX model that is inspected."""

    def build(folder: Path) -> Sequence[str]:
        (folder / "m.onnx").write_bytes(data)
        return ["inspect", "HERE/m.onnx"]

    return build
