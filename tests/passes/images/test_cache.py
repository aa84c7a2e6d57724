"""What a corpus leaves behind: small, exact, computed once, and the same whether it was kept or not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_cases import PROMPTS, Counting, Memory
from derive_cases import ERASE, WIDTH, WordEncoder, context, manifest

from editc import api
from editc.cache.disk import DiskCache, open_cache
from editc.core.ports import EncodedPrompt
from editc.core.problem import System
from editc.families.images.unet import SD1
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.rows import piecewise
from editc.passes.images.rows.preserved_rows import WhichRows


def derived(rule: str, encoder: Counting, cache: Any, text: str = "") -> System:
    ctx = replace(context(), encoder=encoder, cache=cache)
    asked = manifest(ERASE + f"    keys: {rule}\n" + text)
    return Derive(PROMPTS)(Locate((SD1,))(asked, ctx), ctx).systems["text"]


def bits(problem: System) -> list[bytes]:
    kept, (block,) = problem.preserved, problem.blocks
    arrays = (kept.moment, kept.rows, kept.empty, block.keys, block.targets, block.weights, np.array(problem.ridge))
    return [part for array in arrays for part in (repr(array.strides).encode(), array.tobytes())]


# ---------------------------------------------------------------- tallies


@pytest.mark.parametrize("count", [1, 64, 65, 150])
@pytest.mark.parametrize("which", ["all", "last"])
def test_a_tally_says_of_every_matrix_what_the_rows_say(count: int, which: WhichRows) -> None:
    encoded = WordEncoder().encode(PROMPTS[:count])
    picked = [e.rows if which == "all" else e.rows[[sum(start >= 0 for start in e.start)]] for e in encoded]
    rows = np.vstack(picked).T
    found = piecewise.condense_prompts(PROMPTS[:count], WordEncoder(), which=which)
    X = np.random.default_rng(count).normal(size=(7, WIDTH))
    assert found.row_count == rows.shape[1] and found.prompt_count == count and found.rows.shape[1] <= max(WIDTH, 12)
    assert np.linalg.norm(X @ found.rows) == pytest.approx(np.linalg.norm(X @ rows), rel=1e-12)
    np.testing.assert_allclose(found.outer_sum, rows @ rows.T, rtol=1e-11, atol=1e-9)
    assert found.mean_square == pytest.approx(np.mean(rows**2), rel=1e-12)


@pytest.mark.parametrize("rule", ["aligned", "last", "span", "matched", "eot"])
@pytest.mark.parametrize("text", ["", "preserve: {concepts: [house, dog], prompts: [a quiet sea]}\n"])
def test_a_warm_cache_changes_no_bit(rule: str, text: str, tmp_path: Path) -> None:
    none = bits(derived(rule, Counting(), None, text))
    for cache in (DiskCache(tmp_path / rule), Memory()):
        cold, again = Counting(), Counting()
        assert bits(derived(rule, cold, cache, text)) == none
        assert bits(derived(rule, again, cache, text)) == none
        assert len(again.asked) < len(cold.asked)


def test_a_warm_cache_leaves_the_corpus_unread() -> None:
    cache, first, second = Memory(), Counting(), Counting()
    derived("aligned", first, cache)
    derived("aligned", second, cache)
    assert set(PROMPTS) <= set(first.asked) and not set(PROMPTS) & set(second.asked)


def test_rules_share_the_entries_of_the_corpus() -> None:
    cache = Memory()
    for rule in ("aligned", "last", "span", "matched", "eot"):
        encoder = Counting()
        derived(rule, encoder, cache)
        assert (set(PROMPTS) <= set(encoder.asked)) is (rule == "aligned")


class Killed(Counting):
    """Encodes so many prompts, and is killed at the next call."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        if len(self.asked) >= self.left:
            raise KeyboardInterrupt
        return super().encode(prompts)


