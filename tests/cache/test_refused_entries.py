"""Entries that are damaged or somebody else's are not used, and the build says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from editc import api
from editc.cache.disk import DiskCache
from editc.cache.entry import entry_files, hash_bytes, read_record
from editc.core.storage.caching import refused_entries

MANIFEST = "editc: 1\nmodel: editc:demo\nedits: [{erase: circle, to: square}]\ncontexts: ['{}', 'a red {}']\n"
ROWS = {"rows": np.arange(6.0).reshape(2, 3)}


def put_in_place(path: Path, data: bytes, name: str = "") -> None:
    """Other bytes for an entry, with their own hash in the name: such a file looks whole."""
    path.unlink()
    (path.parent / f"{name or path.name.split('.')[0]}.{hash_bytes(data)}.safetensors").write_bytes(data)


def renamed(path: Path) -> None:
    """The same entry with its arrays under other names."""
    data = path.read_bytes()
    arrays: Mapping[str, Any] = {f"other {name}": array for name, array in load(data).items()}
    put_in_place(path, save(dict(arrays), dict(read_record(data).as_metadata())))


def spoil(path: Path) -> None:
    """Other bytes under the old name."""
    path.write_bytes(path.read_bytes()[:-3])


HARMS: Mapping[str, Callable[[Path], None]] = {
    "other names": renamed,
    "no arrays": lambda path: put_in_place(path, save({}, dict(read_record(path.read_bytes()).as_metadata()))),
    "no record": lambda path: put_in_place(path, save(load(path.read_bytes()))),
    "no safetensors": lambda path: put_in_place(path, b"not safetensors"),
    "cut short": lambda path: put_in_place(path, path.read_bytes()[:-3]),
    "another hash": spoil,
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_no_entry_under_the_key_is_not_used_and_goes(tmp_path: Path, harm: str) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", ROWS, "rows")
    HARMS[harm](*entry_files(tmp_path))
    (there,) = entry_files(tmp_path)
    assert cache.get("key", ["rows"]) is None and refused_entries(cache) == (there.name,)
    assert [*entry_files(tmp_path)] == []


def test_an_entry_of_another_key_is_not_used(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", ROWS)
    (mine,) = entry_files(tmp_path)
    name = mine.name.split(".")[0]
    cache.put("other", ROWS)
    (other,) = (path for path in entry_files(tmp_path) if path != mine)
    mine.unlink()
    put_in_place(other, other.read_bytes(), name)
    assert cache.get("key") is None and len(refused_entries(cache)) == 1


def test_an_entry_may_have_more_arrays(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", {**ROWS, "more": np.ones(1)})
    found = cache.get("key", ["rows"])
    assert found is not None and found.keys() == {"rows", "more"} and refused_entries(cache) == ()


def test_a_build_on_a_cache_of_other_arrays_is_a_build_on_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every entry has a valid hash and the right name, and none of the arrays that a build looks for."""
    (tmp_path / "m.yaml").write_text(MANIFEST)
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path / "cache"))
    first = api.build(tmp_path / "m.yaml", tmp_path / "first")
    entries = [*entry_files(tmp_path / "cache")]
    for path in entries:
        renamed(path)
    second = api.build(tmp_path / "m.yaml", tmp_path / "second")
    assert first is not None and second is not None and len(entries) > 3
    assert (tmp_path / "first/delta.safetensors").read_bytes() == (tmp_path / "second/delta.safetensors").read_bytes()
    assert [one.code for one in second.warnings] == [*(one.code for one in first.warnings), "E807"]
    third = api.build(tmp_path / "m.yaml", tmp_path / "third")
    assert third is not None and [one.code for one in third.warnings] == [one.code for one in first.warnings]
