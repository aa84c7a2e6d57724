"""In-toto statements, version 1: what is said (a predicate) about which files (subjects).
https://github.com/in-toto/attestation/tree/main/spec/v1"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editc.formats.containers.canonical import canonical_json
from editc.signing.envelope import damaged, parse_json, show

STATEMENT = "https://in-toto.io/Statement/v1"
"""The type of a statement."""
SHA256 = re.compile(r"[0-9a-f]{64}")
"""A sha256 as statements write it."""


@dataclass(frozen=True)
class Statement:
    """What somebody says about files."""

    subjects: Mapping[str, str]
    """Name -> sha256. Names are for people; the hash says which file is meant."""
    kind: str
    """The URI of the predicate's type."""
    predicate: Mapping[str, Any]
    """What is said, as JSON values."""


def to_bytes(statement: Statement) -> bytes:
    """The statement as JSON, the same bytes for the same statement."""
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in statement.subjects.items()]
    whole = {"_type": STATEMENT, "subject": subjects, "predicateType": statement.kind}
    return canonical_json({**whole, "predicate": statement.predicate}).encode()


def parse_statement(data: bytes, place: str) -> Statement:
    """The statement in a payload. Raises E903. Unknown keys are left out, as in-toto asks; they are signed too."""
    value = parse_json(data, place)
    if not isinstance(value, dict) or value.get("_type") != STATEMENT:
        raise damaged(place, f"it is not a statement of the type {STATEMENT}")
    kind, predicate, subjects = (value.get(name) for name in ("predicateType", "predicate", "subject"))
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise damaged(place, "the statement has no predicate")
    if not isinstance(subjects, list) or not subjects:
        raise damaged(place, "the statement has no subject")
    named = [_subject(one, place) for one in subjects]
    if len({name for name, _ in named}) < len(named):
        raise damaged(place, "the statement names a subject twice")
    return Statement(dict(named), kind, predicate)


def is_sha256(value: object) -> bool:
    """True for 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and bool(SHA256.fullmatch(value))


def _subject(value: Any, place: str) -> tuple[str, str]:
    """Name and sha256 of one subject. Raises E903."""
    name = value.get("name") if isinstance(value, dict) else None
    digest = value.get("digest") if isinstance(value, dict) else None
    sha256 = digest.get("sha256") if isinstance(digest, dict) else None
    if not isinstance(name, str) or not isinstance(sha256, str) or not is_sha256(sha256):
        raise damaged(place, f"the subject {show(name)} has no sha256")
    return name, sha256
