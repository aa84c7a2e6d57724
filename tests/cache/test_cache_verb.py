"""`editc cache`: what the entries are for, a bound on their size, and a file that lets others start warm."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from editc import api
from editc.cache import archive, folder
from editc.cache.disk import DiskCache, open_cache
from editc.cache.entry import EntryRecord, hash_bytes, hash_texts
from editc.cache.environment import describe_environment
from editc.cache.sizes import parse_size, show_size
from editc.cli import cli
from editc.core.diagnostics import EditcError

HERE = ("editc 1", "numpy 2", "2 cores")
THERE = ("editc 1", "numpy 3", "64 cores")
ROWS = {"rows": np.arange(6.0).reshape(2, 3)}


def cache_at(path: Path, environment: tuple[str, ...] = HERE, **given: Any) -> DiskCache:
    return DiskCache(path, environment, model="sd15", **given)


def exported(tmp_path: Path, environment: tuple[str, ...] = HERE, keys: str = "ab") -> Path:
    """A file with entries that were computed in an environment."""
    cache = cache_at(tmp_path / "from", environment)
    for key in keys:
        cache.put(key, {"rows": ROWS["rows"] + ord(key)}, "prompts of a name")
    archive.export_entries(cache, tmp_path / "file")
    return tmp_path / "file"


def code(call: Callable[[], object]) -> str:
    with pytest.raises(EditcError) as error:
        call()
    return error.value.diagnostics[0].code


def editc(*given: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["cache", *given], standalone_mode=False)
    if isinstance(found.exception, EditcError):
        return 2, found.exception.diagnostics[0].code
    assert found.exception is None, found.exception
    return int(found.return_value), found.output


# ---------------------------------------------------------------- what is there


def test_an_entry_says_what_it_holds_for_which_model_and_where_it_was_computed(tmp_path: Path) -> None:
    cache_at(tmp_path).put("key", ROWS, "prompts of a name")
    (one,) = folder.list_entries(cache_at(tmp_path))
    assert one.record == EntryRecord(hash_texts("key"), "prompts of a name", "sd15", HERE)
    assert not one.imported and one.size == one.path.stat().st_size


def test_an_entry_without_a_record_is_listed_as_unknown_and_is_not_exported(tmp_path: Path) -> None:
    from safetensors.numpy import save

    data = save({"rows": ROWS["rows"]})
    (tmp_path / f"{'0' * 64}.{hash_bytes(data)}.safetensors").write_bytes(data)
    (tmp_path / f"{'1' * 64}.{'2' * 64}.safetensors").write_bytes(b"\xff" * 20)
    found = folder.list_entries(cache_at(tmp_path))
    assert [(one.record.kind, one.record.model) for one in found] == [("unknown", "unknown")] * 2
    assert code(lambda: archive.export_entries(cache_at(tmp_path), tmp_path / "out")) == "E805"


def test_the_list_groups_entries_by_model_and_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path))
    for key in "abc":
        cache_at(tmp_path).put(key, ROWS, "prompts of a name")
    DiskCache(tmp_path, HERE, model="editc:demo").put("d", ROWS, "Gram sums of weights")
    exit_code, text = editc("list")
    assert exit_code == 0 and "4 entries" in text and "at most 2.1 GB" in text
    assert any(line.split()[:6] == ["sd15", "prompts", "of", "a", "name", "3"] for line in text.splitlines())
    _, only = editc("list", "--model", "some/where/sd15", "--json")
    (group,) = json.loads(only)["groups"]
    assert group["kind"] == "prompts of a name" and group["entries"] == 3 and group["bytes"] > 0
    _, size = editc("size", "--json")
    assert json.loads(size)["entries"] == 4


def test_there_is_no_cache_where_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_CACHE", "")
    assert editc("list") == (2, "E801")


# ---------------------------------------------------------------- a bound


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("0", 0), ("1000", 1000), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("2g", 2 * 10**9), ("7kb", 7000)],
)
def test_a_size_is_a_number_with_a_unit(text: str, bytes_: int) -> None:
    assert parse_size(text, "--to") == bytes_


@pytest.mark.parametrize("text", ["", "MB", "-1", "two", "1 IB", "1e9", "5 parsecs", "9" * 40, "\u0661"])
def test_another_text_is_no_size(text: str) -> None:
    assert code(lambda: parse_size(text, "--to")) == "E800"


def test_sizes_are_shown_in_three_digits() -> None:
    assert [show_size(n) for n in (0, 999, 1500, 4_700_000, 2 << 30)] == ["0 B", "999 B", "1.5 kB", "4.7 MB", "2.1 GB"]


def test_the_user_bounds_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path))
    monkeypatch.setenv("EDITC_CACHE_SIZE", "20kB")
    cache = open_cache()
    assert cache is not None and cache.limit == 20_000
    for number in range(20):
        cache.put(str(number), {"rows": np.full(1000, 0.1 * number)})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    monkeypatch.setenv("EDITC_CACHE_SIZE", "much")
    assert code(open_cache) == "E800"


def test_prune_removes_what_was_not_used_for_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path))
    cache = cache_at(tmp_path)
    for age, key in enumerate("dcba"):
        cache.put(key, ROWS)
        (path,) = cache._find(key)
        os.utime(path, (10**9 + age, 10**9 + age))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    exit_code, text = editc("prune", "--to", str(size // 2))
    assert exit_code == 0 and "removed 2 entries" in text
    assert [cache.get(key) is not None for key in "abcd"] == [True, True, False, False]
    assert editc("prune", "--to", "half") == (2, "E800")
    editc("prune", "--to", "0")
    assert not list(tmp_path.iterdir())


def test_prune_removes_one_model(tmp_path: Path) -> None:
    cache_at(tmp_path).put("a", ROWS)
    DiskCache(tmp_path, HERE, model="sdxl").put("b", ROWS)
    assert len(folder.prune(cache_at(tmp_path), model="sdxl")) == 1
    assert cache_at(tmp_path).get("a") is not None and cache_at(tmp_path).get("b") is None


def test_what_is_put_again_stands_in_place_of_the_old(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    for number in range(3):
        cache.put("key", {"rows": np.array([float(number)])})
    assert len(list(tmp_path.iterdir())) == 1 and cache.get("key")["rows"] == [2.0]  # type: ignore[index]


# ---------------------------------------------------------------- a file for others


def test_entries_of_the_same_environment_are_used_as_if_they_had_been_computed_here(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "to")
    done = archive.import_entries(cache, exported(tmp_path))
    assert (done.same, done.rounded, done.left) == (2, 0, 0)
    found = cache.get("a")
    assert found is not None and found["rows"].tobytes() == (ROWS["rows"] + ord("a")).tobytes() and not cache.borrowed


def test_the_same_entries_give_the_same_file(tmp_path: Path) -> None:
    first = exported(tmp_path).read_bytes()
    assert exported(tmp_path).read_bytes() == first


def test_entries_of_another_environment_are_refused_unless_rounding_is_accepted(tmp_path: Path) -> None:
    file, cache = exported(tmp_path, THERE), cache_at(tmp_path / "to")
    assert code(lambda: archive.import_entries(cache, file)) == "E803"
    assert cache.get("a") is None and not (tmp_path / "to").exists()
    done = archive.import_entries(cache, file, accept_rounding=True)
    assert (done.same, done.rounded, done.left) == (0, 2, 0)
    assert cache.get("a") is not None and cache.borrowed == {", ".join(THERE)}


def test_of_a_mixed_file_the_entries_of_this_environment_are_taken(tmp_path: Path) -> None:
    cache_at(tmp_path / "from", THERE).put("other", ROWS, "prompts of a name")
    cache = cache_at(tmp_path / "to")
    done = archive.import_entries(cache, exported(tmp_path))
    assert (done.same, done.left) == (2, 1) and cache.get("a") is not None and cache.get("other") is None


def test_entries_of_another_editc_are_never_used(tmp_path: Path) -> None:
    file = exported(tmp_path, ("editc 0", *HERE[1:]))
    assert code(lambda: archive.import_entries(cache_at(tmp_path / "to"), file, accept_rounding=True)) == "E803"


def test_an_own_entry_goes_before_an_imported_one(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "to")
    archive.import_entries(cache, exported(tmp_path, THERE), accept_rounding=True)
    cache_at(tmp_path / "to").put("a", ROWS)
    found = cache.get("a")
    assert found is not None and np.array_equal(found["rows"], ROWS["rows"]) and not cache.borrowed


def test_what_is_computed_from_imported_entries_says_so_in_later_builds(tmp_path: Path) -> None:
    first, later = cache_at(tmp_path / "to"), cache_at(tmp_path / "to")
    archive.import_entries(first, exported(tmp_path, THERE), accept_rounding=True)
    assert first.get("a") is not None
    first.put("sum", ROWS, "preserved prompts, condensed")
    assert later.get("sum") is not None and later.borrowed == {", ".join(THERE)}
    assert all(one.imported for one in folder.list_entries(later))
    folder.prune(later, imported=True)
    assert later.get("sum") is None and later.get("a") is None


def test_a_measurement_uses_no_imported_entries(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "to", lends=False)
    archive.import_entries(cache, exported(tmp_path, THERE), accept_rounding=True)
    assert cache.get("a") is None and not cache.has("a")


def test_notes_on_files_of_this_machine_are_neither_exported_nor_imported(tmp_path: Path) -> None:
    cache_at(tmp_path / "from", private=True).put("stamp", ROWS, "files found whole")
    cache_at(tmp_path / "from").put("said", ROWS, "answers to a suite")
    assert code(lambda: archive.export_entries(cache_at(tmp_path / "from"), tmp_path / "none")) == "E805"
    file = exported(tmp_path, keys="s")  # an entry under a key that a hostile file could choose
    archive.import_entries(cache_at(tmp_path / "to"), file)
    assert cache_at(tmp_path / "to").get("s") is not None
    assert cache_at(tmp_path / "to", private=True).get("s") is None


def test_a_file_larger_than_the_cache_is_refused(tmp_path: Path) -> None:
    assert code(lambda: archive.import_entries(cache_at(tmp_path / "to", limit=100), exported(tmp_path))) == "E806"


# ---------------------------------------------------------------- hostile files


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            tar.addfile(member, BytesIO(data))
    return path


def member(name: str, data: bytes, **given: Any) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size = len(data)
    for key, value in given.items():
        setattr(found, key, value)
    return found, data


def unpacked(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as tar:
        return [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def harm_flip(members: list[Any]) -> None:
    one, data = members[1]
    members[1] = (one, data[:-1] + bytes([data[-1] ^ 1]))


def harm_path(members: list[Any]) -> None:
    members[1][0].name = "../../evil.safetensors"


def harm_listed_path(members: list[Any]) -> None:
    harm_path(members)
    index = json.loads(members[0][1])
    index["entries"][0]["sha256"] = "../../evil"
    members[0] = member("index.json", json.dumps(index).encode())


def harm_link(members: list[Any]) -> None:
    members[1] = member(members[1][0].name, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")


def harm_index(members: list[Any]) -> None:
    members[0] = member("index.json", b'{"format": "editc-cache 1", "entries": [[]]}')


def harm_deep_index(members: list[Any]) -> None:
    members[0] = member("index.json", b"[" * 100_000)


def harm_other_format(members: list[Any]) -> None:
    members[0] = member("index.json", members[0][1].replace(b"cache 1", b"cache 2"))


def harm_missing(members: list[Any]) -> None:
    members.pop()


def harm_more(members: list[Any]) -> None:
    members.append(member("more", b"x"))


def harm_twice(members: list[Any]) -> None:
    index = json.loads(members[0][1])
    index["entries"].append(index["entries"][0])
    members[0] = member("index.json", json.dumps(index).encode())
    members.append(members[1])


def harm_no_arrays(members: list[Any]) -> None:
    data = b"not arrays"
    index = {"format": "editc-cache 1", "entries": [{"sha256": hash_bytes(data), "size": len(data)}]}
    members[:] = [member("index.json", json.dumps(index).encode()), member(f"{hash_bytes(data)}.safetensors", data)]


HARMS = [value for name, value in sorted(globals().items()) if name.startswith("harm_")]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_hostile_file_is_refused_and_nothing_is_written(harm: Any, tmp_path: Path) -> None:
    members = unpacked(exported(tmp_path))
    harm(members)
    file, cache = packed(tmp_path / "harmed", members), cache_at(tmp_path / "to")
    assert code(lambda: archive.import_entries(cache, file, accept_rounding=True)) == "E802"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "from", "harmed"]


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = exported(tmp_path).read_bytes()
    with tarfile.open(tmp_path / "file") as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + last.size
    for length in (0, 100, 512, 1024, last.offset, last.offset_data, end - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert code(lambda: archive.import_entries(cache_at(tmp_path / "to"), tmp_path / "cut")) == "E802", length
    assert not (tmp_path / "to").exists()
    assert code(lambda: archive.import_entries(cache_at(tmp_path / "to"), tmp_path / "missing")) == "E802"


# ---------------------------------------------------------------- the environment


def test_the_environment_is_the_same_at_each_start_and_names_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = describe_environment()
    assert found == describe_environment() and found[0].startswith("editc ") and "OMP_NUM_THREADS=3" in found
    assert os.uname().release not in " ".join(found)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert describe_environment() != found


# ---------------------------------------------------------------- a whole build

MANIFEST = "editc: 1\nmodel: editc:demo\nedits: [{erase: circle, to: square}]\ncontexts: ['{}', 'a red {}']\n"


def test_a_build_on_a_shipped_cache_computes_no_rows_and_says_where_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that exports has another number of cores: here, another environment of the same machine."""
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST)

    def build(name: str, cores: set[int]) -> Any:
        monkeypatch.setenv("EDITC_CACHE", str(tmp_path / name))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores)
        built = api.build(path, tmp_path / f"{name}.out")
        assert built is not None and built.delta is not None
        return built

    first = build("from", {0})
    assert editc("export", str(tmp_path / "file"), "--model", "editc:demo")[0] == 0
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path / "to"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert editc("import", str(tmp_path / "file")) == (2, "E803")
    assert editc("import", str(tmp_path / "file"), "--accept-rounding")[0] == 0
    shipped = {path.name for path in (tmp_path / "to").iterdir()}
    second = build("to", {0, 1})
    entries = folder.list_entries(folder.require_cache())
    about_files = {"files found whole", "hashes of text encoders"}
    assert {one.record.kind for one in entries if one.path.name not in shipped} <= about_files
    assert [one.code for one in second.warnings] == [*(one.code for one in first.warnings), "E804"]
    (recorded,) = second.delta.extra["computed_elsewhere"]
    assert "1 cores" in recorded and "computed_elsewhere" not in first.delta.extra
    assert second.delta.factors.keys() == first.delta.factors.keys()
    assert len(editc("list", "--json")[1]) > 0 and "of another machine" in editc("list")[1]
    editc("prune", "--imported")
    third = build("to", {0, 1})
    assert third.delta.delta_id == first.delta.delta_id
