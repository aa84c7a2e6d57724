"""What a page says of a signature: whether there is one, whose it is, and whether the files are those that were
signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from editc.core.diagnostics import EditcError
from editc.core.text import count, first_rows
from editc.signing import trust
from editc.signing.bundle import read_bundle
from editc.signing.check import Signed, compare_contents
from editc.signing.contents import parse_contents
from editc.signing.places import find_signature
from editc.signing.policy import Policy
from editc.signing.statement import parse_statement
from editc.signing.summary import summarise


@dataclass(frozen=True)
class SignatureView:
    """A signature, or its absence, in words."""

    state: str
    """`ok`: by a key that the reader trusts; `warn`: nobody checked whose it is; `bad`: it does not hold; `plain`:
    there is none."""
    title: str
    """The result in one line."""
    lines: tuple[str, ...] = ()
    """Further sentences."""


UNSIGNED = SignatureView(
    "plain", "Not signed", ("No signature lies beside these files: anybody may have made or changed them.",)
)
"""Where there is no signature."""


def look_at_signature(path: Path, delta: Path | None, policies: Sequence[Policy]) -> SignatureView:
    """Check the signature of a delta, or of the folder of a build. Without `policies` nobody says who may sign, so only
    the files are compared."""
    file = find_signature(path)
    if not file.exists() and delta is not None and delta != path:
        path, file = delta, find_signature(delta)
    if not file.exists():
        return UNSIGNED
    try:
        return _check(path, delta, policies) if policies else _compare(path, file)
    except EditcError as error:
        first = error.diagnostics[0]
        lines = (*first.notes, *((first.help,) if first.help else ()))
        return SignatureView("bad", f"The signature does not hold ({first.code}): {first.message}", lines)


def _check(path: Path, delta: Path | None, policies: Sequence[Policy]) -> SignatureView:
    """The signature, by a key of the policies."""
    found = trust.check_admitted(path, delta or path, policies, datetime.now(UTC))
    lines = [_described(found), f"The key's fingerprint is {found.key.fingerprint}."]
    lines += [f"The signer states: {text}." for one in found.stated for text in summarise(one)]
    return SignatureView("ok", f"Signed by {found.key.name}", tuple(lines))


def _described(found: Signed) -> str:
    """How many files are unchanged."""
    many = len(found.contents.files)
    return f"{count(many, 'file')} {'is' if many == 1 else 'are'} as when signed."


def _compare(path: Path, file: Path) -> SignatureView:
    """The files, against a signature by anybody. Raises E907 where they differ."""
    bundle = read_bundle(file)
    compare_contents(parse_contents(parse_statement(bundle.envelope.payload, str(file)), str(file)), path)
    key = f"It says that the key {bundle.fingerprint} signed." if bundle.fingerprint else "It names no key."
    help_text = "To check who signed, give the public key of somebody whom you trust: --key FILE."
    files = "The files have the hashes that the signature lists."
    return SignatureView("warn", "Signed, but nobody checked by whom", first_rows((files, key, help_text)))
