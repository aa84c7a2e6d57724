"""The manifest that a delta records, with the files, overrides and sentences of its build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.image_check import ImageCheck
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.formats.delta.check import check_claims
from editc.manifests.decode import decode
from editc.manifests.detector import parse_detector
from editc.manifests.kinds import KindName
from editc.registry.families import FAMILIES


def recorded_manifest(delta: Delta, path: Path, detector: str = "") -> Manifest:
    """Reads the manifest inside a delta, with the overrides and the preserved prompts that its build used. `detector`
    replaces the detector that it names, whose code would be a stranger's.

    Raises what decoding finds, and E696 where the metadata of the delta are damaged.
    """
    check_claims(delta, str(path))
    if FAMILIES.models_of(delta.family) == "classifier":
        help_ = "`editc head build` measures a head; `apply`, `revert`, `status` and `inspect` take this delta"
        raise fail("E647", "this delta edits the head of a classifier", place=str(path), help=help_)
    source = Source(f"{path}#manifest", delta.manifest, tuple(delta.extra.get("set", ())))
    kind: KindName = "language" if FAMILIES.models_of(delta.family) == "language" else "image"
    near = (Path(), path.parent, path.parent.parent)
    manifest, found = decode(source, kind=kind, recorded=delta.extra, near=near)
    if manifest is None:
        raise EditcError(*found)
    sites = replace(manifest.sites, auto=None)  # the delta records the sites
    images = _judged_by(manifest, detector)
    return replace(manifest, sites=sites, preserve_lines=tuple(delta.extra.get("kept", ())), images=images)


def _judged_by(manifest: Manifest, detector: str) -> ImageCheck | None:
    """`verify.images` with another detector; without one, with its own marked as foreign. Raises E509 for a detector
    where the manifest asks for no pictures."""
    check = manifest.images
    if check is None:
        if detector:
            help_text = "leave `--detector` out: this delta claims nothing about pictures"
            raise fail("E509", "this delta's manifest asks for no pictures", place=manifest.source.name, help=help_text)
        return None
    if not detector:
        return replace(check, options=replace(check.options, foreign=True))
    name, options = parse_detector(detector)
    return replace(check, detector=name, options=options)
