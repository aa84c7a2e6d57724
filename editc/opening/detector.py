"""The detector that a manifest names: what is wrong with it, and how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.backends.detectors.kind import DetectorRequest
from editc.backends.detectors.labels import LabelledDetector, by_label, labels_of
from editc.backends.detectors.lookup import detector_kind, identity
from editc.core.diagnostics import Diagnostic, EditcError, pointing_at
from editc.core.image_check import ImageCheck
from editc.core.manifest import Manifest
from editc.core.ports import Detector
from editc.formats.models import paths
from editc.passes.images.painting import pictures
from editc.registry.detectors import DETECTORS


def check_detector(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """What is wrong with the detector that `verify.images` names, without opening it: E134 to E137, and E504 for
    concepts that it cannot judge. Empty where nothing is wrong."""
    check = manifest.images
    if check is None or check.detector not in DETECTORS.names():
        return ()
    kind, asked = detector_kind(check.detector), _asked_of(manifest, check)
    if kind.runs_code and check.options.foreign:
        return (_refuse_foreign_code(check, manifest),)
    here = (
        f"; or give its place on this machine: `--detector '{{{check.detector}: {kind.place}}}'`"
        * check.options.foreign
    )
    found = tuple(
        Diagnostic(one.code, one.message, check.options.at(one.field), manifest.source, help=one.help + here)
        for one in kind.faults(asked)
    )
    return found or pictures.unknown_concepts(manifest, by_label(kind.knows(asked), labels_of(manifest.image_edits)))


def _refuse_foreign_code(check: ImageCheck, manifest: Manifest) -> Diagnostic:
    """E137: a delta names code as its detector."""
    where = f"{check.options.place}:{check.options.member}"
    return Diagnostic(
        "E137",
        f"this delta names Python code as its detector, `{where}`; editc does not run it unasked",
        check.options.at("place"),
        manifest.source,
        help=f"read that file, then give `--detector python:{where}`; or give `--detector none`",
    )


def _asked_of(manifest: Manifest, check: ImageCheck) -> DetectorRequest:
    """The manifest's words, and where its place leads: relative to the manifest first, then to where the command runs,
    then in the hub's cache."""
    labels = labels_of(manifest.image_edits)
    judged = [labels.get(name, name) for _, _, name in pictures.detector_concepts(manifest)]
    targets = [name for edit in manifest.image_edits for name in (edit.to or "", *(name for name, _ in edit.toward))]
    concepts = tuple(dict.fromkeys((*judged, *manifest.preserve.concepts)))
    return DetectorRequest(check.options, _detector_place(manifest, check), concepts, tuple(filter(None, targets)))


def _detector_place(manifest: Manifest, check: ImageCheck) -> Path | None:
    """Where the detector's `place` leads: relative to the manifest, else to the working directory, else a hub id in the
    local cache. None where the manifest gives no place."""
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
    """Opens the detector that `verify.images` names. Returns it with what tells it from another; (None, {}) where
    nothing is judged. Raises E504 for concepts that it cannot judge."""
    asked = _asked_of(manifest, check)
    with pointing_at(manifest, "place", check.options):
        detector = detector_kind(check.detector).open(asked)
        if detector is None:
            return None, {}
    if labels := labels_of(manifest.image_edits):
        detector = LabelledDetector(detector, labels)
    pictures.refuse_unknown(manifest, detector)
    return detector, identity(check.detector, asked)
