"""A signature's file is read strictly, and every way to be wrong has words of its own."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from command import editc
from signing_cases import (
    NOW,
    KeyFiles,
    built_folder,
    change_json,
    change_statement,
    delta_file,
    key_files,
    refused,
    signed_delta,
)

from editc.signing.check import TrustedKey, check_signature
from editc.verbs.evidence import sign, verify_signature


@pytest.fixture
def key(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path)


@pytest.fixture
def path(tmp_path: Path, key: KeyFiles) -> Path:
    return signed_delta(tmp_path, key)


def signature(path: Path) -> Path:
    return path.with_name(path.name + ".sig")


def envelope(value: dict[str, Any]) -> dict[str, Any]:
    return value["dsseEnvelope"]  # type: ignore[no-any-return]


def test_the_same_statement_is_signed_each_time(path: Path, key: KeyFiles) -> None:
    first = json.loads(signature(path).read_text())
    sign(path, key.secret)
    assert envelope(json.loads(signature(path).read_text()))["payload"] == envelope(first)["payload"]


def test_keys_in_another_order_and_with_spaces_mean_the_same(path: Path, key: KeyFiles) -> None:
    value = json.loads(signature(path).read_text())
    signature(path).write_text(json.dumps(dict(reversed(value.items())), indent=3))
    assert verify_signature(path, key.shown).key.fingerprint == key.public.fingerprint


def test_a_file_that_was_renamed_stays_signed(path: Path, key: KeyFiles) -> None:
    path.rename(path.with_name("other.safetensors"))
    assert verify_signature(path.with_name("other.safetensors"), key.shown, signature(path))


def test_the_key_is_found_among_several(path: Path, key: KeyFiles, tmp_path: Path) -> None:
    other = key_files(tmp_path, "other")
    assert verify_signature(path, [other.shown, key.shown]).key.name == str(key.shown)


@pytest.mark.parametrize("change", [lambda v: v.pop("hint"), lambda v: v.update(hint=None)])
def test_a_bundle_that_names_no_key_is_tried_with_each(path: Path, key: KeyFiles, tmp_path: Path, change: Any) -> None:
    change_json(signature(path), lambda v: change(v["verificationMaterial"]["publicKey"]))
    other = key_files(tmp_path, "other")
    assert verify_signature(path, [other.shown, key.shown]).key.name == str(key.shown)
    assert refused(lambda: verify_signature(path, other.shown)).code == "E903"


CHANGES: list[tuple[str, str, Any]] = [
    ("E904", "taken out", lambda v: envelope(v).update(signatures=[])),
    ("E904", "2 signatures", lambda v: envelope(v)["signatures"].append(envelope(v)["signatures"][0])),
    ("E905", "not one of yours", lambda v: v["verificationMaterial"]["publicKey"].update(hint="0" * 64)),
    ("E903", "unknown key `note`", lambda v: v.update(note=1)),
    ("E903", "unknown key `x`", lambda v: envelope(v).update(x=1)),
    ("E903", "unknown key `cert`", lambda v: envelope(v)["signatures"][0].update(cert="")),
    ("E903", "lacks `payload`", lambda v: envelope(v).pop("payload")),
    ("E903", "not a JSON object", lambda v: v.update(dsseEnvelope=[])),
    ("E903", "not of the type", lambda v: envelope(v).update(payloadType="text/plain")),
    ("E903", "base64", lambda v: envelope(v).update(payload=envelope(v)["payload"] + "\n")),
    ("E903", "base64", lambda v: envelope(v)["signatures"][0].update(sig="")),
    ("E903", "base64", lambda v: envelope(v)["signatures"][0].update(sig=7)),
    ("E903", "base64", lambda v: envelope(v)["signatures"][0].update(sig="\u00e9\u00e9==")),
    ("E903", "fingerprint", lambda v: v["verificationMaterial"]["publicKey"].update(hint=[1])),
    ("E906", "although it says so", lambda v: envelope(v)["signatures"][0].update(sig="AAAA")),
    ("E910", "certificate", lambda v: v["verificationMaterial"].update(certificate={"rawBytes": "AA"})),
    ("E910", "transparency log", lambda v: v["verificationMaterial"].update(tlogEntries=[{}])),
    ("E910", "its type", lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")),
    ("E910", "states nothing", lambda v: v.update(messageSignature={})),
]


@pytest.mark.parametrize(("code", "words", "change"), CHANGES)
def test_a_changed_bundle_is_refused(path: Path, key: KeyFiles, code: str, words: str, change: Any) -> None:
    change_json(signature(path), change)
    found = refused(lambda: verify_signature(path, key.shown))
    assert (found.code, words in found.message) == (code, True), found.message


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1, "a": 1}', "NaN", "[" * 100_000, "\x00", '"\ud800"'])
def test_what_is_no_json_object_is_refused(path: Path, key: KeyFiles, text: str) -> None:
    signature(path).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert refused(lambda: verify_signature(path, key.shown)).code == "E903"


def test_a_file_that_is_too_large_is_not_read(path: Path, key: KeyFiles) -> None:
    signature(path).write_bytes(b" " * (17 << 20))
    assert "larger than 16 MiB" in refused(lambda: verify_signature(path, key.shown)).message


def test_a_changed_statement_under_the_old_signature_is_refused(path: Path, key: KeyFiles) -> None:
    change_statement(signature(path), lambda v: v["subject"][0].update(name="other"))
    assert refused(lambda: verify_signature(path, key.shown)).code == "E906"


STATEMENTS: list[tuple[str, str, Any]] = [
    ("E903", "not a statement", lambda v: v.update(_type="https://in-toto.io/Statement/v0.1")),
    ("E903", "no predicate", lambda v: v.pop("predicate")),
    ("E903", "no subject", lambda v: v.update(subject=[])),
    ("E903", "no sha256", lambda v: v["subject"][0].update(digest={"sha512": "0"})),
    ("E903", "twice", lambda v: v["subject"].append(v["subject"][0])),
    ("E903", "lists no files", lambda v: v["predicate"].update(resources=[])),
    ("E903", "no path within", lambda v: v["predicate"]["resources"][0].update(name="../x")),
    ("E903", "no path within", lambda v: v["predicate"]["resources"][0].update(name="/x")),
    ("E903", "no path within", lambda v: v["predicate"]["resources"][0].update(digest="12")),
    ("E903", "hash of its subject", lambda v: v["subject"][0].update(digest={"sha256": "0" * 64})),
    ("E903", "ignored paths", lambda v: v["predicate"]["serialization"].update(ignore_paths="x")),
    ("E910", "its statement", lambda v: v.update(predicateType="https://slsa.dev/provenance/v1")),
    ("E910", "pieces of files", lambda v: v["predicate"]["serialization"].update(method="shards")),
]


@pytest.mark.parametrize(("code", "words", "change"), STATEMENTS)
def test_a_strange_statement_is_refused_even_if_it_is_signed(
    path: Path, key: KeyFiles, code: str, words: str, change: Any
) -> None:
    change_statement(signature(path), change, [key])
    found = refused(lambda: verify_signature(path, key.shown))
    assert (found.code, words in found.message) == (code, True), found.message


def test_an_unknown_field_of_a_signed_statement_is_left_out(path: Path, key: KeyFiles) -> None:
    """In-toto asks for that: a later version of Model Signing may add one."""
    change_statement(signature(path), lambda v: v["predicate"].update(card="x"), [key])
    assert verify_signature(path, key.shown)


def test_no_signature_is_an_error_of_its_own(tmp_path: Path, key: KeyFiles) -> None:
    ran = editc("verify-signature", str(delta_file(tmp_path)), "--key", str(key.shown))
    assert ran.returncode == 3 and "E902" in ran.stderr


def test_the_signature_of_another_delta_does_not_serve(path: Path, key: KeyFiles, tmp_path: Path) -> None:
    delta_file(tmp_path, "dense")
    found = refused(lambda: verify_signature(path, key.shown))
    assert found.code == "E907" and "it has the sha256" in found.notes[0]


def test_a_key_counts_within_its_time_only(path: Path, key: KeyFiles) -> None:
    day = timedelta(days=1)

    def check(**given: Any) -> object:
        return check_signature(path, [TrustedKey(key.public, **given)], NOW)

    assert check(not_before=NOW - day, not_after=NOW + day) and check(not_before=NOW)
    assert "expired on 2026-11-29" in refused(lambda: check(not_after=NOW - day)).message
    assert "valid from 2026-12-01" in refused(lambda: check(not_before=NOW + day)).message
    assert refused(lambda: check(not_after=NOW)).code == "E908"
    assert refused(lambda: check(revoked=True, not_after=NOW - day)).code == "E909"


def test_a_folder_is_signed_whole(tmp_path: Path, key: KeyFiles) -> None:
    out = built_folder(tmp_path)
    sign(out, key.secret)
    assert [*verify_signature(out, key.shown).contents.files] == [
        "delta.safetensors",
        "pictures/a.txt",
        "pictures.txt",
        "report.json",
    ]
    (out / "new.txt").write_text("new")
    (out / "report.json").unlink()
    assert refused(lambda: verify_signature(out, key.shown)).notes == (
        "report.json is missing",
        "new.txt was not there",
    )


def test_signing_the_delta_of_a_signed_folder_too_leaves_the_folder_signed(tmp_path: Path, key: KeyFiles) -> None:
    out = built_folder(tmp_path)
    sign(out, key.secret)
    sign(out / "delta.safetensors", key.secret)
    assert verify_signature(out, key.shown) and verify_signature(out / "delta.safetensors", key.shown)


def test_a_link_in_a_folder_is_not_signed(tmp_path: Path, key: KeyFiles) -> None:
    out = built_folder(tmp_path)
    (out / "link").symlink_to(tmp_path / "key.pub")
    assert refused(lambda: sign(out, key.secret)).code == "E911"


def test_what_is_no_sound_delta_is_not_signed(tmp_path: Path, key: KeyFiles) -> None:
    path = delta_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(lambda: sign(path, key.secret)).code == "E601"
    assert refused(lambda: sign(key.shown, key.secret)).code == "E601"
    out = built_folder(tmp_path)
    (out / "delta.safetensors").unlink()
    assert refused(lambda: sign(out, key.secret)).code == "E699"
    assert not [*tmp_path.rglob("*.sig")]


def test_what_the_commands_print(tmp_path: Path, key: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    delta_file(tmp_path)
    signed = editc("sign", "delta.safetensors", "--key", "key.pem", "--out", "s.json")
    assert signed.stdout.splitlines()[0] == "signed delta.safetensors" and signed.returncode == 0
    ran = editc("verify-signature", "delta.safetensors", "--key", "key.pub", "--signature", "s.json", "--json")
    found = json.loads(ran.stdout)
    assert (found["key"], found["signer"]) == (key.public.fingerprint, "key.pub")
    shown = editc("verify-signature", "delta.safetensors", "--key", "key.pub", "--signature", "s.json").stdout
    assert shown.startswith("delta.safetensors: unchanged since it was signed\nsigned by key.pub\n")
