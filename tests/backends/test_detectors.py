"""Detectors: they say what the libraries compute, what cannot work is refused, and nobody's code runs unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_detectors
import torch
from PIL import Image
from places import DOCS
from safetensors.torch import load_file, save_file
from tiny_detectors import LABELS, classifier_folder, clip_folder, pictures

from editc import api
from editc.backends.detectors import clip
from editc.backends.detectors.kind import Asked
from editc.backends.detectors.named import identity, kind_of
from editc.core.diagnostics import EditcError
from editc.core.manifest import DetectorOptions, Manifest, Source
from editc.manifests.decode import decode, read
from editc.manifests.detector import parse
from editc.registry.detectors import DETECTORS
from editc.verbs.kinds import detector as detecting

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
    asked = Asked(DetectorOptions(place=str(path), **fields), path, targets=("square",))
    assert not list(kind_of(name).faults(asked))
    return kind_of(name).open(asked)


def manifest(folder: Path, detector: str, more: str = "", edits: str = "[{erase: circle, to: square}]") -> Path:
    path = folder / "m.yaml"
    text = f"editc: 1\nmodel: editc:demo\nedits: {edits}\nverify:\n  images:\n    detector: {detector}\n    steps: 2\n"
    path.write_text(
        text + "    erased_at_most: 1\n    prompts_per_concept: 2\n    bystanders: {near: 0, far: 0}\n" + more
    )
    return path


def wrong(folder: Path, detector: str, **rest: Any) -> list[tuple[str, str]]:
    """Code and message of what is wrong with a detector, by the manifest alone."""
    found, said = read(manifest(folder, detector, **rest))
    assert found is not None, said
    return [(one.code, one.message) for one in detecting.faults(found)]


# what a CLIP says


def test_the_probability_is_that_of_transformers_own_zero_shot_pipeline(a_clip: Path) -> None:
    """One sentence a name: then the pipeline's softmax over candidate labels is the same number."""
    from transformers import pipeline

    names = ("circle", "a dog on the beach", "an empty street")
    told = {name: (f"a picture of {name}",) for name in names}
    mine = opened("clip", a_clip, prompts=told, against=names[1:])
    seen = pictures(5)
    theirs = pipeline("zero-shot-image-classification", model=str(a_clip), device="cpu")
    found = theirs(
        [Image.fromarray(one) for one in seen], candidate_labels=list(names), hypothesis_template="a picture of {}"
    )
    for each, share in zip(found, mine.probability("circle", seen), strict=True):
        assert share == pytest.approx(next(one["score"] for one in each if one["label"] == "circle"), abs=1e-5)


