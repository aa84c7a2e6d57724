"""The file of a signature: a Sigstore bundle, version 0.3, with the public key's fingerprint and one DSSE envelope. So
OpenSSF Model Signing (`model_signing`) writes and reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.signing import envelope as dsse
from editc.signing.envelope import Envelope, damaged, take

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""The type of a bundle."""
KEYLESS = ("certificate", "x509CertificateChain", "timestampVerificationData")
"""What stands beside or instead of a public key in bundles that were not signed by one."""


@dataclass(frozen=True)
class Bundle:
    """A signature as a file."""

    fingerprint: str
    """The fingerprint of the key that signed, for finding it. Nothing proves it. Empty in bundles before version 1.0 of
    Model Signing."""
    envelope: Envelope
    """What is signed, with the signature."""


def to_bytes(bundle: Bundle) -> bytes:
    """The bytes of the file."""
    material = {"publicKey": {"hint": bundle.fingerprint}, "tlogEntries": []}
    whole = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": dsse.as_json(bundle.envelope)}
    return (json.dumps(whole) + "\n").encode()


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file, whoever signed it: one by an identity names no key. Raises E902 if there is none, E903 and
    E904 for a damaged one, E910 for a kind that editc does not read."""
    data, place = dsse.read_json_text(path), str(path)
    value = dsse.parse_json(data, place)
    if is_keyless(value):
        envelope = take(value, "the bundle", place, ("dsseEnvelope", "mediaType", "verificationMaterial"))[
            "dsseEnvelope"
        ]
        return Bundle("", dsse.parse_envelope(envelope, place))
    return parse_bundle(data, place)


def parse_bundle(data: bytes, place: str) -> Bundle:
    """The bundle in these bytes. Raises E903, E904 and E910."""
    value = dsse.parse_json(data, place)
    if isinstance(value, dict) and "messageSignature" in value:
        raise unread(place, "it signs bytes and states nothing")
    whole = take(value, "the bundle", place, ("mediaType", "verificationMaterial", "dsseEnvelope"))
    if whole["mediaType"] != MEDIA_TYPE:
        raise unread(place, f"its type is not {MEDIA_TYPE}")
    return Bundle(_fingerprint(whole["verificationMaterial"], place), dsse.parse_envelope(whole["dsseEnvelope"], place))


def is_keyless(value: Any) -> bool:
    """True for the JSON of a bundle that was signed by an identity, with a certificate."""
    material = value.get("verificationMaterial") if isinstance(value, dict) else None
    return isinstance(material, dict) and bool(material.get("certificate")) and not material.get("publicKey")


def unread(place: str, why: str) -> EditcError:
    """E910: a sound signature of a kind that editc does not read."""
    help_text = "`model_signing verify` reads it; for editc, ask for one by a key on P-256, over whole files in sha256"
    return fail("E910", f"this kind of signature is not read: {why}", place=place, help=help_text)


def _fingerprint(material: Any, place: str) -> str:
    """The fingerprint in a bundle's verification material. Raises E903 and E910."""
    if isinstance(material, dict) and any(material.get(name) for name in KEYLESS):
        raise unread(place, "it has a certificate or a timestamp beside a key")
    found = take(material, "the verification material", place, ("publicKey",), ("tlogEntries",))
    if found.get("tlogEntries", []) != []:
        raise unread(place, "it has an entry of a transparency log")
    hint = take(found["publicKey"], "the public key", place, (), ("hint",)).get("hint") or ""
    if not isinstance(hint, str):
        raise damaged(place, "the fingerprint of its key is not a text")
    return hint
