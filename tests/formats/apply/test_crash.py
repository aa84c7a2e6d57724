"""kill -9 of a real process at twenty random moments, and what is left untouched besides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_files import KEYS, contents, delta_for, delta_of, factors_for, pack, pipeline, refused, tree

from editc.core.delta import Site
from editc.core.storage import disk
from editc.formats.apply import copy
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.apply.status import status
from editc.formats.delta.container import write_delta
from editc.formats.models.model import Model, open_model


def large(folder: Path, targets: int = 24) -> Model:
    """A model whose apply takes long enough to be killed within: 31 MB of targets in one file."""
    rng, folder = np.random.default_rng(0), folder / "unet"
    folder.mkdir(parents=True)
    parts = {
        f"w{i:02d}.to_k.weight": ("F16", (1280, 512), rng.normal(size=(1280, 512)).astype("<f2").tobytes())
        for i in range(targets)
    }
    (folder / "model.safetensors").write_bytes(pack(parts))
    return open_model(folder)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    from benchmarks.crash import trials

    model = large(tmp_path)
    sites = [Site("unet", name, (1280, 512), "F16", "k") for name in model.component().names()]
    delta = delta_of(model, sites, factors_for("shared", sites, size=0.05))
    write_delta(delta, tmp_path / "delta.safetensors")
    found = trials(tmp_path / "unet", tmp_path / "delta.safetensors", 20)
    assert len(found) == 20 and all(kill.valid for kill in found), found
    assert len({kill.phase for kill in found}) > 1, "the kills fell into one phase only"
    assert {kill.mended for kill in found} == {"apply", "revert"}


def shard_of(model: Model, name: str) -> Path:
    return model.component("unet").where(name).file


def facts(path: Path) -> tuple[int, int, bytes]:
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


def test_in_place_opens_only_the_shards_with_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pipeline(tmp_path / "m", shards=4)
    delta = delta_for(model, names=KEYS[:1])
    touched = shard_of(model, KEYS[0])
    others = [path for path in (tmp_path / "m" / "unet").glob("*.safetensors") if path != touched]
    before, inode = {path: facts(path) for path in others}, touched.stat().st_ino
    written: set[str] = set()
    real = disk.write_at

    def writing(file: Any, offset: int, data: bytes) -> None:
        written.add(file.name)
        real(file, offset, data)

    monkeypatch.setattr(disk, "write_at", writing)
    for path in others:
        path.chmod(0o444)
    apply(plan_apply([delta], model), in_place=True)
    assert {path: facts(path) for path in others} == before and written == {touched.name}
    assert touched.stat().st_ino == inode and status(model).applied == (delta.delta_id,)


def test_a_shard_that_is_finished_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By result hash: what another run finished is not written again."""
    model = pipeline(tmp_path / "m", shards=4)
    whole, first = delta_for(model), shard_of(model, KEYS[0])
    apply(plan_apply([whole], model), out=tmp_path / "done")
    first.write_bytes((tmp_path / "done" / "unet" / first.name).read_bytes())
    before, written = facts(first), set[str]()
    real = disk.write_at

    def writing(file: Any, offset: int, data: bytes) -> None:
        written.add(file.name)
        real(file, offset, data)

    monkeypatch.setattr(disk, "write_at", writing)
    apply(plan_apply([whole], model), in_place=True)
    assert facts(first) == before and first.name not in written and written
    assert contents(tmp_path / "m") == contents(tmp_path / "done")


@pytest.mark.parametrize("link", [False, True])
def test_links_only_where_asked_and_never_of_what_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    monkeypatch.setattr(copy, "LARGE", 200)
    model = pipeline(tmp_path / "m", shards=4)
    delta, before = delta_for(model, names=KEYS[:1]), tree(tmp_path / "m")
    done = apply(plan_apply([delta], model), out=tmp_path / "out", link=link)
    twins = {path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_nlink > 1}
    edited = tmp_path / "out" / shard_of(model, KEYS[0]).relative_to(tmp_path / "m")
    assert tree(tmp_path / "m") == before and edited not in twins
    assert sorted(done.linked) == sorted(path.relative_to(tmp_path / "out") for path in twins)
    assert bool(twins) == link
    assert {n for n, raw in contents(tmp_path / "out").items() if raw != before[n][0]} == {
        str(edited.relative_to(tmp_path / "out"))
    }
    if link:
        again = open_model(tmp_path / "out")
        linked = next(name for name in KEYS if shard_of(again, name) in twins)
        with refused("E631"):
            apply(plan_apply([delta_for(again, names=(linked,))], again), in_place=True)


def test_links_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "LARGE", 200)
    model = pipeline(tmp_path / "m", shards=4)
    plan, before = plan_apply([delta_for(model, names=KEYS[:1])], model), tree(tmp_path)

    def crossing(*where: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(disk, "link_file", crossing)
    with refused("E638"):
        apply(plan, out=tmp_path / "out", link=True)
    with refused("E629"):
        apply(plan, in_place=True, link=True)
    assert tree(tmp_path) == before


def test_a_copy_without_the_kernels_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no copy_file_range, the same bytes; a file that became shorter meanwhile is an error."""
    model = pipeline(tmp_path / "m", shards=2)
    plan = plan_apply([delta_for(model)], model)
    apply(plan, out=tmp_path / "one")
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    apply(plan, out=tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    source = shard_of(model, KEYS[0])
    disk.create_like(source, tmp_path / "short")
    with pytest.raises(OSError, match="shorter"):
        disk.copy_range(source, tmp_path / "short", 0, source.stat().st_size + 1)