def test_several_sentences_of_a_name_are_one_vector(a_clip: Path) -> None:
    """The normalised mean of normalised embeddings, by the model's own forward."""
    from transformers import AutoTokenizer, CLIPModel
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    model, tokenizer = CLIPModel.from_pretrained(a_clip).eval(), AutoTokenizer.from_pretrained(a_clip)
    seen, names = pictures(3, seed=1), ("circle", "square", *clip.EVERYDAY)
    texts = [sentence.replace("{}", name) for name in names for sentence in clip.SENTENCES]
    pixels = AutoImageProcessor.from_pretrained(a_clip)(images=list(seen), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        out = model(pixel_values=pixels, **tokenizer(texts, padding=True, return_tensors="pt"))
    vectors = out.text_embeds.double().reshape(len(names), len(clip.SENTENCES), -1).mean(dim=1)
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    logits = model.logit_scale.double().exp() * out.image_embeds.double() @ vectors.T
    wanted = logits.softmax(dim=1)[:, 0].detach().numpy()
    mine = opened("clip", a_clip)
    np.testing.assert_allclose(mine.probability("circle", seen), wanted, atol=1e-6)
    assert (mine.shows("circle", seen) == (wanted >= 0.5)).all()
    assert (opened("clip", a_clip, threshold=float(wanted[1])).shows("circle", seen) == (wanted >= wanted[1])).all()


def test_alternatives_are_never_the_concept_itself() -> None:
    assert clip.others("Square", ("square", "star")) == ("star",)
    asked = Asked(DetectorOptions(), targets=("square", "", "a person"))
    assert clip.alternatives(asked)[:2] == ("square", "a person")
    assert len(clip.alternatives(asked)) == 1 + len(clip.EVERYDAY)
    assert clip.alternatives(Asked(DetectorOptions(against=("x",)), targets=("square",))) == ("x",)


def test_a_picture_is_judged_alike_alone_and_among_many(a_clip: Path, a_classifier: Path) -> None:
    seen = pictures(20, seed=2)
    for found in (opened("clip", a_clip), opened("classifier", a_classifier, labels={"circle": ("sports car",)})):
        whole = found.shows("circle", seen)
        assert whole.shape == (20,) and whole.dtype == np.bool_
        assert [bool(found.shows("circle", one[None])[0]) for one in seen] == whole.tolist()
        assert (found.shows("circle", seen) == whole).all()


# what a classifier says


def test_the_shares_are_those_of_transformers_own_pipeline(a_classifier: Path) -> None:
    from transformers import pipeline

    seen = pictures(6)
    found = pipeline("image-classification", model=str(a_classifier), device="cpu")(
        [Image.fromarray(one) for one in seen], top_k=len(LABELS)
    )
    mine = opened("classifier", a_classifier)
    for each, shares in zip(found, mine.probabilities(seen), strict=True):
        assert {one["label"]: one["score"] for one in each} == pytest.approx(
            dict(zip(LABELS, shares, strict=True)), abs=1e-5
        )


def test_a_concept_is_shown_where_its_label_is_the_likeliest(a_classifier: Path) -> None:
    seen, mine = pictures(40, seed=3), opened("classifier", a_classifier)
    likeliest = mine.probabilities(seen).argmax(axis=1)
    assert len(set(likeliest.tolist())) == 3, "every label is seen"
    for name, index in (("tabby", 0), ("Tabby Cat", 0), ("golden retriever", 1), ("tabby, tabby cat", 0)):
        assert (mine.shows(name, seen) == (likeliest == index)).all()
    pets = opened("classifier", a_classifier, labels={"pet": ("tabby", "golden retriever")})
    assert (pets.shows("pet", seen) == (likeliest != 2)).all()
    assert pets.concepts() == ("pet", "sports car") and mine.concepts() == ("tabby", "golden retriever", "sports car")
    assert not mine.knows("pet") and pets.knows("pet") and pets.knows("tabby")
    with pytest.raises(KeyError):
        mine.shows("pet", seen)


def test_a_threshold_is_held_against_the_sum_of_a_concept_s_labels(a_classifier: Path) -> None:
    seen = pictures(40, seed=3)
    pets = opened("classifier", a_classifier, labels={"pet": ("tabby", "golden retriever")}, threshold=0.8)
    assert (pets.shows("pet", seen) == (pets.probabilities(seen)[:, :2].sum(axis=1) >= 0.8)).all()


def test_a_classifier_of_several_labels_a_picture_asks_each_alone(tmp_path: Path) -> None:
    folder, seen = classifier_folder(tmp_path, several=True), pictures(40, seed=3)
    found = opened("classifier", folder, labels={"pet": ("tabby", "golden retriever")})
    shares = found.probabilities(seen)
    assert np.abs(shares.sum(axis=1) - 1).max() > 0.1, "sigmoids"
    assert (found.shows("pet", seen) == (shares[:, :2].max(axis=1) >= 0.5)).all()


# what a Python file says


def test_a_class_a_function_and_an_object_all_are_detectors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "judge.py"
    file.write_text(EYE)
    seen = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 255)])
    for member in ("Eye", "bright", "made"):
        found = opened("python", file, member=member)
        assert found.shows("circle", seen).tolist() == [False, True]
        assert found.knows("circle") and not found.knows("ghost") and found.concepts() == ()
    out, err = capfd.readouterr()
    assert not out and "looking for circle" in err
    assert [path.name for path in tmp_path.iterdir()] == ["judge.py"], "nothing is written beside it"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return pictures.mean(axis=(1, 2, 3)) / 255", "float64 for 2 pictures"),
        ("return [True]", "(1,) of bool for 2 pictures"),
        ("return [1, 0]", "of int64"),
        ("return None", "of object"),
        ("return [[True], []]", "shows"),
        ("pictures[:] = 0; return 1 / 0", "ZeroDivisionError: division by zero (line 5)"),
        ("raise SystemError('x')", "SystemError: x (line 5)"),
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, body: str, said: str) -> None:
    file = tmp_path / "judge.py"
    head = "class Eye:\n    def knows(self, c):\n        return True\n    def shows(self, concept, pictures):\n"
    file.write_text(f"{head}        {body}\n")
    seen = pictures(2)
    with pytest.raises(EditcError) as caught:
        opened("python", file, member="Eye").shows("circle", seen)
    assert caught.value.diagnostics[0].code == "E138" and said in caught.value.diagnostics[0].message
    assert (seen == pictures(2)).all(), "a detector cannot change the pictures"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Eye = 3", "cannot be made"),
        ("class Eye: pass", "no `knows` and `shows`"),
        ("import nothing_like_it as Eye", "ModuleNotFoundError"),
    ],
)
def test_what_is_no_detector_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "judge.py"
    file.write_text(text)
    with pytest.raises(EditcError) as caught:
        opened("python", file, member="Eye")
    assert caught.value.diagnostics[0].code == "E138" and said in caught.value.diagnostics[0].message


