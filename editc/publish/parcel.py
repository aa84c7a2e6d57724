"""What travels: a delta with its evidence, and nothing else of the folder that it lies in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.formats.containers.canonical import strict_json
from editc.formats.exports.read import read_delta
from editc.publish.listing import EVIDENCE, Entry, Listing, Role, checked_listing
from editc.publish.names import check_name
from editc.registry.formats import FORMATS

CARD = "README.md"
"""The name of the model card, as the hub reads it."""
MANIFEST = "manifest.yaml"
"""The name of the manifest that was built. Its text is in the delta."""
WHOLE = ("checkpoint",)
"""Formats that hold a whole model. They do not travel: the delta is there so that the model need not."""


@dataclass(frozen=True)
class Item:
    """One file that travels."""

    name: str
    """Its path within the folder, with `/`."""
    role: Role
    """What it is."""
    path: Path | None = None
    """Where its bytes are. None where `data` has them."""
    data: bytes = b""
    """Its bytes, where `path` is None."""

    def read(self) -> bytes:
        """The bytes. Raises E958 for a link, E610 for what cannot be read."""
        return self.data if self.path is None else _read_regular(self.path)


@dataclass(frozen=True)
class Build:
    """A delta on this disk, and what may lie beside it."""

    delta: Path
    """The file that holds the delta."""
    report: Path | None = None
    """report.json of the build. None for a delta that is published alone."""
    page: Path | None = None
    """report.html of the build."""
    signature: Path | None = None
    """Where the signature of the delta would lie."""
    statements: Path | None = None
    """Where further signed statements about the delta would lie."""
    bom: Path | None = None
    """Where a bill of materials of the delta would lie."""
    folder_signature: Path | None = None
    """The signature of the whole folder. None where it is not signed."""
    signed: frozenset[str] = frozenset()
    """The files that the folder's signature is over, as paths within the folder."""


@dataclass(frozen=True)
class Parcel:
    """Everything that is published at once."""

    delta: Delta
    """The delta."""
    report: Mapping[str, Any]
    """report.json; empty for a delta that is published alone."""
    items: tuple[Item, ...]
    """The files."""

    def role(self, role: Role) -> tuple[Item, ...]:
        """The files with a role."""
        return tuple(item for item in self.items if item.role == role)

    def listing(self) -> Listing:
        """The listing of the files. Raises E956 and E957 for names that cannot be published."""
        entries = []
        for item in self.items:
            data = item.read()
            entries.append(Entry(check_name(item.name, item.name), item.role, len(data), sha256(data).hexdigest()))
        return checked_listing(self.delta.delta_id, entries, "")


def collect(build: Build) -> Parcel:
    """Find what travels with a delta. Raises E952 for a report of another delta, E958 for links, and what reading the
    delta raises."""
    if build.delta.is_dir():
        raise _apart("this is not the folder of a build", build.delta)
    delta = read_delta(build.delta)
    report = _read_report(build.report, delta) if build.report else {}
    items = [Item(build.delta.name, "delta", build.delta), *_beside(build, report)]
    if not any(item.name == MANIFEST for item in items) and delta.manifest and not build.signed:
        items.append(Item(MANIFEST, "manifest", data=delta.manifest.encode()))
    return Parcel(delta, report, tuple(items))


def _beside(build: Build, report: Mapping[str, Any]) -> Iterator[Item]:
    """The files beside the delta that belong to it."""
    folder = build.delta.parent
    evidence: dict[Role, Path | None] = {"signature": build.signature, "statement": build.statements, "bom": build.bom}
    for role, path in evidence.items():
        if path is not None:
            yield from _present(path.parent, path.name, role)
    if build.report is None or build.page is None:
        return
    if build.folder_signature is not None:
        yield Item(build.folder_signature.name, "signature", build.folder_signature)
    yield Item(build.report.name, "report", build.report)
    yield from _present(folder, build.page.name, "page")
    yield from _present(folder, CARD, "card")
    for export in _export_files(report):
        yield from _present(folder, export, "export")


def _present(folder: Path, name: str, role: Role) -> Iterator[Item]:
    """The file, where it is there."""
    if os.path.lexists(folder / name):
        yield Item(name, role, folder / name)


def _export_files(report: Mapping[str, Any]) -> Iterator[str]:
    """The exports that the report lists, apart from whole models. Only names that editc itself gives are taken."""
    known = {form.output for name, form in FORMATS.each() if name not in ("safetensors", *WHOLE)}
    for export in rows(report.get("exports")):
        for file in export_names(export):
            if PurePosixPath(file).parts[:1] and PurePosixPath(file).parts[0] in known:
                yield file


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list of a report; empty for anything else. A report may come from anybody."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list | tuple) else []


def export_names(export: Mapping[str, Any]) -> list[str]:
    """The files of an export in a report."""
    files = export.get("files")
    return [file for file in files if isinstance(file, str)] if isinstance(files, list) else []


def _read_report(path: Path, delta: Delta) -> Mapping[str, Any]:
    """report.json. Raises E952 unless it is the report of this delta."""
    try:
        report = strict_json(_read_regular(path).decode("utf-8"))
    except ValueError as error:
        raise _apart(f"the report is not JSON: {str(error)[:120]}", path) from error
    if not isinstance(report, dict) or report.get("delta_id") != delta.delta_id:
        raise _apart("the report is not that of the delta beside it", path)
    return report


def check_signed_folder(parcel: Parcel, build: Build) -> None:
    """Raises E952 where the signature of the whole folder is over other files than those that travel: the receiver
    could not check it."""
    if build.folder_signature is not None:
        travels = {one.name for one in parcel.items if one.role not in EVIDENCE or one.name in build.signed}
        if build.signed != travels:
            names = ", ".join(sorted(build.signed ^ travels)[:4])
            place = build.folder_signature
            raise _apart(f"{place.name} is over other files than those that travel: {names}", place)


def _apart(why: str, path: Path) -> EditcError:
    """E952: files that do not belong together."""
    help_text = "build again; or, for a signature, write the card with `editc card`, then sign the folder or the delta"
    return fail("E952", f"this cannot be published: {why}", place=str(path), help=help_text)


def _read_regular(path: Path) -> bytes:
    """The bytes of a regular file that is no link. Raises E958 and E610."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read()
    except OSError as error:
        if path.is_symlink():
            raise link_error(path) from error
        raise fail("E610", f"the file cannot be read: {error.strerror}", place=str(path)) from error
    raise fail("E610", "this is not a regular file", place=str(path), help="give a file, not a folder or a device")


def link_error(path: Path) -> EditcError:
    """E958."""
    message = "this is a link, and what travels must be the file itself"
    return fail("E958", message, place=str(path), help="put a copy of the file in its place")
