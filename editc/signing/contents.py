"""What a signature of OpenSSF Model Signing is over: the sha256 of one file, or of every file in a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from editc.core.diagnostics import fail
from editc.signing.bundle import unread
from editc.signing.envelope import damaged
from editc.signing.statement import Statement, is_sha256

SIGNATURE = "https://model_signing/signature/v1.0"
"""The type of the predicate."""
ITSELF = "."
"""How the predicate names the file where one file alone is signed."""
GIT = (".git", ".gitattributes", ".github", ".gitignore")
"""What Model Signing leaves out of every folder."""


@dataclass(frozen=True)
class Contents:
    """The files that a signature is over."""

    name: str
    """The name of the file or folder, for people."""
    files: Mapping[str, str]
    """Path within the folder, with `/` -> sha256. For a single file: ITSELF -> sha256."""
    left_out: tuple[str, ...] = ()
    """Paths within the folder that do not count, with everything below them."""

    @property
    def digest(self) -> str:
        """The sha256 over the hashes of all files, in the order of their paths."""
        return _root(list(self.files.values()))


def contents_of(path: Path, left_out: Sequence[str] = (), links: bool = True) -> Contents:
    """Hash a file or every file of a folder. `links` False: refuse links in a folder, as Model Signing does. Raises
    E911."""
    name = path.name or path.resolve().name
    if not path.is_dir():
        return Contents(name, {ITSELF: hash_file(path)})
    found = {}
    for inner in sorted(_walk(path, left_out, links), key=lambda one: PurePosixPath(one).parts):
        found[inner] = hash_file(path / inner)
    return Contents(name, found, tuple(left_out))


def hash_file(path: Path) -> str:
    """The sha256 of a file. Raises E911 if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"it cannot be read: {error.strerror or error}"
        raise fail("E911", message, place=str(path), help="check the path and its permissions") from error


def state(contents: Contents) -> Statement:
    """The statement that a signature is over."""
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in contents.files.items()]
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(contents.left_out)}
    return Statement({contents.name: contents.digest}, SIGNATURE, {"serialization": how, "resources": resources})


def parse_contents(statement: Statement, place: str) -> Contents:
    """The files in a statement. Raises E903, and E910 for hashes that editc does not compute."""
    if statement.kind != SIGNATURE:
        raise unread(place, f"its statement is not of the type {SIGNATURE}")
    how, resources = statement.predicate.get("serialization"), statement.predicate.get("resources")
    if not isinstance(how, dict) or not isinstance(resources, list) or not resources:
        raise damaged(place, "its statement lists no files")
    if how.get("method") != "files" or how.get("hash_type") != "sha256":
        raise unread(place, "it is over pieces of files, or over hashes other than sha256")
    left_out = how.get("ignore_paths", [])
    if not isinstance(left_out, list) or not all(isinstance(one, str) for one in left_out):
        raise damaged(place, "its list of ignored paths is not one of texts")
    files = dict(_resource(one, place) for one in resources)
    if len(files) < len(resources) or [*statement.subjects.values()] != [_root(list(files.values()))]:
        raise damaged(place, "its files do not give the hash of its subject")
    return Contents(next(iter(statement.subjects)), files, tuple(left_out))


def differences(signed: Contents, here: Contents) -> Iterator[str]:
    """How the files here differ from those that were signed, a sentence each."""
    yield from (f"{name} is missing" for name in signed.files if name not in here.files)
    yield from (f"{name} was not there" for name in here.files if name not in signed.files)
    for name, digest in signed.files.items():
        if here.files.get(name, digest) != digest:
            what = "it" if name == ITSELF else name
            yield f"{what} has the sha256 {here.files[name][:12]}..., and {digest[:12]}... was signed"


def _walk(folder: Path, left_out: Sequence[str], links: bool) -> Iterator[str]:
    """The paths of all files within a folder. A link to a folder counts as a file, which then cannot be read."""
    out = {PurePosixPath(one).parts for one in left_out}

    def counts(parts: tuple[str, ...]) -> bool:
        return not any(parts[: len(one)] == one for one in out)

    for top, folders, files in os.walk(folder):
        here = Path(top).relative_to(folder).parts
        folders[:] = [name for name in folders if counts((*here, name))]
        linked = [name for name in folders if (Path(top) / name).is_symlink()]
        for name in (*files, *linked):
            if counts((*here, name)):
                if not links and (Path(top) / name).is_symlink():
                    message = "a link cannot be signed: it may lead somewhere else tomorrow"
                    raise fail("E911", message, place=str(Path(top) / name), help="put a copy of the file in its place")
                yield "/".join((*here, name))


def _resource(value: Any, place: str) -> tuple[str, str]:
    """Path and sha256 of one file in a statement. Raises E903."""
    name = value.get("name") if isinstance(value, dict) else None
    digest = value.get("digest") if isinstance(value, dict) else None
    inside = isinstance(name, str) and bool(name) and not {".."} & {*PurePosixPath(name).parts} and name[0] != "/"
    if not inside or value.get("algorithm") != "sha256" or not is_sha256(digest):
        raise damaged(place, "one of its files has no path within the folder, or no sha256")
    return str(name), str(digest)


def _root(digests: Sequence[str]) -> str:
    """The sha256 over these hashes, as bytes, one after the other."""
    return hashlib.sha256(b"".join(bytes.fromhex(one) for one in digests)).hexdigest()