# what `check` refuses


def test_folders_that_are_not_what_they_should_be(tmp_path: Path, a_clip: Path, a_classifier: Path) -> None:
    shutil.copytree(a_clip, tmp_path / "clip")
    shutil.copytree(a_classifier, tmp_path / "vit")
    assert wrong(tmp_path, "{clip: clip}") == wrong(tmp_path, "clip:clip") == []
    assert wrong(tmp_path, "{classifier: vit, labels: {circle: tabby}}") == []
    assert wrong(tmp_path, "{clip: gone}") == [("E134", "the detector's folder `gone` does not exist")]
    assert wrong(tmp_path, "{clip: m.yaml}") == [
        ("E134", "the detector's folder `m.yaml` is a file: name the folder it lies in")
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
    assert wrong(tmp_path, "python:judge.py:Eyes") == [("E134", "`judge.py` has nothing called `Eyes`")]
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


# what is loaded is what is in the file


@pytest.mark.parametrize("fault", ["dropped", "renamed", "reshaped", "nan"])
def test_weights_that_are_not_the_model_s_are_refused(
    fault: str, tmp_path: Path, a_clip: Path, a_classifier: Path
) -> None:
    for name, source in (("clip", a_clip), ("classifier", a_classifier)):
        folder = shutil.copytree(source, tmp_path / name)
        tensors = load_file(folder / "model.safetensors")
        key = next(
            one for one in sorted(tensors) if one.endswith("layernorm.weight") or one.endswith("layer_norm1.weight")
        )
        value = tensors.pop(key)
        new = {
            "dropped": {},
            "renamed": {f"{key}s": value},
            "reshaped": {key: value[:-1].contiguous()},
            "nan": {key: value * torch.nan},
        }
        save_file({**tensors, **new[fault]}, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(EditcError) as caught:
            opened(name, folder)
        assert [one.code for one in caught.value.diagnostics] == ["E402" if fault == "nan" else "E205"]


def test_opening_and_looking_say_nothing(
    a_clip: Path, a_classifier: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    opened("clip", a_clip).shows("circle", pictures(2))
    opened("classifier", a_classifier).shows("tabby", pictures(2))
    assert capfd.readouterr() == ("", "") and not list(recwarn)


# who judged


def test_a_detector_is_told_by_its_files_and_by_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text(EYE)
    folder = clip_folder(tmp_path / "clip")

    def mark(name: str, path: Path, **fields: Any) -> str:
        return str(identity(name, Asked(DetectorOptions(place="x", **fields), path))["sha256"])

    first = mark("clip", folder)
    told = [{"threshold": 0.4}, {"against": ("x",)}, {"prompts": {"circle": ("disc",)}}]
    assert len({first, *(mark("clip", folder, **fields) for fields in told)}) == 4
    assert mark("clip", shutil.copytree(folder, tmp_path / "copy")) == first, "not by where it lies"
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "logit_scale": tensors["logit_scale"] + 1}, folder / "model.safetensors")
    assert mark("clip", folder) != first
    one = mark("python", tmp_path / "judge.py", member="Eye")
    assert mark("python", tmp_path / "judge.py", member="made") != one
    (tmp_path / "judge.py").write_text(EYE + "\n")
    assert mark("python", tmp_path / "judge.py", member="Eye") != one
    assert kind_of("editc:demo").files(Asked()) and identity("editc:demo", Asked())["name"] == "editc:demo"


def test_the_detector_of_the_command_line_is_relative_to_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, options = parse("python:judge.py:Eye")
    assert (name, options.place, options.member) == ("python", str(tmp_path / "judge.py"), "Eye")
    assert parse("none")[0] == "none" and parse("{clip: x, threshold: 0.25}")[1].threshold == 0.25
    for text in ("", "nobody", "clip", "[", "{}"):
        with pytest.raises(EditcError):
            parse(text)


def test_somebody_else_s_detector_is_a_name_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By an entry point; what cannot be imported says so, and is no bug of ours."""
    (tmp_path / "their_eyes.py").write_text(EYE)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {"theirs": "their_eyes:made", "gone": "their_ears:made", "none": "their_eyes:made"}
    monkeypatch.setattr("editc.registry.table._installed", lambda group: found if group == "editc.detectors" else {})
    assert {"theirs", "gone"} < set(DETECTORS.names())
    assert kind_of("theirs").open(Asked()).shows("circle", pictures(3)).shape == (3,)
    assert kind_of("none").open(Asked()) is None, "our own names are ours"
    assert wrong(tmp_path, "theirs") == []
    with pytest.raises(EditcError) as caught:
        read(manifest(tmp_path, "gone"))
    assert caught.value.diagnostics[0].code == "E139"


@pytest.mark.parametrize("name", DETECTORS.names())
def test_every_detector_is_explained_and_in_the_documentation(name: str) -> None:
    told = api.explain(name)
    assert told.startswith(f"detector {name}: {kind_of(name).says}") and f"detector: {name}" in told
    page = (DOCS / "reference" / "detectors.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"`{{{name}: FOLDER}}`" in page or f"`{name}:FILE:NAME`" in page
    assert all(key in page for key in kind_of(name).keys)


# end to end


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
    found, _ = read(manifest(tmp_path, "{clip: gone}"))
    assert found is not None and found.pictures is not None
    assert "--detector" not in detecting.faults(found)[0].help
    pictures_ = replace(found.pictures, options=replace(found.pictures.options, foreign=True))
    (fault,) = detecting.faults(replace(found, pictures=pictures_))
    assert fault.code == "E134" and fault.help.endswith("`--detector '{clip: FOLDER}'`")


def test_a_delta_without_pictures_has_nothing_to_judge(tmp_path: Path) -> None:
    source = Source("m.yaml", "editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n")
    found, _ = decode(source)
    assert isinstance(found, Manifest) and detecting.faults(found) == ()
    assert tiny_detectors.SIDE == 32
