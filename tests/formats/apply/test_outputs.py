"""Where results may be written, and what happens when the system says no."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_files import delta_for, pipeline, refused, tree, write_pipeline

from editc.core.diagnostics import EditcError
from editc.core.storage import disk
from editc.formats.apply import destination
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.models.model import open_model


def test_where_a_copy_may_not_go(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    plan = plan_apply([delta_for(model)], model)
    single = plan_apply(plan.deltas, open_model(tmp_path / "m" / "unet" / "diffusion_pytorch_model.safetensors"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("kept")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = tree(tmp_path)
    for out in ("full", "full/x", "m/out", "link", "m"):
        with refused("E630"):
            apply(plan, out=tmp_path / out)
    for out in ("full", "full/x", "empty", "copy.bin"):
        with refused("E630"):
            apply(single, out=tmp_path / out)
    with refused("E629"):
        apply(plan)
    with refused("E629"):
        apply(plan, out=tmp_path / "out", in_place=True)
    assert tree(tmp_path) == before
    with refused("E697"):
        apply(plan, out=tmp_path / "full" / "x" / "out")
    apply(plan, out=tmp_path / "none" / "yet" / "out")
    assert status(open_model(tmp_path / "none" / "yet" / "out")).applied, "folders above it are made"
    apply(plan, out=tmp_path / "empty")
    assert status(open_model(tmp_path / "empty")).applied


def test_a_copy_shares_nothing_with_its_source(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    file = root / "unet" / "diffusion_pytorch_model.safetensors"
    (tmp_path / "blobs").mkdir()
    file.rename(tmp_path / "blobs" / "f00")
    file.symlink_to("../../blobs/f00")
    before = tree(tmp_path)
    apply(plan_apply([delta_for(open_model(root))], open_model(root)), out=tmp_path / "out")
    made = [*(tmp_path / "out").rglob("*")]
    assert made and not [path for path in made if path.is_symlink()]
    assert {path.stat().st_nlink for path in made if path.is_file()} == {1}
    assert {name: f for name, f in tree(tmp_path).items() if not name.startswith("out")} == before


def test_a_folder_that_holds_itself_is_not_copied_for_ever(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    (root / "unet" / "loop").symlink_to(root)
    with refused("E610"):
        apply(plan_apply([delta_for(open_model(root))], open_model(root)), out=tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_shared_files_are_not_edited_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_pipeline(tmp_path / "m")
    model = open_model(root)
    plan = plan_apply([delta_for(model)], model)
    file = root / "unet" / "diffusion_pytorch_model.safetensors"
    before = tree(tmp_path)

    def expect_refusal() -> None:
        with refused("E631") as error:
            apply(plan, in_place=True)
        assert "--out" in error.diagnostics[0].help

    os.link(file, tmp_path / "other-name")
    expect_refusal()
    (tmp_path / "other-name").unlink()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    expect_refusal()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(destination, "demo_model", lambda: root)
    expect_refusal()
    monkeypatch.undo()
    for folder in ("blobs", "plain"):
        (tmp_path / folder).mkdir()
        file.rename(tmp_path / folder / "f00")
        file.symlink_to(tmp_path / folder / "f00")
        expect_refusal()
        (tmp_path / folder / "f00").replace(file)
        (tmp_path / folder).rmdir()
    file.parent.rename(tmp_path / "far")
    file.parent.symlink_to(tmp_path / "far")
    expect_refusal()
    file.parent.unlink()
    (tmp_path / "far").rename(file.parent)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "step", ["create_like", "copy_range", "sync_file", "write_at", "write_new", "make_folder", "rename"]
)
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EACCES])
def test_what_the_system_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fault: int
) -> None:
    model = pipeline(tmp_path / "m", shards=2)
    plan = plan_apply([delta_for(model)], model)
    before = tree(tmp_path)
    real, calls = getattr(disk, step), []

    def broken(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(fault, os.strerror(fault), str(arguments[0]))
        real(*arguments)

    for way in ({"out": tmp_path / "out"}, {"in_place": True}):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(disk, step, broken)
            try:
                apply(plan, **way)
            except EditcError as error:
                assert [d.code for d in error.diagnostics] == ["E632"]
                assert tree(tmp_path) == before
                continue
        assert len(calls) < 2, "this way does not come to that step twice"
        shutil.rmtree(tmp_path / "out") if "out" in way else revert(model)
        assert tree(tmp_path) == before
