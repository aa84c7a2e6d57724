"""Sign a delta, or the folder that it lies in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editc.core.disk import guard_writes, replace_file
from editc.formats.exports.read import read_delta
from editc.signing import bundle, contents, envelope, statement
from editc.signing.bundle import Bundle
from editc.signing.check import ENDING, OF_FOLDER, signature_place
from editc.signing.contents import GIT, Contents
from editc.signing.keys import PrivateKey


@dataclass(frozen=True)
class Signature:
    """What `sign` made."""

    file: Path
    """The file of the signature."""
    contents: Contents
    """What is signed."""
    fingerprint: str
    """The fingerprint of the key."""


def sign(path: Path, delta: Path, key: PrivateKey, out: Path | None = None) -> Signature:
    """Sign a file or folder, in which `delta` is the file that holds the delta. Writes `out`, whole or not at all;
    None: as `signature_place` says.

    Raises what reading the delta raises, E911 for files that cannot be signed, E632.
    """
    read_delta(delta)
    file = out or signature_place(path)
    signed = contents.contents_of(path, _left_out(path, delta, file), links=False)
    sealed = envelope.seal(statement.to_bytes(contents.state(signed)), key)
    with guard_writes(file):
        replace_file(file, bundle.to_bytes(Bundle(key.public.fingerprint, sealed)))
    return Signature(file, signed, key.public.fingerprint)


def _left_out(path: Path, delta: Path, file: Path) -> tuple[str, ...]:
    """What is not signed in a folder: signatures, and what belongs to git."""
    if not path.is_dir():
        return ()
    own = (file.relative_to(path).as_posix(),) if file.is_relative_to(path) else ()
    return tuple(dict.fromkeys((*own, OF_FOLDER, delta.name + ENDING, *GIT)))
