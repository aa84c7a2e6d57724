"""The detector of a manifest or of `verify`: what `check` refuses, who judged, whose code runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import detector_cases
import pytest
import tiny_detectors
from detector_cases import EYE, manifest, wrong
from places import DOCS

from editc import api
from editc.backends.detectors.lookup import detector_kind
from editc.core.diagnostics import EditcError
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.manifests.decode import decode, decode_file
from editc.manifests.detector import parse_detector
from editc.opening import detector as detecting
from editc.registry.detectors import DETECTORS

a_clip = detector_cases.a_clip
a_classifier = detector_cases.a_classifier


# what `check` refuses


def test_folders_that_are_not_what_they_should_be(tmp_path: Path, a_clip: Path, a_classifier: Path) -> None:
    shutil.copytree(a_clip, tmp_path / "clip")
    shutil.copytree(a_classifier, tmp_path / "vit")
    assert wrong(tmp_path, "{clip: clip}") == wrong(tmp_path, "clip:clip") == []
    assert wrong(tmp_path, "{classifier: vit, labels: {circle: tabby}}") == []
    assert wrong(tmp_path, "{clip: gone}") == [("E134", "the detector's folder `gone` does not exist")]
    assert wrong(tmp_path, "{clip: m.yaml}") == [
        ("E134", "the detector's folder `m.yaml` is a file; name the folder that holds it")
    ]
    assert wrong(tmp_path, "{clip: vit}")[0][0] == "E134"
    shutil.copytree(tmp_path / "clip", tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").rename(tmp_path / "half" / "pytorch_model.bin")
    ((code, message),) = wrong(tmp_path, "{clip: half}")
    assert code == "E134" and "`model.safetensors`" in message
    assert wrong(tmp_path, "{classifier: clip}") == [("E134", "`clip` is not an image classifier: it is a `CLIPModel`")]


def test_half_a_clip_is_called_so(tmp_path: Path, a_clip: Path) -> None:
    folder = shutil.copytree(a_clip, tmp_path / "clip")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip_text_model"}))
    assert wrong(tmp_path, "{clip: clip}") == [("E134", "`clip` is not a CLIP: it is the text half of a CLIP")]
    (folder / "config.json").write_text("[")
    assert wrong(tmp_path, "{clip: clip}")[0][0] == "E134"


def test_labels_and_concepts_that_the_classifier_does_not_have(tmp_path: Path, a_classifier: Path) -> None:
    shutil.copytree(a_classifier, tmp_path / "vit")
    assert wrong(tmp_path, "{classifier: vit}") == [("E504", "the detector classifier does not know `circle`")]
    found = wrong(tmp_path, "{classifier: vit, labels: {circle: [tabby, golden retreiver]}}")
    assert [code for code, _ in found] == ["E136"] and "golden retreiver" in found[0][1]


def test_alternatives_that_are_the_concept_alone(tmp_path: Path, a_clip: Path) -> None:
    shutil.copytree(a_clip, tmp_path / "clip")
    assert wrong(tmp_path, "{clip: clip, against: [Circle]}")[0][0] == "E135"


def test_a_python_file_is_read_and_not_run_to_be_checked(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nclass Eye: ...\n"
    )
    assert wrong(tmp_path, "python:judge.py:Eye") == wrong(tmp_path, "{python: 'judge.py:Eye'}") == []
    assert wrong(tmp_path, "python:judge.py:Eyes") == [("E134", "`judge.py` defines no `Eyes`")]
    assert wrong(tmp_path, "python:gone.py:Eye") == [("E134", "the detector's file `gone.py` does not exist")]
    (tmp_path / "bad.py").write_text("class")
    assert wrong(tmp_path, "python:bad.py:Eye")[0][0] == "E134"
    assert not (tmp_path / "ran").exists()


def test_check_says_it_without_torch(tmp_path: Path, a_classifier: Path) -> None:
    shutil.copytree(a_classifier, tmp_path / "vit")
    path = manifest(tmp_path, "{classifier: vit, labels: {circle: nonsense}}")
    program = f"import sys; from editc import api; from pathlib import Path\nfound = api.check(Path({str(path)!r}))\n"
    program += "print([one.code for one in found.diagnostics], found.plan, {'torch', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['E136'] None set()"


def test_the_detector_of_the_command_line_is_relative_to_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, options = parse_detector("python:judge.py:Eye")
    assert (name, options.place, options.member) == ("python", str(tmp_path / "judge.py"), "Eye")
    assert parse_detector("none")[0] == "none" and parse_detector("{clip: x, threshold: 0.25}")[1].threshold == 0.25
    for text in ("", "nobody", "clip", "[", "{}"):
        with pytest.raises(EditcError):
            parse_detector(text)


@pytest.mark.parametrize("name", DETECTORS.names())
def test_every_detector_is_explained_and_in_the_documentation(name: str) -> None:
    told = api.explain(name)
    assert told.startswith(f"detector {name}: {detector_kind(name).says}") and f"detector: {name}" in told
    page = (DOCS / "reference" / "detectors.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"`{{{name}: FOLDER}}`" in page or f"`{name}:FILE:NAME`" in page
    assert all(key in page for key in detector_kind(name).keys)


# end to end


@pytest.mark.slow
def test_a_delta_says_who_judged_and_its_code_does_not_run_unasked(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(EYE + "\nimport pathlib; pathlib.Path(__file__).with_name('ran').touch()\n")
    built = api.build(manifest(tmp_path, "python:judge.py:Eye"), tmp_path / "out")
    assert built is not None and not built.failures and (tmp_path / "ran").exists()
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert built.delta is not None and built.delta.extra["detector"] == record["detector"]
    assert record["detector"]["name"] == "python" and len(record["detector"]["sha256"]) == 64
    (tmp_path / "ran").unlink()
    delta = tmp_path / "out" / "delta.safetensors"
    with pytest.raises(EditcError) as caught:
        api.verify(delta, "editc:demo")
    assert [one.code for one in caught.value.diagnostics] == ["E137"] and not (tmp_path / "ran").exists()
    again = api.verify(delta, "editc:demo", detector=f"python:{tmp_path}/judge.py:Eye")
    assert not again.failures and (tmp_path / "ran").exists()
    assert "E508" not in [one.code for one in again.warnings]
    (tmp_path / "judge.py").write_text(EYE)
    other = api.verify(delta, "editc:demo", detector=f"python:{tmp_path}/judge.py:Eye")
    assert [one.code for one in other.warnings if one.code == "E508"] == ["E508"]


def test_a_build_judged_by_a_clip_and_by_nobody(tmp_path: Path, a_clip: Path) -> None:
    path = manifest(tmp_path, f"{{clip: {a_clip}, threshold: 0.01}}")
    built = api.build(path, tmp_path / "out")
    assert built is not None and built.delta is not None
    assert built.delta.extra["detector"]["against"][0] == "square"
    again = api.verify(tmp_path / "out" / "delta.safetensors", "editc:demo", detector="none")
    assert [one.code for one in again.warnings] == ["E506"] and not again.failures


def test_a_delta_s_detector_that_is_not_here_can_be_named_where_it_is(tmp_path: Path) -> None:
    found, _ = decode_file(manifest(tmp_path, "{clip: gone}"))
    assert found is not None and found.images is not None
    assert "--detector" not in detecting.check_detector(found)[0].help
    pictures_ = replace(found.images, options=replace(found.images.options, foreign=True))
    (fault,) = detecting.check_detector(replace(found, images=pictures_))
    assert fault.code == "E134" and fault.help.endswith("`--detector '{clip: FOLDER}'`")


def test_a_delta_without_pictures_has_nothing_to_judge(tmp_path: Path) -> None:
    source = Source("m.yaml", "editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n")
    found, _ = decode(source)
    assert isinstance(found, Manifest) and detecting.check_detector(found) == ()
    assert tiny_detectors.SIDE == 32
