"""Check a signature: who made it, whether that key may sign now, and whether it is over these files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from editc.core.diagnostics import EditcError, fail
from editc.core.text import count
from editc.signing.bundle import is_keyless, parse_bundle, read_bundle
from editc.signing.contents import ITSELF, Contents, contents_of, differences, hash_file, parse_contents
from editc.signing.envelope import Envelope, damaged, is_by, parse_json, read_json_text, show
from editc.signing.keyless import TrustedIdentity, verify_keyless
from editc.signing.keys import PublicKey
from editc.signing.places import find_signature
from editc.signing.statement import Statement, parse_statement

SHOWN = 5
"""How many differing files an error names."""


@dataclass(frozen=True)
class TrustedKey:
    """A key whose signatures are accepted, and when."""

    public: PublicKey
    """The key."""
    not_before: datetime | None = None
    """Signatures are accepted from then on. None: from ever."""
    not_after: datetime | None = None
    """Signatures are accepted before then. None: for ever."""
    revoked: bool = False
    """True: no signature by it is accepted."""


Trusted: TypeAlias = TrustedKey | TrustedIdentity
"""Somebody whose signatures are accepted."""


def keys(trusted: Sequence[Trusted]) -> tuple[TrustedKey, ...]:
    """The keys among those that are trusted."""
    return tuple(one for one in trusted if isinstance(one, TrustedKey))


def identities(trusted: Sequence[Trusted]) -> tuple[TrustedIdentity, ...]:
    """The identities among those that are trusted."""
    return tuple(one for one in trusted if isinstance(one, TrustedIdentity))


@dataclass(frozen=True)
class Signed:
    """A signature that holds."""

    file: Path
    """The file of the signature."""
    key: PublicKey
    """The key that signed; for an identity its one-time key, under the identity's name."""
    contents: Contents
    """What it is over and was compared. For a file under its folder's signature: that file alone."""
    stated: tuple[Statement, ...] = ()
    """What else the publisher states about the delta. Empty where that was not read, or there is nothing."""


def check_signature(path: Path, trusted: Sequence[Trusted], now: datetime, signature: Path | None = None) -> Signed:
    """Check the signature of a file or folder. `signature`: its file; None: as `find_signature` says.

    Raises E902 to E910, and E911 for files that cannot be read.
    """
    file = signature or find_signature(path)
    data, place = read_json_text(file), str(file)
    if is_keyless(parse_json(data, place)):
        payload, public = verify_keyless(data, identities(trusted), place)
    else:
        bundle = parse_bundle(data, place)
        public = find_signer(bundle.envelope, bundle.fingerprint, keys(trusted), place, now).public
        payload = bundle.envelope.payload
    return Signed(file, public, compare_contents(parse_contents(parse_statement(payload, place), place), path))


def signed_files(signature: Path) -> frozenset[str]:
    """The files that the signature of a folder is over, as paths within it. Who signed is not checked. Raises E902 to
    E904 and E910."""
    statement = parse_statement(read_bundle(signature).envelope.payload, str(signature))
    return frozenset(parse_contents(statement, str(signature)).files)


def find_signer(
    envelope: Envelope, fingerprint: str, keys: Sequence[TrustedKey], place: str, now: datetime
) -> TrustedKey:
    """The key that signed. `fingerprint`: what the file says about it; empty: every key is tried. Raises E903, E905,
    E906, E908 and E909."""
    named = [one for one in keys if fingerprint in ("", one.public.fingerprint)]
    if not named:
        known = [f"{one.public.name}: {one.public.fingerprint[:16]}..." for one in keys[:SHOWN]]
        message = f"it was signed by the key {show(fingerprint[:16] + '...')}, which is not one of yours"
        help_text = "add that key only if its owner gave it to you on another way than the delta"
        raise fail("E905", message, place=place, help=help_text, notes=known)
    for one in named:
        if is_by(envelope, one.public):
            _check_time(one, place, now)
            return one
    if fingerprint:
        message = f"the signature is not by {named[0].public.name}, although it says so"
        help_text = "do not use the delta: the statement or the signature was changed after it was signed"
        raise fail("E906", message, place=place, help=help_text)
    raise damaged(place, "it names no key, and none of yours made it")


def _check_time(one: TrustedKey, place: str, now: datetime) -> None:
    """Raises E909 for a revoked key, E908 for one that may not sign now."""
    name, fingerprint = one.public.name, [f"its fingerprint is {one.public.fingerprint}"]
    if one.revoked:
        help_text = "ask the publisher for a signature by a key that is in use"
        raise fail("E909", f"the key {name} is revoked", place=place, help=help_text, notes=fingerprint)
    early = one.not_before is not None and now < one.not_before
    if early or (one.not_after is not None and now >= one.not_after):
        when = f"is valid from {_day(one.not_before)} on" if early else f"expired on {_day(one.not_after)}"
        message = f"the key {name} {when}, and today is {_day(now)}"
        help_text = "ask the publisher for a signature by the present key, or correct the clock of this machine"
        raise fail("E908", message, place=place, help=help_text, notes=fingerprint)


def _day(moment: datetime | None) -> str:
    """A moment for people; times other than midnight with hours and minutes."""
    if moment is None:
        return "ever"
    return f"{moment:%Y-%m-%d}" if not (moment.hour or moment.minute) else f"{moment:%Y-%m-%d %H:%M} UTC"


def compare_contents(signed: Contents, path: Path) -> Contents:
    """What was compared. Raises E907 unless the file or folder holds what was signed."""
    if path.is_dir() or ITSELF in signed.files:
        found = list(differences(signed, contents_of(path, signed.left_out)))
    elif path.name in signed.files:
        signed = Contents(f"{path.name} in {signed.name}", {path.name: signed.files[path.name]})
        found = list(differences(signed, Contents(signed.name, {path.name: hash_file(path)})))
    else:
        found = [f"{path.name} is not among the {count(len(signed.files), 'file')} that were signed"]
    if found:
        raise _other_error(signed, path, found)
    return signed


def _other_error(signed: Contents, path: Path, found: Sequence[str]) -> EditcError:
    """E907, with the first differences."""
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    notes = [one if one.isprintable() else ascii(one) for one in found[:SHOWN]]
    message = f"the signature is over another {'folder' if path.is_dir() else 'file'}, called {show(signed.name)}"
    help_text = "fetch the delta and its signature again, from the same release"
    return fail("E907", message, place=str(path), help=help_text, notes=[*notes, *more])
