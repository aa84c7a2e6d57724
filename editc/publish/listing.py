"""What is published, file by file: the name, size, sha256 and role of each. A folder and a hub repository carry it as a
file; in an OCI registry the image's manifest says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import strict_json
from editc.publish.names import check_name, check_names

Role: TypeAlias = Literal["delta", "export", "manifest", "report", "page", "card", "signature", "statement", "bom"]
"""What a published file is: the delta; an export of it; the manifest that was built; report.json; report.html; the
model card; a signature; signed statements about the delta; a bill of materials."""
ROLES: tuple[Role, ...] = get_args(Role)
"""All roles, in the order in which files are listed."""
EVIDENCE: tuple[Role, ...] = ("signature", "statement", "bom")
"""Roles of files that say something about the others. An OCI registry holds them as referrers."""
LISTING = "editc-files.json"
"""The name of the listing in a folder and in a hub repository."""
VERSION = 1
"""The version of the listing."""
MOST_BYTES = 1 << 20
"""The largest listing that is read."""
MOST_FILES = 256
"""How many files a listing has at most."""
SHA256 = re.compile(r"[0-9a-f]{64}")
"""A sha256 as listings write it."""
MOST_SIZE = 1 << 40
"""The largest size of a file that a listing may give, in bytes: 1 TiB. A delta has some megabytes."""


@dataclass(frozen=True)
class Entry:
    """One published file."""

    name: str
    """Its path within the folder, with `/`."""
    role: Role
    """What it is."""
    size: int
    """Its size in bytes."""
    sha256: str
    """The sha256 of its bytes, in hexadecimal digits."""


@dataclass(frozen=True)
class Listing:
    """All files of one publication."""

    delta_id: str
    """The `delta_id` of the delta."""
    entries: tuple[Entry, ...]
    """Its files, the delta first."""

    @property
    def delta(self) -> Entry:
        """The delta."""
        return next(entry for entry in self.entries if entry.role == "delta")

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.entries)


def to_bytes(listing: Listing) -> bytes:
    """The listing as a file, the same bytes for the same listing."""
    files = [{"name": one.name, "role": one.role, "size": one.size, "sha256": one.sha256} for one in listing.entries]
    whole = {"editc-files": VERSION, "delta_id": listing.delta_id, "files": files}
    return (json.dumps(whole, indent=1) + "\n").encode()


def parse_listing(data: bytes, place: str) -> Listing:
    """The listing in these bytes. Raises E953, E956 and E957."""
    value = parse_object(data, "the listing", place)
    if value.get("editc-files") != VERSION:
        raise damaged(f"`editc-files` is not {VERSION}: a newer editc may have written it", place)
    files = value.get("files")
    if not isinstance(files, list):
        raise damaged("its listing has no `files`", place)
    entries = [parse_entry(one, place) for one in files]
    return checked_listing(str(value.get("delta_id", "")), entries, place)


def parse_object(data: bytes, what: str, place: str) -> Mapping[str, Any]:
    """The JSON object in these bytes; errors call it `what`. Raises E953."""
    try:
        value = strict_json(data.decode("utf-8"))
    except ValueError as error:
        raise damaged(f"{what} is not JSON: {str(error)[:120]}", place) from error
    if not isinstance(value, dict):
        raise damaged(f"{what} is not a JSON object", place)
    return value


def parse_entry(value: Any, place: str) -> Entry:
    """One file of a listing. Raises E953, E956 and E957."""
    if not isinstance(value, dict):
        raise damaged("its listing has a file that is not a JSON object", place)
    name = check_name(value.get("name"), place)
    role, size, digest = value.get("role"), value.get("size"), value.get("sha256")
    if role not in ROLES:
        raise damaged(f"the role of '{name}' is not one that this editc knows", place)
    if type(size) is not int or not 0 <= size <= MOST_SIZE:
        raise damaged(f"the size of '{name}' is not a number of bytes", place)
    if not is_sha256(digest):
        raise damaged(f"'{name}' has no sha256", place)
    return Entry(name, cast(Role, role), size, str(digest))


def checked_listing(delta_id: str, entries: Sequence[Entry], place: str) -> Listing:
    """The listing of these files. Raises E953 unless one of them is the delta, and E957 for names that collide."""
    if not is_sha256(delta_id):
        raise damaged("it gives no delta_id", place)
    if len(entries) > MOST_FILES:
        raise damaged(f"it lists {len(entries)} files; {MOST_FILES} is the limit", place)
    if sum(entry.role == "delta" for entry in entries) != 1:
        raise damaged("it does not list exactly one delta", place)
    check_names([entry.name for entry in entries], place)
    ordered = sorted(entries, key=lambda entry: (ROLES.index(entry.role), entry.name))
    return Listing(delta_id, tuple(ordered))


def is_sha256(value: object) -> bool:
    """True for 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and bool(SHA256.fullmatch(value))


def damaged(why: str, place: str) -> EditcError:
    """E953: what lies there was not published by editc, or was changed."""
    help_text = "`editc push` writes what `editc pull` reads; ask whoever published it"
    return fail("E953", f"this is nothing that editc published: {why}", place=place, help=help_text)
