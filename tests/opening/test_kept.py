"""What is remembered of files holds for as long as nobody writes to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from editc.cache.disk import DiskCache
from editc.core.delta import Array
from editc.formats.models.fingerprint import describe_encoders, half_digests
from editc.formats.models.model import Checkpoint, open_component
from editc.opening import kept
from editc.opening.kept import NOTHING, Kept


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(kept, "SETTLED", -1.0)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The folder of a text encoder with two tensors of floats and one of integers."""
    folder = tmp_path / "model" / "text_encoder"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write(folder, np.arange(6.0, dtype=np.float32))
    return folder


def write(folder: Path, values: Array) -> None:
    """Write the encoder's file."""
    other = np.ones((2, 3), np.float16)
    tensors: dict[str, Any] = {"b.weight": values.astype(np.float32), "a.weight": other, "position_ids": np.arange(3)}
    save_file(tensors, folder / "model.safetensors")


def opened(folder: Path) -> Checkpoint:
    """The encoder's checkpoint."""
    return open_component("text_encoder", folder)


def forbid_reading(patch: pytest.MonkeyPatch) -> None:
    """From here on weights are not to be read."""

    def refuse(checkpoint: Checkpoint) -> None:
        raise AssertionError("read again")

    patch.setattr(kept, "half_digests", refuse)
    patch.setattr(kept, "find_non_finite", refuse)


def test_what_was_found_is_told_again_without_reading(
    encoder: Path, tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, plain = Kept(DiskCache(tmp_path / "cache")), half_digests(opened(encoder))
    assert memory.digests(opened(encoder)) == plain and not memory.broken(opened(encoder))
    forbid_reading(monkeypatch)
    assert memory.digests(opened(encoder)) == plain and not memory.broken(opened(encoder))


def test_a_fingerprint_is_the_same_from_memory(encoder: Path, tmp_path: Path, settled: None) -> None:
    memory = Kept(DiskCache(tmp_path / "cache"))
    plain = describe_encoders(encoder.parent)
    assert [describe_encoders(encoder.parent, digests=memory.digests) for _ in range(2)] == [plain, plain]


def test_a_file_that_was_written_to_is_read_again_even_with_its_old_size_and_times(
    encoder: Path, tmp_path: Path, settled: None
) -> None:
    memory, file = Kept(DiskCache(tmp_path / "cache")), encoder / "model.safetensors"
    before, times = memory.digests(opened(encoder)), file.stat()
    assert not memory.broken(opened(encoder))
    with file.open("r+b") as stream:
        stream.seek(times.st_size - 4)
        stream.write(np.float32(np.nan).tobytes())
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size and file.stat().st_mtime_ns == times.st_mtime_ns
    assert memory.digests(opened(encoder)) != before
    assert len(memory.broken(opened(encoder))) == 1


def test_nothing_is_kept_of_a_file_that_changed_a_moment_ago(encoder: Path, tmp_path: Path) -> None:
    memory = Kept(DiskCache(tmp_path / "cache"))
    assert memory.digests(opened(encoder)) == NOTHING.digests(opened(encoder))
    assert not (tmp_path / "cache").exists()


def test_broken_weights_are_looked_for_each_time(encoder: Path, tmp_path: Path, settled: None) -> None:
    write(encoder, np.array([np.inf, 1.0]))
    memory = Kept(DiskCache(tmp_path / "cache"))
    assert [memory.broken(opened(encoder)) for _ in range(2)] == [["b.weight"]] * 2
