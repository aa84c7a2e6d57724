"""A model in a bucket of S3 is looked into by ranges, signed where the user has a key and unsigned where not."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import pytest
from command import editc
from s3_bucket import Bucket, running_bucket
from signing_cases import BASE, DELTAS, refused

from editc.verbs.public import apply, inspect, plan_apply, status

pytest.importorskip("s3fs", reason="s3:// needs the extra `s3`")
DELTA = DELTAS / "low-rank.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"


def header_size(path: Path) -> int:
    return int(8 + struct.unpack("<Q", path.read_bytes()[:8])[0])


def test_a_dry_run_reads_headers_and_edited_tensors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_bucket(monkeypatch, Bucket("models", BASE)) as bucket:
        plan = plan_apply(DELTA, f"s3://models/{UNET}")
        edited = sum(target.tensor.nbytes for target in plan.targets)
        assert plan.tier == plan_apply(DELTA, BASE).tier
        assert 0 < edited < bucket.sent <= header_size(BASE / UNET) + 1.05 * edited
        assert f"read {bucket.sent:,} of" in plan.notes[-1]
        assert not [one for one in bucket.asked if "Authorization" in one.headers], "no key is known: nothing is signed"


def test_a_folder_is_what_it_is_on_this_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apply(DELTA, BASE, tmp_path / "some" / "model")
    with running_bucket(monkeypatch, Bucket("models", tmp_path)) as bucket:
        place = "s3://models/some/model"
        assert inspect(place)["components"] == inspect(tmp_path / "some" / "model")["components"]
        found = status(place, DELTA)
        assert len(found.applied) == 1 and "bytes from s3://" in found.notes[-1]
        assert any("continuation-token" in one.query for one in bucket.asked), "its list has several pages"


def test_a_private_bucket_is_read_with_the_users_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_bucket(monkeypatch, Bucket("models", BASE, private=True), key="test") as bucket:
        assert plan_apply(DELTA, "s3://models").status == "ready"
        assert all("Authorization" in one.headers for one in bucket.asked)
    with running_bucket(monkeypatch, Bucket("models", BASE, private=True)):
        assert refused(lambda: plan_apply(DELTA, "s3://models")).code == "E960"


def test_what_is_not_there_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_bucket(monkeypatch, Bucket("models", BASE)) as bucket:
        for place in ("s3://models/none", "s3://none", "s3://models/none.safetensors"):
            assert refused(lambda place=place: inspect(place)).code == "E960", place  # type: ignore[misc]
        bucket.ranges = False
        assert refused(lambda: inspect(f"s3://models/{UNET}")).code == "E962"
    assert refused(lambda: apply(DELTA, "s3://models", in_place=True)).code == "E964"


def test_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_bucket(monkeypatch, Bucket("models", BASE)):
        ran = editc("apply", str(DELTA), "--to", "s3://models", "--dry-run")
    assert ran.returncode == 0 and ran.stdout.startswith("s3://models") and "note: read " in ran.stdout
    assert ran.stderr == ""


def test_without_s3fs_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if name == "s3fs" else find(name))
    found = refused(lambda: inspect("s3://models"))
    assert found.code == "E950" and "'.[s3]'" in found.help
