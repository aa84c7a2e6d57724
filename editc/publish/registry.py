"""Publish to an OCI registry, and pull from one, by the package `oras`: it speaks the protocol and logs in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from editc.core.diagnostics import fail
from editc.libraries.extras import install_command, missing_packages
from editc.publish.fetch import PIECE, Stream
from editc.publish.image import EVIDENCE_TYPES, INDEX_TYPE, MANIFEST_TYPE, Blob, parse_image
from editc.publish.layout import check_manifest, write_layout
from editc.publish.listing import MOST_FILES, Entry, Listing, damaged, is_sha256
from editc.publish.listing import parse_object as parse_json
from editc.publish.parcel import Parcel
from editc.publish.places import RegistryPlace
from editc.publish.session import Session


@dataclass(frozen=True)
class Registry:
    """A repository in a registry."""

    place: str
    """What the user typed."""
    where: RegistryPlace
    """The same, taken apart."""

    @cached_property
    def session(self) -> Session:
        """The connection. Raises E950 where the package is missing."""
        if missing_packages("oras"):
            raise fail("E950", "registries need oras, which is not installed", help=install_command("oci"))
        return Session(self.where)

    def push(self, parcel: Parcel, title: str) -> tuple[Listing, str]:
        """Publish a parcel; what the registry has already is not sent again. Returns the files and the digest.

        The tag comes last, so that nobody who asks for it finds the delta without its signature.
        """
        with TemporaryDirectory(prefix="editc-") as folder:
            listing, image = write_layout(parcel, Path(folder) / "layout", self.where.tag, title)
            blobs = Path(folder) / "layout" / "blobs" / "sha256"
            for digest in {entry.sha256: entry for entry in listing.entries} | {
                one.sha256: one for one in image.configs
            }:
                self.session.send_blob(blobs / digest, digest)
        self.session.send_manifest(image.manifest.data, image.manifest.digest)
        refused = [row for row in image.referrers if not self.session.send_manifest(row[0].data, row[0].digest)]
        if refused:
            self._list_referrers(image.manifest, refused)
        self.session.send_manifest(image.manifest.data, self.where.tag)
        return listing, image.manifest.digest

    def _list_referrers(self, manifest: Blob, referrers: list[tuple[Blob, str]]) -> None:
        """Add referrers to the tag that lists them, for a registry that keeps no such list itself."""
        tag = fallback_tag(manifest.digest)
        fresh = [one.described(artifactType=kind) for one, kind in referrers]
        found = self.session.manifest(tag, INDEX_TYPE)
        kept = _rows(parse_json(found, "the list of referrers", self.place), self.place) if found else []
        kept = [row for row in kept if row.get("digest") not in {one["digest"] for one in fresh}]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*kept, *fresh]}
        self.session.send_manifest(json.dumps(index).encode(), tag, INDEX_TYPE)

    @cached_property
    def _manifest(self) -> bytes:
        """The manifest of the image. Raises E960 where there is none, and E961 for another than was asked for."""
        asked = self.where.digest or self.where.tag
        data = self.session.manifest(asked, MANIFEST_TYPE)
        if data is None:
            message = f"the repository has no image '{asked}'"
            raise fail("E960", message, place=self.place, help="check the name, the tag, and that you are logged in")
        if self.where.digest:
            check_manifest(data, self.where.digest, self.place)
        return data

    def listing(self) -> Listing:
        """The files of the image and of its referrers."""
        digest = Blob(MANIFEST_TYPE, 0, _sha256(self._manifest)).digest
        data = self.session.referrers(digest) or self.session.manifest(fallback_tag(digest), INDEX_TYPE)
        rows = _rows(parse_json(data, "the list of referrers", self.place), self.place) if data else []
        wanted = [row for row in rows if row.get("artifactType") in EVIDENCE_TYPES.values()]
        return parse_image(self._manifest, [self._referrer(row) for row in wanted], self.place)

    def _referrer(self, row: Mapping[str, Any]) -> bytes:
        """The manifest of a referrer, checked."""
        digest = str(row.get("digest", ""))
        if not is_sha256(digest.removeprefix("sha256:")):
            raise damaged("its list of referrers has one without a digest", self.place)
        data = self.session.manifest(digest, MANIFEST_TYPE)
        if data is None:
            raise damaged("its list of referrers has one that is not there", self.place)
        check_manifest(data, digest, self.place)
        return data

    @contextmanager
    def open(self, entry: Entry, start: int) -> Iterator[Stream]:
        """Open a blob at a position."""
        with self.session.blob(f"sha256:{entry.sha256}", start) as (begins, pieces):
            yield begins, pieces(PIECE)


def fallback_tag(digest: str) -> str:
    """The tag under which a registry without a list of referrers keeps one (OCI Distribution 1.1)."""
    return digest.replace(":", "-")


def _rows(index: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    """The manifests in an index. Raises E953."""
    rows = index.get("manifests")
    if not isinstance(rows, list) or len(rows) > MOST_FILES or not all(isinstance(row, dict) for row in rows):
        raise damaged("its list of referrers is not one of manifests", place)
    return rows


def _sha256(data: bytes) -> str:
    """The sha256 in hexadecimal digits."""
    return sha256(data).hexdigest()
