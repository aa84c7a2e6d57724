"""A folder and a layout: what travels is what the receiver needs, arrives whole, and is refused if it was changed."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from command import editc
from publish_cases import TRAVELS, assert_round_trip, built, files_of, signed_build
from signing_cases import delta_file, key_files, refused

from editc.core.diagnostics import EditcError
from editc.verbs.evidence import sign, verify_signature
from editc.verbs.public import pull, push, write_card

EVIDENCE = {"delta.safetensors.sig", "delta.safetensors.intoto.jsonl"}
TARGETS = ("{}/shelf", "file:{}/shelf", "oci:{}/shelf", "oci:{}/shelf:v1")


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_pushed_is_pulled_verified_applied_and_reverted(tmp_path: Path, target: str) -> None:
    assert_round_trip(tmp_path, target.format(tmp_path))


def test_nothing_else_of_the_folder_travels(tmp_path: Path) -> None:
    pushed = push(signed_build(tmp_path), str(tmp_path / "shelf"))
    assert {entry.name for entry in pushed.listing.entries} == TRAVELS
    assert files_of(tmp_path / "shelf").keys() == TRAVELS | {"editc-files.json"}
    assert b"private" not in b"".join(files_of(tmp_path / "shelf").values())


def test_a_delta_alone_travels_with_its_signature_manifest_and_card(tmp_path: Path) -> None:
    out = signed_build(tmp_path)
    pushed = push(out / "delta.safetensors", str(tmp_path / "shelf"))
    assert {entry.role for entry in pushed.listing.entries} == {"delta", "signature", "statement", "manifest", "card"}


@pytest.mark.parametrize("target", ["{}/shelf", "oci:{}/shelf"])
def test_pushing_the_same_twice_gives_the_same_bytes_and_a_new_one_replaces_the_old(
    tmp_path: Path, target: str
) -> None:
    out, target = signed_build(tmp_path), target.format(tmp_path)
    push(out, target)
    first = files_of(tmp_path / "shelf")
    push(out, target)
    assert files_of(tmp_path / "shelf") == first
    (out / "peft" / "adapter_config.json").unlink()
    push(out, target)
    assert "peft/adapter_config.json" not in {entry.name for entry in pull(target, tmp_path / "got").listing.entries}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("target", ["{}/shelf", "oci:{}/shelf"])
def test_a_folder_with_other_things_is_not_written(tmp_path: Path, target: str) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "mine").write_text("x")
    assert refused(lambda: push(signed_build(tmp_path), target.format(tmp_path))).code == "E697"
    assert [*files_of(tmp_path / "shelf")] == ["mine"]


def test_pulling_again_finds_it_there(tmp_path: Path) -> None:
    push(signed_build(tmp_path), str(tmp_path / "shelf"))
    assert pull(str(tmp_path / "shelf"), tmp_path / "got").fresh
    assert not pull(str(tmp_path / "shelf"), tmp_path / "got").fresh
    (tmp_path / "got" / "mine").write_text("x")
    assert refused(lambda: pull(str(tmp_path / "shelf"), tmp_path / "got")).code == "E697"


def test_a_folder_that_was_signed_whole_stays_signed(tmp_path: Path) -> None:
    key, out = key_files(tmp_path), built(tmp_path)
    for name in ("secret.png", "notes.txt", "model/unet.safetensors", "peft/optimizer.pt"):
        (out / name).unlink()
    sign(out, key.secret)
    push(out, str(tmp_path / "shelf"))
    assert verify_signature(pull(str(tmp_path / "shelf"), tmp_path / "got").folder, key.shown)
    write_card(out)
    found = refused(lambda: push(out, str(tmp_path / "shelf")))
    assert found.code == "E952" and "README.md" in found.message
    sign(out, key.secret)
    push(out, str(tmp_path / "shelf"))
    assert verify_signature(pull(str(tmp_path / "shelf"), tmp_path / "again").folder, key.shown)


def test_what_does_not_belong_together_is_not_published(tmp_path: Path) -> None:
    out = signed_build(tmp_path)
    delta_file(out, "dense")
    assert refused(lambda: push(out, str(tmp_path / "shelf"))).code == "E952"
    (out / "report.json").write_text("[")
    assert refused(lambda: push(out, str(tmp_path / "shelf"))).code == "E952"
    (out / "report.json").unlink()
    assert refused(lambda: push(out, str(tmp_path / "shelf"))).code == "E952"
    assert not (tmp_path / "shelf").exists()


def test_links_and_odd_names_are_not_published(tmp_path: Path) -> None:
    out = signed_build(tmp_path)
    (out / "report.html").unlink()
    (out / "report.html").symlink_to(out / "secret.png")
    assert refused(lambda: push(out, str(tmp_path / "shelf"))).code == "E958"
    (out / "delta.safetensors").rename(out / "a b.safetensors")
    assert refused(lambda: push(out / "a b.safetensors", str(tmp_path / "shelf"))).code == "E957"


PLACES = ["hf://one", "oci://host", "oci://host/UPPER", "s3://bucket/x", "file://elsewhere/x", "oci:", "hf://a/b@", ""]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_none_is_refused(tmp_path: Path, place: str) -> None:
    assert refused(lambda: pull(place, tmp_path / "got")).code == "E951"


def change_listing(folder: Path, change: Any) -> None:
    value = json.loads((folder / "editc-files.json").read_text())
    change(value)
    (folder / "editc-files.json").write_text(json.dumps(value))


def renamed(name: object) -> Any:
    return lambda value: value["files"][1].update(name=name)


CHANGES: list[tuple[str, Any]] = [
    ("E953", lambda v: v.update({"editc-files": 2})),
    ("E953", lambda v: v.update(files=[])),
    ("E953", lambda v: v.update(files={})),
    ("E953", lambda v: v.update(delta_id="x")),
    ("E953", lambda v: v.update(delta_id="0" * 64)),
    ("E953", lambda v: v["files"].append(v["files"][0])),
    ("E953", lambda v: v.update(files=v["files"][1:] * 40)),
    ("E953", lambda v: v["files"][1].update(role="virus")),
    ("E953", lambda v: v["files"][1].update(size=-1)),
    ("E953", lambda v: v["files"][1].update(size=True)),
    ("E953", lambda v: v["files"][1].update(size=1 << 60)),
    ("E953", lambda v: v["files"][1].update(sha256="x")),
    ("E954", lambda v: v["files"][1].update(sha256="0" * 64)),
    ("E955", lambda v: v["files"][1].update(size=v["files"][1]["size"] - 1)),
    ("E959", lambda v: v["files"][1].update(size=v["files"][1]["size"] + 1)),
    ("E960", renamed("missing.json")),
    *[("E956", renamed(name)) for name in ("../up", "/etc/x", "a/../../b", "C:x", "\\x", "a\\..\\b", "..")],
    *[
        ("E957", renamed(name))
        for name in ("", 7, None, "a b", "a\n", "a\0", "\u202etxt", ".git", "a/.b", "a.", "a//b")
    ],
    *[("E957", renamed(name)) for name in ("nul", "COM1.txt", "x" * 200, "a/b/c/d/e/f/g", "DELTA.safetensors")],
    ("E957", renamed("delta.safetensors/x")),
]


@pytest.mark.parametrize(("code", "change"), CHANGES)
def test_a_changed_listing_is_refused_and_nothing_is_written(
    tmp_path: Path, code: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editc.publish.fetch.WAIT", 0)
    push(built(tmp_path), str(tmp_path / "shelf"))
    change_listing(tmp_path / "shelf", change)
    assert refused(lambda: pull(str(tmp_path / "shelf"), tmp_path / "got")).code == code
    assert not (tmp_path / "got").exists()


def test_a_link_in_the_source_is_refused(tmp_path: Path) -> None:
    push(built(tmp_path), str(tmp_path / "shelf"))
    (tmp_path / "shelf" / "report.html").rename(tmp_path / "away")
    (tmp_path / "shelf" / "report.html").symlink_to(tmp_path / "away")
    assert refused(lambda: pull(str(tmp_path / "shelf"), tmp_path / "got")).code == "E958"


def test_a_layout_whose_manifest_is_another_is_refused(tmp_path: Path) -> None:
    push(built(tmp_path), f"oci:{tmp_path}/shelf")
    index = json.loads((tmp_path / "shelf" / "index.json").read_text())
    blob = tmp_path / "shelf" / "blobs" / "sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    blob.write_text(blob.read_text().replace("report.html", "report.htm"))
    assert refused(lambda: pull(f"oci:{tmp_path}/shelf", tmp_path / "got")).code == "E961"
    assert refused(lambda: pull(f"oci:{tmp_path}/shelf:other", tmp_path / "got")).code == "E960"


@pytest.mark.parametrize("target", ["{}/shelf", "oci:{}/shelf"])
def test_no_mutation_is_accepted_with_another_meaning(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flips a bit, cuts or lengthens a file, or swaps two. What is pulled is what was published, or nothing is."""
    monkeypatch.setattr("editc.publish.fetch.WAIT", 0)
    place, shelf = target.format(tmp_path), tmp_path / "shelf"
    push(signed_build(tmp_path), place)
    pull(place, tmp_path / "first")
    sound, expected, rng = files_of(shelf), files_of(tmp_path / "first"), random.Random(16)
    for number in range(120):
        name = rng.choice(sorted(sound))
        mutate(shelf / name, sound[rng.choice(sorted(sound))], rng)
        try:
            got = files_of(pull(place, tmp_path / f"got{number}").folder)
            assert all(got[one] == data for one, data in expected.items() if one in got)
            assert got.keys() >= expected.keys() - EVIDENCE
        except EditcError as error:
            assert error.diagnostics[0].code.startswith("E9"), error
            assert not (tmp_path / f"got{number}").exists()
        (shelf / name).write_bytes(sound[name])


