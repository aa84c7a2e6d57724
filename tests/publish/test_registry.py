"""A registry: the round trip, referrers, logging in, and everything that may break on the way."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from loopback import Answer, Request, running
from oci_registry import REAL, Registry, distribution
from publish_cases import TRAVELS, assert_round_trip, built, files_of, pull_killed, signed_build
from signing_cases import refused

from editc.verbs.public import pull, push


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running(Registry()) as service:
        yield service


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editc.publish.fetch.WAIT", 0)


def with_large_export(folder: Path, size: int = 1 << 20) -> Path:
    out = signed_build(folder)
    (out / "delta.kohya.safetensors").write_bytes(os.urandom(size))
    return out


@pytest.mark.parametrize("referrers", [True, False], ids=["lists referrers", "keeps them under a tag"])
def test_round_trip(tmp_path: Path, referrers: bool) -> None:
    with running(Registry(referrers)) as registry:
        pulled = assert_round_trip(tmp_path, f"oci://{registry.base}/edits/circle:v1")
    assert pulled.place.startswith(f"oci://{registry.base}/edits/circle@sha256:")
    assert ("sha256-" in "".join(registry.tags)) is not referrers


@pytest.mark.skipif(REAL is None, reason="needs Debian's docker-registry")
def test_round_trip_through_debians_registry(tmp_path: Path) -> None:
    with distribution(tmp_path) as host:
        assert_round_trip(tmp_path, f"oci://{host}/edits/circle:v1")
        out = tmp_path / "out"
        first = push(out, f"oci://{host}/edits/circle:v1").place
        assert push(out, f"oci://{host}/edits/circle:v1").place == first
        assert pull(f"oci://{host}/edits/circle:v1", tmp_path / "by-tag").fresh
        found = refused(lambda: pull(f"oci://{host}/edits/none:v1", tmp_path / "none"))
        assert found.code == "E960"


def test_it_is_an_image_of_modelpack_with_the_signature_as_its_referrer(tmp_path: Path, registry: Registry) -> None:
    (signed_build(tmp_path) / "delta.safetensors.cdx.json").write_text("{}")
    push(tmp_path / "out", f"oci://{registry.base}/edits/circle:v1")
    digest = registry.tags["v1"]
    manifest = json.loads(registry.manifests[digest][1])
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    kinds = {one["annotations"]["org.cncf.model.filepath"]: one["mediaType"] for one in manifest["layers"]}
    assert kinds["delta.safetensors"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["peft/adapter_config.json"] == "application/vnd.cncf.model.weight.config.v1.raw"
    assert kinds["README.md"] == "application/vnd.cncf.model.doc.v1.raw"
    assert not [name for name in kinds if name.endswith((".sig", ".jsonl", ".cdx.json"))]
    others = [json.loads(data) for key, (_, data) in registry.manifests.items() if key != digest]
    assert {one["artifactType"] for one in others} == {
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.in-toto+dsse",
        "application/vnd.cyclonedx+json",
    }
    assert {one["subject"]["digest"] for one in others} == {digest}


def test_what_is_there_is_not_sent_again(tmp_path: Path, registry: Registry) -> None:
    out = signed_build(tmp_path)
    push(out, f"oci://{registry.base}/edits/circle:v1")
    before = registry.uploads
    push(out, f"oci://{registry.base}/edits/circle:v2")
    assert registry.uploads == before and registry.tags["v1"] == registry.tags["v2"]


def test_oras_pulls_the_same_files(tmp_path: Path, registry: Registry) -> None:
    from oras.client import OrasClient

    push(signed_build(tmp_path), f"oci://{registry.base}/edits/circle:v1")
    client = OrasClient(hostname=registry.base, insecure=True)
    client.pull(target=f"{registry.base}/edits/circle:v1", outdir=str(tmp_path / "theirs"))
    got = pull(f"oci://{registry.base}/edits/circle:v1", tmp_path / "got").folder
    theirs = files_of(tmp_path / "theirs")
    assert {name: data for name, data in files_of(got).items() if name in theirs} == theirs
    assert theirs.keys() == {name for name in TRAVELS if not name.endswith((".sig", ".jsonl"))}


def test_a_login_is_asked_for_and_taken_from_dockers_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with running(Registry(login="user:secret")) as registry:
        target = f"oci://{registry.base}/edits/circle:v1"
        assert refused(lambda: push(signed_build(tmp_path), target)).code == "E960"
        token = "dXNlcjpzZWNyZXQ="
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.base: {"auth": token}}}))
        push(tmp_path / "out", target)
        assert pull(target, tmp_path / "got").fresh


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_goes_on_where_it_was(tmp_path: Path, registry: Registry, ranges: bool) -> None:
    out = with_large_export(tmp_path)
    push(out, f"oci://{registry.base}/edits/circle:v1")
    registry.ranges, registry.break_after = ranges, [1 << 30, 300_000, 500_000 if not ranges else 200_000]
    got = pull(f"oci://{registry.base}/edits/circle:v1", tmp_path / "got").folder
    assert (got / "delta.kohya.safetensors").read_bytes() == (out / "delta.kohya.safetensors").read_bytes()
    once = sum(len(data) for data in files_of(got).values())
    assert (registry.sent <= once + (1 << 17)) is ranges


def test_a_server_that_is_gone_is_told_so(tmp_path: Path, registry: Registry) -> None:
    found = refused(lambda: pull("oci://127.0.0.1:9/edits/circle", tmp_path / "got"))
    assert found.code == "E959" and "127.0.0.1:9 is not reached" in found.message
    push(signed_build(tmp_path), f"oci://{registry.base}/edits/circle:v1")
    registry.break_after = [10] * 1000
    registry.ranges = False
    assert refused(lambda: pull(f"oci://{registry.base}/edits/circle:v1", tmp_path / "got")).code == "E959"
    assert not (tmp_path / "got").exists()


class Lying(Registry):
    """A registry whose blobs and manifests are not what their digests say."""

    change: str = ""

    def answer(self, request: Request) -> Answer:
        answer = super().answer(request)
        if answer.large and self.change == "another":
            answer.body = bytes(len(answer.body))
        if answer.large and self.change == "longer":
            answer.body += b"more"
        if "/manifests/" in request.path and self.change == "manifest" and request.method == "GET":
            answer.body += b" "
        if self.change == "huge" and request.method == "GET":
            answer.body = bytes(5 << 20)
        return answer


@pytest.mark.parametrize(
    ("change", "code"), [("another", "E954"), ("longer", "E955"), ("manifest", "E961"), ("huge", "E960")]
)
def test_a_registry_that_lies_is_refused(tmp_path: Path, change: str, code: str) -> None:
    with running(Lying()) as registry:
        place = push(built(tmp_path), f"oci://{registry.base}/edits/circle:v1").place
        registry.change = change
        assert refused(lambda: pull(place, tmp_path / "got")).code == code
    assert not (tmp_path / "got").exists()


def test_a_referrer_with_other_files_is_refused(tmp_path: Path, registry: Registry) -> None:
    push(signed_build(tmp_path), f"oci://{registry.base}/edits/circle:v1")
    for digest, (kind, data) in registry.manifests.items():
        if b"sigstore" in data:
            changed = data.replace(b'"vnd.editc.role":"signature"', b'"vnd.editc.role":"report"')
            del registry.manifests[digest]
            registry.manifests["sha256:" + sha256(changed).hexdigest()] = (kind, changed)
            break
    assert refused(lambda: pull(f"oci://{registry.base}/edits/circle:v1", tmp_path / "got")).code == "E953"


def test_without_oras_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if name == "oras" else find(name))
    found = refused(lambda: pull("oci://127.0.0.1:9/edits/circle", tmp_path / "got"))
    assert found.code == "E950" and "pip install -c constraints.txt '.[oci]'" in found.help


def test_a_pull_that_is_killed_three_times_arrives(tmp_path: Path, registry: Registry) -> None:
    """Each run is killed in the middle of the largest file, and the next asks for the rest of it alone."""
    out = with_large_export(tmp_path)
    place = push(out, f"oci://{registry.base}/edits/circle:v1").place
    got = pull_killed(registry, place, tmp_path, [[1 << 30, 200_000], [200_000], [200_000]])
    assert all(got[name] == (out / name).read_bytes() for name in TRAVELS - {"README.md", "manifest.yaml"})
    starts = [one.headers["Range"] for one in registry.asked if one.headers.get("Range")]
    assert len(starts) == 3 and len({*starts}) == 3
    assert not [path for path in tmp_path.iterdir() if path.name.endswith("editc-pull")]
