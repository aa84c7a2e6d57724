"""OpenSSF Model Signing reads what editc signs, editc reads what it signs, and one flipped bit is refused by both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from model_signing import hashing, signing, verifying
from signing_cases import built_folder, delta_file, flip, key_files, refused

from editc.verbs.evidence import sign, verify_signature


def sign_by_theirs(path: Path, signature: Path, key: Path) -> None:
    inside = [signature.relative_to(path)] if path.is_dir() else []
    config = hashing.Config().set_ignored_paths(paths=inside)
    signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(path, signature)


def check_by_theirs(path: Path, signature: Path, key: Path) -> None:
    verifying.Config().use_elliptic_key_verifier(public_key=key).verify(path, signature)


@pytest.mark.parametrize("form", ["dense", "low-rank", "shared", "xor"])
def test_they_accept_our_signature_of_a_file(tmp_path: Path, form: str) -> None:
    key, path = key_files(tmp_path), delta_file(tmp_path, form)
    made = sign(path, key.secret)
    check_by_theirs(path, made.file, key.shown)
    flip(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match="mismatch"):
        check_by_theirs(path, made.file, key.shown)
    assert refused(lambda: verify_signature(path, key.shown)).code == "E907"


def test_their_command_accepts_it_too(tmp_path: Path) -> None:
    key, path = key_files(tmp_path), delta_file(tmp_path)
    made = sign(path, key.secret)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(path)]
    command += ["--signature", str(made.file), "--public_key", str(key.shown)]
    assert subprocess.run(command, check=False).returncode == 0
    flip(path, 100)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


def test_they_accept_our_signature_of_a_folder(tmp_path: Path) -> None:
    key, out = key_files(tmp_path), built_folder(tmp_path)
    made = sign(out, key.secret)
    check_by_theirs(out, made.file, key.shown)
    flip(out / "pictures" / "a.txt", 0)
    with pytest.raises(ValueError, match=r"pictures/a\.txt"):
        check_by_theirs(out, made.file, key.shown)
    found = refused(lambda: verify_signature(out, key.shown))
    assert found.code == "E907" and "pictures/a.txt" in found.notes[0]


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_we_accept_their_signature_of_a_file(tmp_path: Path, curve: str) -> None:
    key, path = key_files(tmp_path, curve, curve), delta_file(tmp_path)
    sign_by_theirs(path, tmp_path / "delta.safetensors.sig", key.secret)
    assert verify_signature(path, key.shown).key.fingerprint == key.public.fingerprint
    flip(path, 100)
    assert refused(lambda: verify_signature(path, key.shown)).code == "E907"
    with pytest.raises(ValueError, match="mismatch"):
        check_by_theirs(path, tmp_path / "delta.safetensors.sig", key.shown)


def test_we_accept_their_signature_of_a_folder(tmp_path: Path) -> None:
    key, out = key_files(tmp_path), built_folder(tmp_path)
    sign_by_theirs(out, out / "model.sig", key.secret)
    assert len(verify_signature(out, key.shown).contents.files) == 4
    assert len(verify_signature(out / "delta.safetensors", key.shown).contents.files) == 1
    flip(out / "pictures.txt", 0)
    assert refused(lambda: verify_signature(out, key.shown)).code == "E907"
    assert verify_signature(out / "delta.safetensors", key.shown), "it did not change itself"


def test_a_flipped_bit_of_the_signature_itself_is_refused_by_both(tmp_path: Path) -> None:
    """Of the payload and of the signature; where base64 has a bit of no meaning, we refuse and they may not."""
    key, path = key_files(tmp_path), delta_file(tmp_path)
    made, refusals = sign(path, key.secret), 0
    text = made.file.read_bytes()
    for place in range(text.index(b"payload") + 12, text.index(b"payloadType") - 8, 97):
        flip(made.file, place)
        assert refused(lambda: verify_signature(path, key.shown)).code in ("E903", "E906")
        with pytest.raises(Exception):  # noqa: B017 - theirs raises many kinds
            check_by_theirs(path, made.file, key.shown)
        made.file.write_bytes(text)
        refusals += 1
    assert refusals > 5
    check_by_theirs(path, made.file, key.shown)


def test_their_other_hashes_are_named(tmp_path: Path) -> None:
    key, path = key_files(tmp_path), delta_file(tmp_path)
    signature = tmp_path / "delta.safetensors.sig"
    for config in (
        hashing.Config().use_file_serialization(hashing_algorithm="blake3"),
        hashing.Config().use_shard_serialization(),
    ):
        signing.Config().use_elliptic_key_signer(private_key=key.secret).set_hashing_config(config).sign(
            path, signature
        )
        assert refused(lambda: verify_signature(path, key.shown)).code == "E910"
