"""Keys: what is read, and what is refused with which words."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pytest
from command import editc
from signing_cases import delta_file, key_files, locked_key, refused

from editc.signing.keys import read_private_key, read_public_key, verifies


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_a_key_checks_what_its_private_half_signed_and_nothing_else(tmp_path: Path, curve: str) -> None:
    key, other = key_files(tmp_path, "one", curve), key_files(tmp_path, "two", curve)
    made = key.private.sign(b"text")
    assert verifies(key.public, made, b"text")
    assert not verifies(key.public, made, b"texts") and not verifies(other.public, made, b"text")
    assert not verifies(key.public, b"", b"text") and not verifies(key.public, made[:-1], b"text")


def test_the_private_key_knows_the_fingerprint_of_its_public_half(tmp_path: Path) -> None:
    key = key_files(tmp_path)
    assert key.private.public.fingerprint == key.public.fingerprint


def test_a_key_is_the_same_with_other_line_breaks(tmp_path: Path) -> None:
    key = key_files(tmp_path)
    before = key.public.fingerprint
    key.shown.write_bytes(b"a note\n" + key.shown.read_bytes().replace(b"\n", b"\r\n"))
    assert key.public.fingerprint == before


def test_an_encrypted_key_needs_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = locked_key(tmp_path, "secret")
    assert "encrypted" in refused(lambda: read_private_key(path)).message
    assert "does not open" in refused(lambda: read_private_key(path, "wrong")).message
    monkeypatch.setenv("KEY_PASSWORD", "secret")
    assert (
        editc("sign", str(delta_file(tmp_path)), "--key", str(path), "--password-env", "KEY_PASSWORD").returncode == 0
    )
    ran = editc("sign", str(delta_file(tmp_path)), "--key", str(path), "--password-env", "NO_SUCH")
    assert ran.returncode == 2 and "NO_SUCH" in ran.stderr


def test_a_password_for_a_key_that_has_none_is_a_mistake(tmp_path: Path) -> None:
    key = key_files(tmp_path)
    assert "not encrypted" in refused(lambda: read_private_key(key.secret, "secret")).message


def test_each_half_is_refused_where_the_other_is_needed(tmp_path: Path) -> None:
    key = key_files(tmp_path)
    assert refused(lambda: read_public_key(key.secret)).message.startswith("this is a private key")
    assert "not a private key" in refused(lambda: read_private_key(key.shown)).message


@pytest.mark.parametrize("curve", ["ed25519", "SECP256K1"])
def test_keys_of_other_kinds_are_named(tmp_path: Path, curve: str) -> None:
    key = key_files(tmp_path, curve, curve)
    for found in (refused(lambda: key.public), refused(lambda: key.private)):
        assert found.code == "E901" and curve.lower() in found.message.lower()


@pytest.mark.parametrize(
    "data", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff" * 70000]
)
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "k").write_bytes(data)
    for read in (read_private_key, read_public_key):
        assert refused(partial(read, tmp_path / "k")).code == "E901"
    assert refused(lambda: read_public_key(tmp_path / "none")).code == "E901"
    assert refused(lambda: read_public_key(tmp_path)).code == "E901"


def test_without_cryptography_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, find = key_files(tmp_path), importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if name == "cryptography" else find(name))
    for read in (lambda: key.public, lambda: key.private):
        found = refused(read)
        assert found.code == "E900" and "pip install -c constraints.txt '.[sign]'" in found.help
