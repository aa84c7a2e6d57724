"""Detectors from folders: CLIP and classifiers say what the libraries compute, of weights that are the file's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import detector_cases
import numpy as np
import pytest
import torch
from detector_cases import EYE, opened
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_detectors import LABELS, classifier_folder, clip_folder, pictures

from editc.backends.detectors import clip
from editc.backends.detectors.kind import DetectorRequest
from editc.backends.detectors.lookup import detector_kind, identity
from editc.core.diagnostics import EditcError
from editc.core.image_check import DetectorOptions

a_clip = detector_cases.a_clip
a_classifier = detector_cases.a_classifier


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
    seen, names = pictures(3, seed=1), ("circle", "square", *clip.EVERYDAY_THINGS)
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
    between = float(np.sort(wanted)[:2].mean())
    assert (opened("clip", a_clip, threshold=between).shows("circle", seen) == (wanted >= between)).all()


def test_alternatives_are_never_the_concept_itself() -> None:
    assert clip.without_concept("Square", ("square", "star")) == ("star",)
    asked = DetectorRequest(DetectorOptions(), targets=("square", "", "a person"))
    assert clip.alternatives(asked)[:2] == ("square", "a person")
    assert len(clip.alternatives(asked)) == 1 + len(clip.EVERYDAY_THINGS)
    assert clip.alternatives(DetectorRequest(DetectorOptions(against=("x",)), targets=("square",))) == ("x",)


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
        return str(identity(name, DetectorRequest(DetectorOptions(place="x", **fields), path))["sha256"])

    first = mark("clip", folder)
    told: list[dict[str, Any]] = [{"threshold": 0.4}, {"against": ("x",)}, {"prompts": {"circle": ("disc",)}}]
    assert len({first, *(mark("clip", folder, **fields) for fields in told)}) == 4
    assert mark("clip", shutil.copytree(folder, tmp_path / "copy")) == first, "not by where it lies"
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "logit_scale": tensors["logit_scale"] + 1}, folder / "model.safetensors")
    assert mark("clip", folder) != first
    one = mark("python", tmp_path / "judge.py", member="Eye")
    assert mark("python", tmp_path / "judge.py", member="made") != one
    (tmp_path / "judge.py").write_text(EYE + "\n")
    assert mark("python", tmp_path / "judge.py", member="Eye") != one
    assert (
        detector_kind("editc:demo").files(DetectorRequest())
        and identity("editc:demo", DetectorRequest())["name"] == "editc:demo"
    )
