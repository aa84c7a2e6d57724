"""DSSE envelopes: a payload with one signature over it, as JSON. https://github.com/secure-systems-lab/dsse"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import strict_json
from editc.signing.keys import PrivateKey, PublicKey, verifies

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The type of every payload here: an in-toto statement."""
MAX_BYTES = 16 << 20
"""The largest file of signatures that is read. Chosen by hand: the statement on a folder has some 120 bytes a file."""


SHOWN = 80
"""How many characters of a value messages show: a sha256 has 64."""


@dataclass(frozen=True)
class Envelope:
    """A payload and one signature over it."""

    payload: bytes
    """What is stated, as JSON in UTF-8."""
    signature: bytes
    """The signature over `encode(payload)`."""
    keyid: str = ""
    """The fingerprint of the key that signed, for finding it. Nothing proves it. May be empty."""


def encode(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed, so that the type of the payload is signed with it."""
    return b" ".join((b"DSSEv1", str(len(PAYLOAD_TYPE)).encode(), PAYLOAD_TYPE.encode(), _sized(payload)))


def seal(payload: bytes, key: PrivateKey, keyid: str = "") -> Envelope:
    """Sign a payload."""
    return Envelope(payload, key.sign(encode(payload)), keyid)


def is_by(envelope: Envelope, key: PublicKey) -> bool:
    """True where this key signed the payload."""
    return verifies(key, envelope.signature, encode(envelope.payload))


def as_json(envelope: Envelope) -> dict[str, Any]:
    """The envelope as JSON values."""
    signature = {"sig": base64.b64encode(envelope.signature).decode(), "keyid": envelope.keyid}
    payload = base64.b64encode(envelope.payload).decode()
    return {"payload": payload, "payloadType": PAYLOAD_TYPE, "signatures": [signature]}


def parse_envelope(value: Any, place: str) -> Envelope:
    """The envelope in JSON values. Raises E903 for anything that `as_json` does not write, E904 unless it has one
    signature."""
    found = take(value, "the envelope", place, ("payload", "payloadType", "signatures"))
    if found["payloadType"] != PAYLOAD_TYPE:
        raise damaged(place, f"its payload is not of the type {PAYLOAD_TYPE}")
    signatures = found["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        count = len(signatures) if isinstance(signatures, list) else 0
        message = f"it has {count} signatures, and exactly one is read" if count else "its signature was taken out"
        help_text = "sign the delta again with one key; every key has a bundle of its own"
        raise fail("E904", message, place=place, help=help_text)
    one = take(signatures[0], "the signature", place, ("sig",), ("keyid",))
    keyid = one.get("keyid") or ""
    if not isinstance(keyid, str):
        raise damaged(place, "the id of its key is not a text")
    return Envelope(_decode(found["payload"], place), _decode(one["sig"], place), keyid)


def read_json_text(path: Path) -> bytes:
    """The bytes of a file with signatures. Raises E902 if there is none, E903 if it cannot be read."""
    place = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        message = "there is no signature here"
        help_text = "ask the publisher for it; `editc sign` writes one"
        raise fail("E902", message, place=place, help=help_text) from error
    except (OSError, ValueError) as error:
        raise damaged(place, getattr(error, "strerror", None) or "this is not a path") from error
    if len(data) > MAX_BYTES:
        raise damaged(place, f"it is larger than {MAX_BYTES >> 20} MiB")
    return data


def parse_json(data: bytes, place: str) -> Any:
    """The JSON in these bytes. Raises E903."""
    try:
        return strict_json(data.decode("utf-8"))
    except ValueError as error:
        raise damaged(place, f"it is not JSON: {str(error)[:120]}") from error


def take(
    value: Any, what: str, place: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """A JSON object with these keys and no others. Raises E903, which calls it `what`."""
    if not isinstance(value, dict):
        raise damaged(place, f"{what} is not a JSON object")
    for name in required:
        if name not in value:
            raise damaged(place, f"{what} lacks `{name}`")
    for name in value:
        if name not in required + optional:
            raise damaged(place, f"{what} has the unknown key {show(name)}")
    return value


def damaged(place: str, why: str) -> EditcError:
    """E903: a file of signatures that does not read as one."""
    return fail("E903", f"the signature is damaged: {why}", place=place, help="fetch it again from the publisher")


def show(text: object) -> str:
    """A value from a file for a message: cut, in backticks, with what cannot be shown escaped."""
    shown = str(text) if str(text).isprintable() else ascii(text).strip("'")
    return f"`{shown[:SHOWN]}`"


def _sized(data: bytes) -> bytes:
    """The length of some bytes, then the bytes."""
    return str(len(data)).encode() + b" " + data


def _decode(text: Any, place: str) -> bytes:
    """The bytes of a text in base64, of which there is one spelling only. Raises E903."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError as error:
        raise damaged(place, "it is not base64") from error
    if not data or base64.b64encode(data).decode() != text:
        raise damaged(place, "it is not base64 as DSSE writes it")
    return data
