"""Hub ids: found in the local cache only, as huggingface_hub finds them, and a cache that nothing ever writes into."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tiny_files import contents, delta_for, refused, tree, write_pipeline

from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.models import paths
from editc.formats.models.model import open_model

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two revisions of org/pico, every file a link to a blob, laid out as the hub's client does."""
    root = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(root))
    monkeypatch.chdir(tmp_path)
    folder = root / "models--org--pico"
    (folder / "refs").mkdir(parents=True)
    (folder / "blobs").mkdir()
    for name, commit in (("main", NEW), ("v1", OLD)):
        (folder / "refs" / name).write_text(commit)
    for seed, commit in enumerate((OLD, NEW)):
        write_pipeline(folder / "snapshots" / commit, seed=seed)
        for number, file in enumerate(sorted(p for p in (folder / "snapshots" / commit).rglob("*") if p.is_file())):
            blob = folder / "blobs" / f"{commit[0]}{number}"
            file.rename(blob)
            file.symlink_to(os.path.relpath(blob, file.parent))
    return root


@pytest.mark.parametrize("revision", ["", "@main", "@v1", f"@{OLD}", f"@{NEW}"])
def test_an_id_means_what_the_hub_s_client_takes_it_for(cache: Path, revision: str) -> None:
    from huggingface_hub import snapshot_download

    theirs = snapshot_download(
        "org/pico", revision=revision.removeprefix("@") or None, cache_dir=cache, local_files_only=True
    )
    assert paths.find_model(f"org/pico{revision}") == Path(theirs)


def test_a_revision_that_is_not_here_is_named_with_those_that_are(cache: Path) -> None:
    with refused("E614") as error:
        open_model("org/pico@v2")
    assert OLD in error.diagnostics[0].help and "org/pico@REVISION" in error.diagnostics[0].help
    (cache / "models--org--pico" / "refs" / "main").write_text("c" * 40)
    with refused("E614"):
        open_model("org/pico")
    with refused("E614") as error:
        open_model("org/absent")
    assert str(cache) in error.diagnostics[0].message


def test_a_snapshot_whose_blobs_are_gone_is_unreadable_not_empty(cache: Path) -> None:
    for blob in (cache / "models--org--pico" / "blobs").iterdir():
        blob.unlink()
    with refused("E610") as error:
        open_model("org/pico").component("unet")
    assert "is a link to" in error.diagnostics[0].message and "blobs" in error.diagnostics[0].message


def test_the_cache_is_read_and_copied_and_never_written(cache: Path, tmp_path: Path) -> None:
    before = tree(cache)
    model = open_model("org/pico")
    delta = delta_for(model)
    plan = plan_apply([delta], model)
    with refused("E631"):
        apply(plan, in_place=True)
    with refused("E634"):
        revert(model)
    assert not status(model, [delta]).applied
    for inside in (cache / "patched", model.path / "patched", cache / "models--org--pico" / "snapshots" / ("c" * 40)):
        with refused("E630"):
            apply(plan, out=inside)
    apply(plan, out=tmp_path / "out")
    assert status(open_model(tmp_path / "out")).applied == (delta.delta_id,)
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert tree(cache) == before


def test_a_cache_elsewhere_or_without_links_is_known_by_its_layout(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = cache.rename(tmp_path / "moved")
    plain = shutil.copytree(linked, tmp_path / "plain", symlinks=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nothing"))
    for folder in (root / "models--org--pico" / "snapshots" / NEW for root in (linked, plain)):
        kept = contents(folder)
        plan = plan_apply([delta_for(open_model(folder))], open_model(folder))
        with refused("E631"):
            apply(plan, in_place=True)
        assert contents(folder) == kept


def test_variables_in_the_cache_s_path_are_expanded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", str(cache.parent))
    monkeypatch.setenv("HF_HUB_CACHE", "$WHERE/cache")
    assert open_model("org/pico").path.name == NEW
