"""Sign a delta, or the folder that it lies in, and state what it records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from editc.core.storage.disk import guard_writes, replace_file
from editc.formats.exports.read import read_delta
from editc.signing import bundle, contents, envelope, statement
from editc.signing.bom import state_bom
from editc.signing.bundle import Bundle
from editc.signing.contents import GIT, Contents, hash_file
from editc.signing.keys import PrivateKey
from editc.signing.places import ENDING, OF_FOLDER, STATED, signature_place, statements_place
from editc.signing.provenance import state_provenance
from editc.signing.results import read_verdict, state_results
from editc.signing.stated import to_line


class Signer(Protocol):
    """Whoever signs: a key, or an identity."""

    kind: ClassVar[Literal["key", "identity"]]
    """Which of the two."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key; for an identity its name."""

    def bundle(self, payload: bytes) -> bytes:
        """The file of a signature over a statement."""

    def line(self, payload: bytes) -> bytes:
        """A line with a signed statement."""


@dataclass(frozen=True)
class KeySigner:
    """Signs by a private key."""

    key: PrivateKey
    """The key."""
    kind: ClassVar[Literal["key", "identity"]] = "key"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key."""
        return self.key.public.fingerprint

    def bundle(self, payload: bytes) -> bytes:
        """A bundle that names the key."""
        return bundle.to_bytes(Bundle(self.fingerprint, envelope.seal(payload, self.key)))

    def line(self, payload: bytes) -> bytes:
        """An envelope that names the key."""
        return to_line(payload, self.key)


@dataclass(frozen=True)
class Signature:
    """What `sign` made."""

    files: tuple[Path, ...]
    """The file of the signature, then that of the statements."""
    contents: Contents
    """What is signed."""
    fingerprint: str
    """The fingerprint of the key; for an identity its name."""

    kind: Literal["key", "identity"] = "key"
    """Who signed."""

    @property
    def file(self) -> Path:
        """The file of the signature."""
        return self.files[0]


def sign(path: Path, delta: Path, report: Path, signer: Signer, out: Path | None = None) -> Signature:
    """Sign a file or folder, in which `delta` is the file that holds the delta, and state what the delta and its
    `report` record. Writes `out`; None: as `signature_place` says. Each file is written whole or not at all.

    Raises what reading the delta raises, E911 for files that cannot be signed, E632, and E918 by an identity.
    """
    read = read_delta(delta)
    file, beside = out or signature_place(path), statements_place(delta, out)
    signed = contents.contents_of(path, _left_out(path, delta, (file, beside)), links=False)
    sealed = signer.bundle(statement.to_bytes(contents.state(signed)))
    subject = {delta.name: (digest := hash_file(delta))}
    results = state_results(read, subject, read_verdict(report, read))
    stated = [state_provenance(read, subject), results, state_bom(read, delta.name, digest)]
    lines = b"".join(signer.line(statement.to_bytes(one)) for one in stated)
    with guard_writes(file):
        replace_file(beside, lines)
        replace_file(file, sealed)
    return Signature((file, beside), signed, signer.fingerprint, signer.kind)


def _left_out(path: Path, delta: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    """What is not signed in a folder: signatures and statements, which are signed each, and what belongs to git."""
    if not path.is_dir():
        return ()
    own = [file.relative_to(path).as_posix() for file in files if file.is_relative_to(path)]
    return tuple(dict.fromkeys((*own, OF_FOLDER, delta.name + ENDING, delta.name + STATED, *GIT)))
