"""The file of further statements about a delta: one signed DSSE envelope a line, or one bundle by an identity."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from editc.core.diagnostics import fail
from editc.signing import envelope as dsse
from editc.signing.bundle import is_keyless
from editc.signing.check import Trusted, find_signer, identities, keys
from editc.signing.contents import hash_file
from editc.signing.envelope import damaged, show
from editc.signing.keyless import verify_keyless
from editc.signing.keys import PrivateKey
from editc.signing.statement import Statement, parse_statement, to_bytes


def to_lines(statements: Iterable[Statement], key: PrivateKey) -> bytes:
    """The bytes of the file, each statement signed by this key."""
    return b"".join(to_line(to_bytes(one), key) for one in statements)


def to_line(payload: bytes, key: PrivateKey) -> bytes:
    """One line of the file: a statement, signed by this key."""
    return (json.dumps(dsse.as_json(dsse.seal(payload, key, key.public.fingerprint))) + "\n").encode()


def read_statements(file: Path, delta: Path, trusted: Sequence[Trusted], now: datetime) -> tuple[Statement, ...]:
    """The statements in a file, each by somebody `trusted` and about the file `delta`. Empty where there is no
    such file.

    Raises E903 to E909 for signatures that do not hold, E917 for statements about something else.
    """
    if not file.exists():
        return ()
    place, found = str(file), dict[str, Statement]()
    digest = hash_file(delta)
    for line in dsse.read_json_text(file).splitlines():
        statement = parse_statement(_payload(line, trusted, place, now), place)
        if digest not in statement.subjects.values():
            names = ", ".join(show(name) for name in statement.subjects)
            message = f"it states something about another file, called {names}"
            raise fail("E917", message, place=place, help="fetch the delta and its statements again, from one release")
        if statement.kind in found:
            raise damaged(place, f"it states {show(statement.kind)} twice")
        found[statement.kind] = statement
    return tuple(found.values())


def _payload(line: bytes, trusted: Sequence[Trusted], place: str, now: datetime) -> bytes:
    """The statement in a line, whose signature holds."""
    if is_keyless(dsse.parse_json(line, place)):
        return verify_keyless(line, identities(trusted), place)[0]
    sealed = dsse.parse_envelope(dsse.parse_json(line, place), place)
    find_signer(sealed, sealed.keyid, keys(trusted), place, now)
    return sealed.payload
