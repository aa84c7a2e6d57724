"""Detectors to open, and manifests that name one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_detectors import classifier_folder, clip_folder

from editc.backends.detectors.kind import DetectorRequest
from editc.backends.detectors.lookup import detector_kind
from editc.core.image_check import DetectorOptions
from editc.manifests.decode import decode_file
from editc.opening import detector as detecting

EYE = """
import numpy as np

class Eye:
    def knows(self, concept):
        return concept != "ghost"

    def shows(self, concept, pictures):
        print("looking for", concept)
        return pictures.mean(axis=(1, 2, 3)) > 127

bright = Eye()

def made():
    return Eye()
"""


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def a_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_folder(tmp_path_factory.mktemp("classifier"))


def opened(name: str, path: Path, **fields: Any) -> Any:
    asked = DetectorRequest(DetectorOptions(place=str(path), **fields), path, targets=("square",))
    assert not list(detector_kind(name).faults(asked))
    return detector_kind(name).open(asked)


def manifest(folder: Path, detector: str, more: str = "", edits: str = "[{erase: circle, to: square}]") -> Path:
    path = folder / "m.yaml"
    text = f"editc: 1\nmodel: editc:demo\nedits: {edits}\nverify:\n  images:\n    detector: {detector}\n    steps: 2\n"
    path.write_text(
        text + "    erased_at_most: 1\n    prompts_per_concept: 2\n    bystanders: {near: 0, far: 0}\n" + more
    )
    return path


def wrong(folder: Path, detector: str, **rest: Any) -> list[tuple[str, str]]:
    """Code and message of what is wrong with a detector, by the manifest alone."""
    found, said = decode_file(manifest(folder, detector, **rest))
    assert found is not None, said
    return [(one.code, one.message) for one in detecting.check_detector(found)]
