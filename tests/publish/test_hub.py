"""The hub: the round trip by `huggingface_hub`, and everything that may break on the way."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, running_hub
from publish_cases import TRAVELS, assert_round_trip, built, files_of, pull_killed, signed_build
from signing_cases import refused

from editc.verbs.public import pull, push


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("editc.publish.fetch.WAIT", 0)
    with running_hub(monkeypatch) as service:
        yield service


def test_round_trip(tmp_path: Path, hub: Hub) -> None:
    pulled = assert_round_trip(tmp_path, "hf://me/circle")
    assert pulled.place == f"hf://me/circle@{hub.repos['me/circle']['main']}"
    assert len(hub.large) == 3, "weights go by LFS"


def test_the_librarys_own_download_gives_the_same_files(tmp_path: Path, hub: Hub) -> None:
    from huggingface_hub import snapshot_download

    push(signed_build(tmp_path), "hf://me/circle")
    theirs = snapshot_download("me/circle", local_dir=tmp_path / "theirs", endpoint=f"http://{hub.base}")
    found = {name: data for name, data in files_of(Path(theirs)).items() if not name.startswith(".cache")}
    assert found.pop("editc-files.json") and found == files_of(pull("hf://me/circle", tmp_path / "got").folder)


def test_a_branch_is_made_and_a_commit_stays_what_it_was(tmp_path: Path, hub: Hub) -> None:
    out = signed_build(tmp_path)
    first = push(out, "hf://me/circle@v1").place
    (out / "report.html").write_text("another page")
    second = push(out, "hf://me/circle@v1").place
    assert first != second and not hub.commits[hub.repos["me/circle"]["main"]]
    assert (pull(first, tmp_path / "first").folder / "report.html").read_text() != "another page"
    assert (pull("hf://me/circle@v1", tmp_path / "now").folder / "report.html").read_text() == "another page"
    assert refused(lambda: push(out, first)).code == "E951"


def test_a_private_repository_needs_the_token(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    push(signed_build(tmp_path), "hf://me/circle", private=True)
    assert hub.private == {"me/circle"} and pull("hf://me/circle", tmp_path / "got").fresh
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert refused(lambda: pull("hf://me/circle", tmp_path / "none")).code == "E960"
    assert refused(lambda: push(tmp_path / "out", "hf://me/other")).code == "E960"
    assert refused(lambda: push(tmp_path / "out", str(tmp_path / "shelf"), private=True)).code == "E951"


@pytest.mark.parametrize("place", ["hf://me/none", "hf://me/circle@none", "hf://me/bare"])
def test_what_is_not_there_is_told_so(tmp_path: Path, hub: Hub, place: str) -> None:
    push(built(tmp_path), "hf://me/circle")
    hub.repos["me/bare"] = {"main": hub._keep({"README.md": b"x"})}
    assert refused(lambda: pull(place, tmp_path / "got")).code == "E960"


def test_a_connection_that_breaks_goes_on_where_it_was(tmp_path: Path, hub: Hub) -> None:
    out = signed_build(tmp_path)
    (out / "delta.kohya.safetensors").write_bytes(os.urandom(1 << 20))
    push(out, "hf://me/circle")
    hub.break_after = [1 << 30, 1 << 30, 300_000, 400_000]
    got = pull("hf://me/circle", tmp_path / "got").folder
    assert (got / "delta.kohya.safetensors").read_bytes() == (out / "delta.kohya.safetensors").read_bytes()
    assert hub.sent <= sum(len(data) for data in files_of(got).values()) + (1 << 17)


@pytest.mark.parametrize("change", [b"", b"more"], ids=["another", "longer"])
def test_files_that_are_others_are_refused(tmp_path: Path, hub: Hub, change: bytes) -> None:
    push(built(tmp_path), "hf://me/circle")
    files = hub.commits[hub.repos["me/circle"]["main"]]
    files["report.html"] = files["report.html"] + change if change else bytes(len(files["report.html"]))
    assert refused(lambda: pull("hf://me/circle", tmp_path / "got")).code == ("E955" if change else "E954")
    assert not (tmp_path / "got").exists()


def test_offline_is_told_so(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = refused(lambda: pull("hf://me/circle", tmp_path / "got"))
    assert found.code == "E959" and "HF_HUB_OFFLINE" in found.message


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if "hub" in name else find(name))
    found = refused(lambda: pull("hf://me/circle", tmp_path / "got"))
    assert found.code == "E950" and "pip install -c constraints.txt '.[hub]'" in found.help


def test_a_pull_that_is_killed_three_times_arrives(tmp_path: Path, hub: Hub) -> None:
    out = signed_build(tmp_path)
    (out / "delta.kohya.safetensors").write_bytes(os.urandom(1 << 20))
    place = push(out, "hf://me/circle").place
    later = [1 << 30, 200_000]  # the listing comes first, then the small delta, then the export of 1 MiB
    got = pull_killed(hub, place, tmp_path, [[1 << 30, *later], later, later])
    assert all(got[name] == (out / name).read_bytes() for name in TRAVELS - {"README.md", "manifest.yaml"})
