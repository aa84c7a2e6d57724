"""The detector that a manifest names: what is wrong with it, and itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.backends.detectors.kind import DetectorRequest
from editc.backends.detectors.lookup import detector_kind, identity
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import ImageCheck, Manifest
from editc.core.pointing import pointing_at
from editc.core.ports import Detector
from editc.formats.models import paths
from editc.passes.images.painting import pictures
from editc.registry.detectors import DETECTORS


def check_detector(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """What is wrong with the detector that `verify.images` names, nothing opened: E134 to E137, and E504 for concepts
    that it will not know."""
    check = manifest.images
    if check is None or check.detector not in DETECTORS.names():
        return ()
    kind, asked = detector_kind(check.detector), _asked_of(manifest, check)
    if kind.runs_code and check.options.foreign:
        return (_refuse_foreign_code(check, manifest),)
    here = f"; or say where it is here: `--detector '{{{check.detector}: {kind.place}}}'`" * check.options.foreign
    found = tuple(
        Diagnostic(one.code, one.message, check.options.at(one.field), manifest.source, help=one.help + here)
        for one in kind.faults(asked)
    )
    return found or pictures.unknown_concepts(manifest, kind.knows(asked))


def _refuse_foreign_code(check: ImageCheck, manifest: Manifest) -> Diagnostic:
    where = f"{check.options.place}:{check.options.member}"
    return Diagnostic(
        "E137",
        f"this delta has its pictures judged by code, `{where}`, which does not run unasked",
        check.options.at("place"),
        manifest.source,
        help=f"read that file, then name it: `--detector python:{where}`; or `--detector none` to judge nothing",
    )


def _asked_of(manifest: Manifest, check: ImageCheck) -> DetectorRequest:
    """The manifest's words, and where its place leads: relative to the manifest first, then to where the command runs,
    then in the hub's cache."""
    judged = [name for _, _, name in pictures.detector_concepts(manifest)]
    targets = [name for edit in manifest.image_edits for name in (edit.to or "", *(name for name, _ in edit.toward))]
    concepts = tuple(dict.fromkeys((*judged, *manifest.preserve.concepts)))
    return DetectorRequest(check.options, _detector_place(manifest, check), concepts, tuple(filter(None, targets)))


def _detector_place(manifest: Manifest, check: ImageCheck) -> Path | None:
    given = check.options.place
    if not given:
        return None
    beside = Path(manifest.source.name).parent / given
    if beside.exists():
        return beside
    try:
        return paths.find_model(given)
    except EditcError:  # `check_detector` says that nothing is there
        return beside


def open_detector(manifest: Manifest, check: ImageCheck) -> tuple[Detector | None, Mapping[str, Any]]:
    """The detector that `verify.images` names, None where nobody is to judge the pictures, and how to tell it from
    another. E504 for concepts that it does not know."""
    asked = _asked_of(manifest, check)
    with pointing_at(manifest, "place", check.options):
        detector = detector_kind(check.detector).open(asked)
        if detector is None:
            return None, {}
    pictures.refuse_unknown(manifest, detector)
    return detector, identity(check.detector, asked)
