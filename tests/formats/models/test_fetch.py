"""A hub id that is not in the local cache: how to get it is said, and it is fetched where the user allows that."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, running_hub
from signing_cases import BASE, DELTAS
from tiny_files import refused, tree

from editc import api
from editc.formats.models import hub as fetching
from editc.formats.models.paths import find_model

DELTA = DELTAS / "low-rank.safetensors"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one pipeline, and beside it what editc does not need; the local cache is empty."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDITC_DOWNLOAD", raising=False)
    monkeypatch.chdir(tmp_path)
    with running_hub(monkeypatch) as service:
        files = {path.relative_to(BASE).as_posix(): path.read_bytes() for path in BASE.rglob("*") if path.is_file()}
        files |= {"v1.safetensors": b"whole", "unet/model.bin": b"pickle", "unet/x.fp16.safetensors": b"variant"}
        service.repos["owner/base"] = {"main": service._keep(files)}
        yield service


def test_unasked_nothing_is_fetched_and_the_error_says_how(hub: Hub, tmp_path: Path) -> None:
    with refused("E614") as error:
        api.plan_apply(DELTA, "owner/base")
    text = error.diagnostics[0].help
    assert all(part in text for part in ("hf download owner/base", "EDITC_DOWNLOAD=1", "hf://owner/base"))
    assert not hub.asked and not (tmp_path / "cache").exists()


def test_what_is_allowed_is_fetched_once_and_read_from_the_cache(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDITC_DOWNLOAD", "1")
    plan = api.plan_apply(DELTA, "owner/base")
    assert (plan.status, plan.tier) == ("ready", api.plan_apply(DELTA, BASE).tier)
    assert tree(find_model("owner/base")).keys() == tree(BASE).keys() - {"README.md"}
    assert capfd.readouterr() == ("", "")
    monkeypatch.delenv("EDITC_DOWNLOAD")
    hub.repos.clear()
    manifest = "editc: 1\nmodel: owner/base\nedits: [{erase: circle, to: square}]\n"
    (tmp_path / "m.yaml").write_text(manifest)
    codes = {one.code for one in api.check(tmp_path / "m.yaml").diagnostics}
    assert "E614" not in codes and api.plan_apply(DELTA, "owner/base").status == "ready"


def test_a_revision_that_is_not_here_is_fetched_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_DOWNLOAD", "yes")
    first = hub.repos["owner/base"]["main"]
    find_model("owner/base")
    hub.repos["owner/base"]["v2"] = hub._keep({**hub.commits[first], "README.txt": b"another"})
    assert (find_model("owner/base@v2") / "README.txt").read_bytes() == b"another"
    assert find_model("owner/base").name == first


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_forbids_it(hub: Hub, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EDITC_DOWNLOAD", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with refused("E614") as error:
        find_model("owner/base")
    assert "HF_HUB_OFFLINE is set" in error.diagnostics[0].help and not hub.asked


def test_what_the_hub_does_not_have_is_told_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_DOWNLOAD", "1")
    hub.repos["owner/pickles"] = {"main": hub._keep({"pytorch_model.bin": b"x", "config.json": b"{}"})}
    for place, words in (("owner/none", "could not be fetched"), ("owner/pickles", "no model in safetensors")):
        with refused("E614") as error:
            find_model(place)
        assert words in error.diagnostics[0].message
    find = importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if "hub" in name else find(name))
    with refused("E614") as error:
        find_model("owner/base")
    assert "'.[hub]'" in error.diagnostics[0].help


def test_of_a_repository_only_what_makes_up_the_model_is_fetched() -> None:
    pipeline = ["model_index.json", "v1-5.safetensors", "v1-5.ckpt", ".gitattributes", "README.md"]
    unet = ["unet/config.json", "unet/a.safetensors", "unet/a.fp16.safetensors", "unet/a.bin", "unet/.hidden.json"]
    only = ["vae/a.fp16.safetensors"]
    assert fetching.choose_files(pipeline + unet + only) == (
        "model_index.json",
        "unet/config.json",
        "unet/a.safetensors",
        "vae/a.fp16.safetensors",
    )
    model = ["config.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors", "tokenizer.model", "flax.msgpack"]
    assert fetching.choose_files(model) == tuple(model[:-1])
