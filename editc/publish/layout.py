"""A publication as an OCI image layout on this disk: `oci-layout`, `index.json`, and every blob under its digest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.core.storage import disk
from editc.publish.fetch import PIECE, Stream
from editc.publish.folder import open_within, read_small
from editc.publish.image import INDEX_TYPE, MANIFEST_TYPE, MOST_BYTES, Image, as_image, parse_image
from editc.publish.listing import MOST_FILES, Entry, Listing, damaged, is_sha256
from editc.publish.listing import parse_object as parse_json
from editc.publish.parcel import Parcel
from editc.publish.replace import replace_folder

VERSION_FILE, INDEX = "oci-layout", "index.json"
"""The two files of a layout beside its blobs."""
VERSION = {"imageLayoutVersion": "1.0.0"}
"""What the first of them says."""
REF = "org.opencontainers.image.ref.name"
"""The annotation of a manifest in the index with its tag."""


def write_layout(parcel: Parcel, folder: Path, tag: str, title: str) -> tuple[Listing, Image]:
    """Write a parcel as a layout into a new folder, which is there whole or not at all. A layout that lies there is
    replaced. Raises E697, E632 and what `Parcel.listing` raises."""
    listing, folder = parcel.listing(), folder.absolute()
    image = as_image(parcel, listing, title)
    disk.check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / VERSION_FILE).is_file():
        message = "the result cannot be written there: the folder holds something else"
        raise fail("E697", message, place=str(folder), help="give a new folder, or empty this one")
    disk.make_parent(folder)
    with disk.guard_writes(folder):
        replace_folder(folder, lambda fresh: _write(parcel, listing, image, fresh, tag))
    return listing, image


def _write(parcel: Parcel, listing: Listing, image: Image, folder: Path, tag: str) -> None:
    """Write the blobs and then the two files."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    data = {item.name: item for item in parcel.items}
    found = {entry.sha256: data[entry.name].read() for entry in listing.entries}
    found |= {blob.sha256: blob.data for blob in (image.manifest, *image.configs, *(one for one, _ in image.referrers))}
    for name, content in found.items():
        disk.write_new(blobs / name, [content])
    disk.write_new(folder / VERSION_FILE, [json.dumps(VERSION).encode()])
    disk.write_new(folder / INDEX, [json.dumps(_index(image, tag)).encode()])


def _index(image: Image, tag: str) -> dict[str, Any]:
    """The index of the layout: the image under its tag, and its referrers."""
    manifests = [image.manifest.described(annotations={REF: tag})]
    manifests += [one.described(artifactType=kind) for one, kind in image.referrers]
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}


@dataclass(frozen=True)
class LayoutOrigin:
    """An image in a layout."""

    place: str
    """What the user typed."""
    folder: Path
    """The folder of the layout."""
    tag: str
    """The tag of the image."""

    def listing(self) -> Listing:
        """The files of the image. Raises E953, E956 to E958, E960, and E961 for a manifest whose digest is another."""
        version = self._json(VERSION_FILE)
        if version.get("imageLayoutVersion") != VERSION["imageLayoutVersion"]:
            raise damaged("it is not an OCI image layout of version 1.0.0", self.place)
        rows = self._json(INDEX).get("manifests")
        if not isinstance(rows, list) or len(rows) > MOST_FILES or not all(isinstance(row, dict) for row in rows):
            raise damaged("the index of the layout has no list of manifests", self.place)
        tagged = [row for row in rows if _tag(row) == self.tag]
        if len(tagged) != 1:
            message = f"the layout has {len(tagged)} images with the tag '{self.tag}'"
            tags = ", ".join(sorted({str(_tag(row))[:40] for row in rows} - {"None"})[:5])
            raise fail("E960", message, place=self.place, help=f"its tags are: {tags or 'none'}")
        manifest = self._manifest(tagged[0])
        others = [self._manifest(row) for row in rows if row is not tagged[0] and _tag(row) is None]
        subject = "sha256:" + sha256(manifest).hexdigest()
        return parse_image(manifest, [one for one in others if refers_to(one, subject, self.place)], self.place)

    @contextmanager
    def open(self, entry: Entry, start: int) -> Iterator[Stream]:
        """Open a blob at a position."""
        with open_within(self.folder, f"blobs/sha256/{entry.sha256}", self.place) as handle:
            os.lseek(handle, start, os.SEEK_SET)
            yield start, iter(lambda: os.read(handle, PIECE), b"")

    def _json(self, name: str) -> Mapping[str, Any]:
        """A JSON file of the layout."""
        return parse_json(read_small(self.folder, name, self.place, MOST_BYTES), f"'{name}'", self.place)

    def _manifest(self, row: Mapping[str, Any]) -> bytes:
        """The bytes of a manifest that the index lists, checked."""
        digest = str(row.get("digest", "")).removeprefix("sha256:")
        if not is_sha256(digest) or row.get("mediaType") != MANIFEST_TYPE:
            raise damaged("the index lists something that is not a manifest", self.place)
        data = read_small(self.folder, f"blobs/sha256/{digest}", self.place, MOST_BYTES)
        check_manifest(data, f"sha256:{digest}", self.place)
        return data


def check_manifest(data: bytes, digest: str, place: str) -> None:
    """Raises E961 unless a manifest has the digest by which it was asked for."""
    found = "sha256:" + sha256(data).hexdigest()
    if found != digest:
        raise digest_error(found, digest, place)


def digest_error(found: str, asked: str, place: str) -> EditcError:
    """E961."""
    notes = [f"its digest is {found}", f"it should be {asked}"]
    help_text = "do not use this source: the manifest says which files belong to the image"
    return fail("E961", "the image's manifest is another one", place=place, help=help_text, notes=notes)


def refers_to(manifest: bytes, digest: str, place: str) -> bool:
    """True for the manifest of a referrer of the image with this digest, with a type that editc writes."""
    subject = parse_json(manifest, "a manifest", place).get("subject")
    return isinstance(subject, dict) and subject.get("digest") == digest


def _tag(row: Mapping[str, Any]) -> str | None:
    """The tag of a manifest in an index. None where it has none."""
    notes = row.get("annotations")
    return notes.get(REF) if isinstance(notes, dict) else None
