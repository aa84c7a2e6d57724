"""Keys and signed deltas for tests, and changed copies of bundles."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from places import FIXTURES

from editc.core.diagnostics import Diagnostic, EditcError
from editc.signing.check import TrustedKey
from editc.signing.keys import PrivateKey, PublicKey, read_private_key, read_public_key
from editc.verbs import evidence

DELTAS = FIXTURES / "deltas" / "v1"
BASE = DELTAS / "base"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class KeyFiles:
    """The files of one pair of keys."""

    secret: Path
    shown: Path

    @property
    def private(self) -> PrivateKey:
        return read_private_key(self.secret)

    @property
    def public(self) -> PublicKey:
        return read_public_key(self.shown)

    @property
    def trusted(self) -> TrustedKey:
        return TrustedKey(self.public)


@cache
def _pem(name: str, curve: str) -> tuple[bytes, bytes]:
    """One pair for each name, for the whole run: making a key takes a while."""
    key = ed25519.Ed25519PrivateKey.generate() if curve == "ed25519" else ec.generate_private_key(getattr(ec, curve)())
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def key_files(folder: Path, name: str = "key", curve: str = "SECP256R1") -> KeyFiles:
    """Write a pair of keys: `NAME.pem` and `NAME.pub`."""
    secret, shown = _pem(name, curve)
    (folder / f"{name}.pem").write_bytes(secret)
    (folder / f"{name}.pub").write_bytes(shown)
    return KeyFiles(folder / f"{name}.pem", folder / f"{name}.pub")


def locked_key(folder: Path, password: str) -> Path:
    """A private key in an encrypted file."""
    key = ec.generate_private_key(ec.SECP256R1())
    locked = BestAvailableEncryption(password.encode())
    (folder / "locked.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    return folder / "locked.pem"


def delta_file(folder: Path, form: str = "low-rank") -> Path:
    """A delta of the fixtures."""
    return Path(shutil.copyfile(DELTAS / f"{form}.safetensors", folder / "delta.safetensors"))


def built_folder(folder: Path) -> Path:
    """A folder as a build leaves it, with a folder in it."""
    (folder / "out" / "pictures").mkdir(parents=True)
    delta_file(folder / "out")
    (folder / "out" / "report.json").write_text("{}")
    (folder / "out" / "pictures" / "a.txt").write_text("a")
    (folder / "out" / "pictures.txt").write_text("sorted before the folder as text, after it as a path")
    return folder / "out"


def signed_delta(folder: Path, key: KeyFiles) -> Path:
    """A delta with its signature beside it."""
    path = delta_file(folder)
    evidence.sign(path, key.secret)
    return path


def refused(call: Callable[[], object]) -> Diagnostic:
    """The one diagnostic by which a call is refused."""
    with pytest.raises(EditcError) as caught:
        call()
    (found,) = caught.value.diagnostics
    return found


def change_json(path: Path, change: Change) -> None:
    """Change a bundle as JSON."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def change_statement(path: Path, change: Change, keys: Sequence[KeyFiles] = ()) -> None:
    """Change what a bundle states, under its old signature, or signed anew by a key."""
    from editc.signing.envelope import encode

    value = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    for key in keys:
        made = base64.b64encode(key.private.sign(encode(payload))).decode()
        value["dsseEnvelope"]["signatures"] = [{"sig": made, "keyid": ""}]
    path.write_text(json.dumps(value))


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(bytes(data))
