"""Sign a delta, or the folder that it lies in, and state what it records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from editc.core.disk import guard_writes, replace_file
from editc.formats.exports.read import read_delta
from editc.signing import bundle, contents, envelope, statement
from editc.signing.bom import state_bom
from editc.signing.bundle import Bundle
from editc.signing.contents import GIT, Contents, hash_file
from editc.signing.keys import PrivateKey
from editc.signing.places import ENDING, OF_FOLDER, STATED, signature_place, statements_place
from editc.signing.provenance import state_provenance
from editc.signing.results import read_verdict, state_results
from editc.signing.stated import to_lines


@dataclass(frozen=True)
class Signature:
    """What `sign` made."""

    files: tuple[Path, ...]
    """The file of the signature, then that of the statements."""
    contents: Contents
    """What is signed."""
    fingerprint: str
    """The fingerprint of the key."""

    @property
    def file(self) -> Path:
        """The file of the signature."""
        return self.files[0]


def sign(path: Path, delta: Path, report: Path, key: PrivateKey, out: Path | None = None) -> Signature:
    """Sign a file or folder, in which `delta` is the file that holds the delta, and state what the delta and its
    `report` record. Writes `out`; None: as `signature_place` says. Each file is written whole or not at all.

    Raises what reading the delta raises, E911 for files that cannot be signed, E632.
    """
    read = read_delta(delta)
    file, beside = out or signature_place(path), statements_place(delta, out)
    signed = contents.contents_of(path, _left_out(path, delta, (file, beside)), links=False)
    sealed = envelope.seal(statement.to_bytes(contents.state(signed)), key)
    subject = {delta.name: (digest := hash_file(delta))}
    results = state_results(read, subject, read_verdict(report, read))
    stated = [state_provenance(read, subject), results, state_bom(read, delta.name, digest)]
    with guard_writes(file):
        replace_file(beside, to_lines(stated, key))
        replace_file(file, bundle.to_bytes(Bundle(key.public.fingerprint, sealed)))
    return Signature((file, beside), signed, key.public.fingerprint)


def _left_out(path: Path, delta: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    """What is not signed in a folder: signatures and statements, which are signed each, and what belongs to git."""
    if not path.is_dir():
        return ()
    own = [file.relative_to(path).as_posix() for file in files if file.is_relative_to(path)]
    return tuple(dict.fromkeys((*own, OF_FOLDER, delta.name + ENDING, delta.name + STATED, *GIT)))
