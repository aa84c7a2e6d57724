"""Keys on elliptic curves: read them from PEM files, sign bytes, check signatures. Only this file uses `cryptography`,
and only when it is asked to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from editc.core.diagnostics import EditcError, fail
from editc.libraries.extras import install_command, missing_packages

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""Curve -> the hash that is signed, as Sigstore pairs them. OpenSSL calls the first `prime256v1`."""
MAX_KEY_BYTES = 1 << 16
"""The largest key file that is read. A PEM file of a key has some 200 bytes."""
MAKE_KEY = "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
"""Help for a file that is no private key that editc signs with."""
MAKE_PUBLIC = "its public half: openssl ec -in key.pem -pubout -out key.pub"
"""Help for a file that is no public key."""


@dataclass(frozen=True)
class PublicKey:
    """A key by which signatures are checked."""

    name: str
    """What messages call it: its id in a policy, else the path of its file."""
    pem: bytes
    """The key as PEM, in the spelling that `cryptography` writes."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of the PEM text: how bundles of OpenSSF Model Signing name a key."""
        return hashlib.sha256(self.pem).hexdigest()


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs."""

    public: PublicKey
    """Its public half."""
    secret: EllipticCurvePrivateKey
    """The key as `cryptography` holds it."""

    def sign(self, data: bytes) -> bytes:
        """The signature over these bytes: ECDSA, in DER."""
        return self.secret.sign(data, _algorithm(self.secret.curve.name))


def read_private_key(path: Path, password: str | None = None) -> PrivateKey:
    """The private key in a PEM file. `password`: of an encrypted file. Raises E900 and E901."""
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, place = _read(path), str(path)
    secret_bytes = None if password is None else password.encode("utf-8", "surrogateescape")
    try:
        key = load_pem_private_key(data, secret_bytes)
    except TypeError as error:
        raise _password_error(password, place) from error
    except Exception as error:  # cryptography raises many kinds for many kinds of damage
        wrong = password is not None and b"ENCRYPTED" in data
        why = "the password does not open this key" if wrong else "this is not a private key in PEM"
        raise fail("E901", why, place=place, help="check the password" if wrong else MAKE_KEY) from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise fail("E901", f"this is {_kind(key)}; editc signs with P-256", place=place, help=MAKE_KEY)
    return PrivateKey(PublicKey(place, _pem(key.public_key())), key)


def read_public_key(path: Path, name: str = "") -> PublicKey:
    """The public key in a PEM file. `name`: what messages call it; empty: the path. Raises E900 and E901."""
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, place = _read(path), str(path)
    if b"PRIVATE KEY-----" in data:
        message = "this is a private key, and a signature is checked by the public one"
        raise fail("E901", message, place=place, help=f"keep it to yourself and give {MAKE_PUBLIC}")
    try:
        key = load_pem_public_key(data)
    except Exception as error:  # cryptography raises many kinds for many kinds of damage
        raise fail("E901", "this is not a public key in PEM", place=place, help=f"give {MAKE_PUBLIC}") from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        message = f"this is {_kind(key)}; editc checks signatures by P-256, P-384 and P-521"
        raise fail("E901", message, place=place, help="ask the publisher for such a key")
    return PublicKey(name or place, _pem(key))


def verifies(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """True where `signature` over these bytes was made by the private half of `key`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    public: EllipticCurvePublicKey = load_pem_public_key(key.pem)  # type: ignore[assignment]
    try:
        public.verify(signature, data, _algorithm(public.curve.name))
    except InvalidSignature:
        return False
    return True


def _require_cryptography() -> None:
    """Raises E900 where the package is missing."""
    if missing_packages("cryptography"):
        raise fail("E900", "signatures need cryptography, which is not installed", help=install_command("sign"))


def _read(path: Path) -> bytes:
    """The bytes of a key file. Raises E901."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "this is not a path"
        message = f"the key cannot be read: {why}"
        raise fail("E901", message, place=str(path).replace("\0", "\\0"), help="check the path") from error
    if len(data) > MAX_KEY_BYTES:
        raise fail("E901", "the file is too large for a key", place=str(path), help=f"give {MAKE_PUBLIC}")
    return data


def _password_error(password: str | None, place: str) -> EditcError:
    """E901 for a missing password, or one too many."""
    if password is None:
        message, help_text = "this key is encrypted", "name the variable that has its password: --password-env NAME"
    else:
        message, help_text = "this key is not encrypted, and a password was given", "leave out --password-env"
    return fail("E901", message, place=place, help=help_text)


def _algorithm(curve: str) -> ECDSA:
    """How a key on this curve signs."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, CURVES[curve])())


def _pem(key: EllipticCurvePublicKey) -> bytes:
    """A public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _kind(key: object) -> str:
    """The kind of a key in words, such as `an Ed25519 key`."""
    curve = getattr(getattr(key, "curve", None), "name", "")
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey").strip("_")
    return f"a key on the curve {curve}" if curve else f"a key of the kind {name}"