def mutate(path: Path, other: bytes, rng: random.Random) -> None:
    """Change a file in one of four ways."""
    data = bytearray(path.read_bytes())
    how = rng.randrange(4)
    if how == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 1:
        del data[rng.randrange(len(data)) :]
    elif how == 2:
        data += rng.randbytes(rng.randrange(1, 50))
    else:
        data = bytearray(other)
    path.write_bytes(bytes(data))


def test_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built(tmp_path)
    shown = editc("push", "out", "shelf").stdout.splitlines()
    assert shown[0].split() == ["delta.safetensors", "delta", f"{len(delta_file(tmp_path).read_bytes()):,}", "bytes"]
    assert shown[-1] == "published; fetch it with: editc pull shelf"
    found = json.loads(editc("pull", "shelf", "--out", "got", "--json").stdout)
    assert (found["status"], Path(found["folder"]).name) == ("done", "got")
    assert {row["name"]: row["sha256"] for row in found["files"]} == {
        name: sha256(data).hexdigest() for name, data in files_of(tmp_path / "got").items()
    }
    assert json.loads(editc("pull", "shelf", "--out", "got", "--json").stdout)["status"] == "already"
    ran = editc("pull", "nowhere")
    assert ran.returncode == 3 and "E960" in ran.stderr
