"""`label` names what a detector looks for in pictures of a concept that has another name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from editc import api
from editc.backends.detectors.labels import LabelledDetector
from editc.core.places import Source
from editc.manifests.decode import decode
from editc.opening.detector import open_detector

MANIFEST = """\
editc: 1
model: editc:demo
edits:
  - erase: poster
    to: picture
    label: {label}
    contexts: ["a {{}} of a star", "a {{}} of a fish"]
verify:
  images:
    {{detector: editc:demo, prompts_per_concept: 8, steps: 8, guidance: 3, erased_at_most: 0.2,
     bystanders: {{near: 0, far: 0}}}}
"""


def codes(text: str, tmp_path: Path) -> list[tuple[str, str]]:
    (tmp_path / "m.yaml").write_text(text)
    return [(one.code, one.message) for one in api.check(tmp_path / "m.yaml").diagnostics]


def test_a_concept_is_judged_by_its_label() -> None:
    manifest, _ = decode(Source("m.yaml", MANIFEST.format(label="stamp")))
    assert manifest is not None and manifest.images is not None
    detector, _ = open_detector(manifest, manifest.images)
    assert isinstance(detector, LabelledDetector)
    pictures = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3)).astype(np.uint8)
    assert detector.knows("poster") and not detector.inner.knows("poster")
    np.testing.assert_array_equal(detector.shows("poster", pictures), detector.inner.shows("stamp", pictures))
    np.testing.assert_array_equal(detector.shows("star", pictures), detector.inner.shows("star", pictures))
    assert detector.concepts() == detector.inner.concepts()


def test_check_asks_the_detector_about_the_label(tmp_path: Path) -> None:
    assert codes(MANIFEST.format(label="stamp"), tmp_path) == []
    assert codes(MANIFEST.format(label="logo"), tmp_path) == [("E504", "the detector editc:demo does not know `logo`")]
    without = MANIFEST.replace("    label: {label}\n", "").format()
    assert codes(without, tmp_path) == [("E504", "the detector editc:demo does not know `poster`")]


@pytest.mark.slow
def test_a_stamp_that_no_prompt_names_is_erased_from_what_a_word_means(tmp_path: Path) -> None:
    text = MANIFEST.format(label="stamp").replace("per_concept: 8", "per_concept: 24")
    (tmp_path / "m.yaml").write_text(text)
    built = api.build(tmp_path / "m.yaml", tmp_path / "out")
    assert built is not None
    claims = {one.name: one.value for one in built.verified.report.claims}
    assert claims["shown_before"] >= 0.25, "the model stamps a third to a half of its posters"
    assert claims["erased"] <= claims["shown_before"] / 4