@pytest.mark.parametrize(
    ("kept", "most"), [(1 << 29, 0), (1000, 4 * piecewise.LONGEST_PIECE)], ids=["rows", "too large"]
)
@pytest.mark.parametrize("at", [1, 40, 100, 125])
def test_a_killed_build_goes_on_where_it_was(kept: int, most: int, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was encoded before is not encoded again, but for the group of pieces whose rows are too large to cache."""
    monkeypatch.setattr(piecewise, "CACHED_BYTES", kept)
    monkeypatch.setattr(piecewise, "PIECES_AT_ONCE", 2)
    cache, killed, again = Memory(), Killed(at), Counting()
    with pytest.raises(KeyboardInterrupt):
        piecewise.condense_prompts(PROMPTS, killed, cache, mark="fake")
    found = piecewise.condense_prompts(PROMPTS, again, cache, mark="fake")
    assert set(killed.asked) | set(again.asked) == set(PROMPTS) and len(killed.asked) >= at
    assert len(set(killed.asked) & set(again.asked)) <= most and (at < 100 or len(again.asked) < len(PROMPTS))
    whole = piecewise.condense_prompts(PROMPTS, Counting())
    assert found.rows.tobytes() == whole.rows.tobytes() and found.row_count == whole.row_count


def test_progress_counts_the_prompts_that_are_left(tmp_path: Path) -> None:
    shown = list[tuple[str, int]]()

    def progress(label: str, items: Iterable[object]) -> Iterable[object]:
        every = list(items)
        shown.append((label, len(every)))
        return every

    cache, killed = DiskCache(tmp_path), Killed(100)
    with pytest.raises(KeyboardInterrupt):
        piecewise.condense_prompts(PROMPTS, killed, cache, mark="fake", progress=progress)
    piecewise.condense_prompts(PROMPTS, Counting(), cache, mark="fake", progress=progress)
    piecewise.condense_prompts(PROMPTS, Counting(), cache, mark="fake", progress=progress)
    assert shown == [("encode prompts", len(PROMPTS)), ("encode prompts", len(PROMPTS) - len(killed.asked))]


@pytest.mark.parametrize(
    ("listed", "mark", "which"),
    [
        (PROMPTS[:9], "fake", "all"),
        ((*PROMPTS[:8], PROMPTS[9], PROMPTS[8]), "fake", "all"),
        (PROMPTS[:10], "another", "all"),
        (PROMPTS[:10], "fake", "last"),
        ((*PROMPTS[:8], PROMPTS[8] + PROMPTS[9]), "fake", "all"),
    ],
    ids=["shorter", "order", "encoder", "which rows", "joined"],
)
def test_another_corpus_encoder_or_choice_is_another_entry(listed: Any, mark: str, which: Any) -> None:
    cache, encoder = Memory(), Counting(mark)
    piecewise.condense_prompts(PROMPTS[:10], Counting(), cache, mark=Counting().fingerprint())
    before = set(cache.held)
    found = piecewise.condense_prompts(listed, encoder, cache, which, encoder.fingerprint())
    assert encoder.asked and before < set(cache.held)
    np.testing.assert_array_equal(found.rows, piecewise.condense_prompts(listed, Counting(), which=which).rows)


def test_an_encoder_without_a_mark_is_not_cached() -> None:
    cache = Memory()
    piecewise.condense_prompts(PROMPTS, Counting(""), cache, mark="")
    assert not cache.held


# ---------------------------------------------------------------- the folder

ARRAYS = {"rows": np.array([[1.0, -0.0, 5e-324], [np.pi, 1e300, -1 / 3]]), "sizes": np.array([2.0**53 - 1])}


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path / "new" / "folder")
    disk.put("key", ARRAYS)
    found = disk.get("key")
    assert found is not None and set(found) == set(ARRAYS)
    assert all(found[name].tobytes() == array.tobytes() for name, array in ARRAYS.items())
    assert disk.get("another") is None
    (path,) = disk.folder.iterdir()  # nothing half-written is left
    assert path.name.split(".")[1] == sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "longer", "not a file"])
def test_a_damaged_entry_is_none_and_goes(tmp_path: Path, harm: str) -> None:
    disk = DiskCache(tmp_path)
    disk.put("key", ARRAYS)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if harm == "not a file":
        path.unlink()
        path.mkdir()
        assert disk.get("key") is None
        return
    harmed = {"flipped": data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "cut": data[:-8], "empty": b""}
    path.write_bytes(harmed.get(harm, data + b"\0"))
    assert disk.get("key") is None and not list(tmp_path.iterdir())


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    sound = bits(derived("aligned", Counting(), cache))
    held = sorted(tmp_path.iterdir())
    for path in held:
        path.write_bytes(path.read_bytes()[:-1])
    again = Counting()
    assert bits(derived("aligned", again, cache)) == sound and set(PROMPTS) <= set(again.asked)
    assert sorted(tmp_path.iterdir()) == held


def test_other_libraries_or_threads_are_another_setting(tmp_path: Path) -> None:
    DiskCache(tmp_path, ("torch 1",)).put("key", ARRAYS)
    assert DiskCache(tmp_path, ("torch 2",)).get("key") is None
    assert DiskCache(tmp_path, ("torch 1",)).get("key") is not None


def test_what_float32_holds_exactly_takes_half_the_room(tmp_path: Path) -> None:
    exact = {"rows": np.array([[1 / 3, -0.0, np.inf, 1e-45]], np.float32).astype(np.float64).repeat(1000, axis=0)}
    DiskCache(tmp_path).put("exact", exact)
    assert next(tmp_path.iterdir()).stat().st_size < 17_000
    found = DiskCache(tmp_path).get("exact")
    assert found is not None and found["rows"].tobytes() == exact["rows"].tobytes()


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        DiskCache(folder).put("key", ARRAYS)
        assert DiskCache(folder).get("key") is None


def test_the_entries_not_used_for_longest_make_room(tmp_path: Path) -> None:
    big = {"rows": np.full(1000, 0.1)}
    disk = DiskCache(tmp_path, limit=25_000)
    for age, key in enumerate("abc"):
        disk.put(key, big)
        for path in tmp_path.iterdir():
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**12))
        assert disk.get("a") is not None, age  # used, and so the newest
    disk.put("d", big)
    assert [key for key in "abcd" if disk.get(key) is not None] == ["a", "c", "d"]


def test_many_small_entries_are_not_each_a_reason_to_list_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, listing = list[int](), DiskCache._make_room

    def counted(self: DiskCache) -> None:
        listed.append(len(list(tmp_path.iterdir())))
        listing(self)

    monkeypatch.setattr(DiskCache, "_make_room", counted)
    disk = DiskCache(tmp_path, limit=1 << 20)
    for number in range(40):
        disk.put(str(number), ARRAYS)
    assert listed[0] == 1 and len(listed) < 4


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def place() -> Path | None:
        found = open_cache()
        return None if found is None else found.folder

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("EDITC_CACHE", str(tmp_path / "own"))
    assert place() == tmp_path / "own"
    monkeypatch.setenv("EDITC_CACHE", "~/mine")
    assert place() == tmp_path / "home" / "mine"
    monkeypatch.setenv("EDITC_CACHE", "")
    assert place() is None
    monkeypatch.delenv("EDITC_CACHE")
    assert place() == tmp_path / "xdg" / "editc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert place() == tmp_path / "home" / ".cache" / "editc"


KEPT = "contexts: ['{}', 'a red {}']\npreserve: {concepts: [square, triangle, tree], prompts: [a house on grass]}\n"


@pytest.mark.parametrize("edit", ["", "    method: trce\n    keys: eot\n"])
def test_a_build_gives_the_same_bytes_cold_and_warm(edit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n    to: square\n{edit}{KEPT}")
    made, held = [], []
    for cache in ("", str(tmp_path / "cache"), str(tmp_path / "cache")):
        monkeypatch.setenv("EDITC_CACHE", cache)
        built = api.build(path, tmp_path / "out")
        assert built is not None and built.delta is not None
        made.append([file.read_bytes() for file in built.files])
        held.append(sorted((tmp_path / "cache").glob("*")))
    assert made[0] == made[1] == made[2]
    assert not held[0] and held[1] and held[1] == held[2]


# ---------------------------------------------------------------- the default corpus


def test_the_everyday_prompts_are_five_hundred_plain_sentences() -> None:
    lines = files("editc.texts").joinpath("everyday.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    assert len(listed) == len({line.casefold() for line in listed}) == 500
    lengths = [len(line.split()) for line in listed]
    assert min(lengths) == 3 and max(lengths) == 20 and len(set(lengths)) > 12
    assert all(line == " ".join(line.split()) and line.isascii() for line in listed)
    assert {word for line in listed for word in line.split() if word[0].isupper()} == {"Japan"}  # names nobody
