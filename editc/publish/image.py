"""A publication as an OCI image with the media types of ModelPack: the JSON of its config and manifests, and back.
https://github.com/modelpack/model-spec"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from editc.publish.listing import EVIDENCE, MOST_FILES, Entry, Listing, Role, checked_listing, damaged, parse_entry
from editc.publish.listing import parse_object as parse_json
from editc.publish.parcel import Parcel

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
"""The media type of a manifest."""
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
"""The media type of an index: a list of manifests."""
ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
"""The type of the artifact: a model of ModelPack."""
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
"""The media type of a model's description."""
WEIGHT, SETTING, DOC = (f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc"))
"""The media types of layers: weights, files that say how to read weights, documents; each a file as it is."""
LAYERS: Mapping[Role, str] = {"delta": WEIGHT, "export": WEIGHT, "manifest": SETTING}
"""Role -> the media type of its layer. All others are documents; so is an export's JSON a setting."""
EVIDENCE_TYPES: Mapping[Role, str] = {
    "signature": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "statement": "application/vnd.in-toto+dsse",
    "bom": "application/vnd.cyclonedx+json",
}
"""Role -> the type of its referrer."""
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
"""The media type of `{}`, the config of a referrer."""
FILE_PATH = "org.cncf.model.filepath"
"""The annotation of a layer with the path of its file."""
TITLE = "org.opencontainers.image.title"
"""The same for tools that know OCI alone, such as `oras pull`."""
ROLE = "vnd.editc.role"
"""The annotation of a layer with its role."""
DELTA_ID = "vnd.editc.delta-id"
"""The annotation of the image with the `delta_id`."""
MOST_BYTES = 4 << 20
"""The largest manifest that is read: registries accept no larger one."""


@dataclass(frozen=True)
class Blob:
    """Some bytes that an image holds."""

    kind: str
    """Their media type."""
    size: int
    """How many they are."""
    sha256: str
    """Their sha256, in hexadecimal digits."""
    data: bytes = b""
    """The bytes, for manifests and configs. Empty for files."""

    @property
    def digest(self) -> str:
        """The sha256 as OCI writes it."""
        return f"sha256:{self.sha256}"

    def described(self, **more: Any) -> dict[str, Any]:
        """The descriptor."""
        return {"mediaType": self.kind, "digest": self.digest, "size": self.size, **more}


@dataclass(frozen=True)
class Image:
    """A publication as an image, with its referrers."""

    manifest: Blob
    """The manifest of the image."""
    configs: tuple[Blob, ...]
    """The config of the image, and the empty one of referrers where there are any."""
    referrers: tuple[tuple[Blob, str], ...]
    """The manifest of each referrer, with its type."""


def as_image(parcel: Parcel, listing: Listing, title: str) -> Image:
    """The image of a parcel: the same bytes for the same files."""
    layers = [_layer(entry) for entry in listing.entries if entry.role not in EVIDENCE]
    config = _json_blob(CONFIG_TYPE, _config(parcel, layers, title))
    notes = {DELTA_ID: listing.delta_id, TITLE: title}
    manifest = _json_blob(MANIFEST_TYPE, _manifest(ARTIFACT, config, layers, annotations=notes))
    empty = _blob(EMPTY_TYPE, b"{}")
    referrers = tuple(
        (_json_blob(MANIFEST_TYPE, _manifest(kind, empty, [_layer(entry)], subject=manifest.described())), kind)
        for entry in listing.entries
        if (kind := EVIDENCE_TYPES.get(entry.role))
    )
    return Image(manifest, (config, empty) if referrers else (config,), referrers)


def parse_image(manifest: bytes, referrers: Sequence[bytes], place: str) -> Listing:
    """The listing that an image and its referrers make. Raises E953, E956 and E957."""
    whole = parse_json(manifest, "the manifest", place)
    if whole.get("artifactType") != ARTIFACT:
        raise damaged("the image is no model of ModelPack", place)
    entries = _entries(whole, place)
    subject = {"digest": _blob(MANIFEST_TYPE, manifest).digest, "size": len(manifest)}
    for data in referrers:
        entries += _referred(parse_json(data, "a referrer", place), subject, place)
    notes = whole.get("annotations")
    return checked_listing(str(notes.get(DELTA_ID, "")) if isinstance(notes, dict) else "", entries, place)


def _entries(manifest: Mapping[str, Any], place: str) -> list[Entry]:
    """The files in the layers of a manifest."""
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > MOST_FILES:
        raise damaged(f"its manifest has no list of at most {MOST_FILES} layers", place)
    return [_entry(layer, place) for layer in layers]


def _referred(manifest: Mapping[str, Any], subject: Mapping[str, Any], place: str) -> list[Entry]:
    """The evidence in a referrer. Raises E953 for one of another image, or with files of other roles."""
    said = manifest.get("subject")
    if not isinstance(said, dict) or any(said.get(name) != value for name, value in subject.items()):
        raise damaged("a referrer is of another image", place)
    entries = _entries(manifest, place)
    if any(entry.role not in EVIDENCE for entry in entries):
        raise damaged("a referrer holds files that are no evidence", place)
    return entries


def _entry(layer: Any, place: str) -> Entry:
    """The file of a layer."""
    notes = layer.get("annotations") if isinstance(layer, dict) else None
    if not isinstance(layer, dict) or not isinstance(notes, dict):
        raise damaged("a layer has no annotations", place)
    kind, _, digest = str(layer.get("digest", "")).partition(":")
    named = {"name": notes.get(FILE_PATH), "role": notes.get(ROLE), "size": layer.get("size")}
    return parse_entry({**named, "sha256": digest if kind == "sha256" else ""}, place)


def _layer(entry: Entry) -> dict[str, Any]:
    """The descriptor of a file."""
    kind = EVIDENCE_TYPES.get(entry.role) or LAYERS.get(entry.role, DOC)
    if entry.role == "export" and entry.name.endswith(".json"):
        kind = SETTING
    notes = {FILE_PATH: entry.name, TITLE: entry.name, ROLE: entry.role}
    return Blob(kind, entry.size, entry.sha256).described(annotations=notes)


def _manifest(artifact: str, config: Blob, layers: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A manifest."""
    head = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": artifact}
    return {**head, "config": config.described(), "layers": list(layers), **more}


def _config(parcel: Parcel, layers: Sequence[Mapping[str, Any]], title: str) -> dict[str, Any]:
    """The description of the model that ModelPack asks for. It has no time, so that the same files give the same
    image."""
    delta = parcel.delta
    about = {"family": delta.family, "name": title, "title": title, "version": delta.delta_id[:12]}
    return {
        "descriptor": about,
        "config": {"format": "safetensors"},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }


def _json_blob(kind: str, value: Mapping[str, Any]) -> Blob:
    """A JSON value as a blob."""
    return _blob(kind, json.dumps(value, separators=(",", ":")).encode())


def _blob(kind: str, data: bytes) -> Blob:
    """Bytes as a blob."""
    return Blob(kind, len(data), sha256(data).hexdigest(), data)
