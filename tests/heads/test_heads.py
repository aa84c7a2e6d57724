"""A class is taken out of a trained classifier's head: features, build, apply, revert, and what transformers says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_classifiers as tiny
import torch
from command import editc

from editc import api
from editc.core.diagnostics import EditcError
from editc.heads.build import BuiltHead, build_head
from editc.heads.features import write_features
from editc.heads.model import open_head, read_examples


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vit`, trained; `train.safetensors` and `held.safetensors`: what its head reads of other pictures, the first with
    labels for circles alone."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("heads")
    tiny.saved("vit", root / "vit")
    for name, seed, hidden in (("train", 1, ("bars", "cross", "square")), ("held", 2, ())):
        folder = tiny.written(root / name, 12, seed, hidden)
        assert write_features(str(root / "vit"), folder, root / f"{name}.safetensors") == 48
    return root


def manifest(place: Path, rest: str = "", label: str = "circle", model: str = "vit") -> Path:
    path = place / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\nedits:\n  - erase: {label}\n{rest}")
    return path


def built(place: Path, method: str, out: str = "out") -> BuiltHead:
    rest = f"method: {method}\nfeatures: train.safetensors\nverify: held.safetensors\n"
    return build_head(manifest(place, f"{rest}constraints: {{answered: 0, others_same: 0.5}}\n"), place / out)


def answers(folder: Path, seed: int = 2) -> tuple[Any, Any]:
    """What transformers answers to pictures of each label, and the labels."""
    from transformers import AutoModelForImageClassification

    given, labels = tiny.pictures(12, seed)
    network = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = network(pixel_values=torch.from_numpy(given).permute(0, 3, 1, 2).float() / 127.5 - 1).logits
    return logits.argmax(1).numpy(), labels


def test_the_features_are_what_the_head_reads(place: Path) -> None:
    head = open_head(place / "vit")
    held = read_examples(place / "held.safetensors", head)
    said, labels = answers(place / "vit")
    ours = head.head().logits(held.features).argmax(axis=1)
    assert np.mean(said == labels) > 0.8, "it has learned its shapes"
    assert [np.sum((ours == k) & (held.labels == k)) for k in range(4)] == [
        np.sum((said == k) & (labels == k)) for k in range(4)
    ]
    assert set(read_examples(place / "train.safetensors", head).labels) == {-1, 1}


@pytest.mark.parametrize("method", ["row", "ablate", "leace"])
def test_the_class_is_never_answered_and_the_delta_goes_in_and_out(method: str, place: Path, tmp_path: Path) -> None:
    made = built(place, method)
    values = {claim.name: claim.value for claim in made.claims}
    assert made.delta is not None and values["answered_before"] > 0.8 and values["answered"] == 0
    assert values["others_right"] >= values["others_right_before"] - 0.1
    api.apply([place / "out" / "delta.safetensors"], place / "vit", tmp_path / "edited")
    said, labels = answers(tmp_path / "edited")
    assert not np.any(said == 1), "transformers never answers `circle`"
    others = labels != 1
    assert np.mean(said[others] == labels[others]) == pytest.approx(values["others_right"], abs=0.06)
    before = (place / "vit" / "model.safetensors").read_bytes()
    api.apply([place / "out" / "delta.safetensors"], place / "vit", in_place=True)
    assert (place / "vit" / "model.safetensors").read_bytes() == (tmp_path / "edited/model.safetensors").read_bytes()
    api.revert(place / "vit")
    assert (place / "vit" / "model.safetensors").read_bytes() == before


def test_after_leace_the_stored_logits_tell_nothing_of_the_class_on_its_own_examples(place: Path) -> None:
    told = {}
    for method in ("row", "leace"):
        path = manifest(place, f"method: {method}\nfeatures: train.safetensors\n")
        told[method] = {claim.name: claim.value for claim in build_head(path, place / "told").claims}["told_apart"]
    assert told["leace"] < 1e-6 and told["row"] > 0.5


def test_without_examples_nothing_is_measured_and_no_torch_is_needed(place: Path) -> None:
    path = manifest(place)
    shown = editc("head", "build", str(path), "-o", str(place / "blind"))
    assert "not measured" in shown.stdout and (place / "blind" / "delta.safetensors").exists()
    record = json.loads((place / "blind" / "report.json").read_text())
    assert (record["status"], record["erased"], record["claims"]) == ("measured", ["circle"], [])


def test_a_build_has_the_same_bytes_twice_and_keeps_no_delta_that_breaks_a_bound(place: Path) -> None:
    first, second = (built(place, "leace", name).delta for name in ("a", "b"))
    assert first is not None and second is not None and first.delta_id == second.delta_id
    rest = "features: train.safetensors\nconstraints: {others_same: 1}\nmethod: ablate\n"
    broken = build_head(manifest(place, rest), place / "a")
    if broken.failures:
        assert broken.failures[0].code == "E501" and not (place / "a" / "delta.safetensors").exists()
    else:
        assert broken.delta is not None


@pytest.mark.parametrize(
    ("rest", "label", "code", "why"),
    [
        ("", "circel", "E659", "no label `circel`"),
        ("method: leace\n", "circle", "E104", "needs examples"),
        ("methd: row\n", "circle", "E102", "unknown key"),
        ("constraints: {answered: 2}\n", "circle", "E106", ""),
        ("method: leace\nfeatures: train.safetensors\n", "square", "E659", "examples of each erased label"),
        ("features: vit/model.safetensors\n", "circle", "E659", "cannot be read"),
    ],
)
def test_a_mistake_is_told(rest: str, label: str, code: str, why: str, place: Path) -> None:
    with pytest.raises(EditcError) as caught:
        build_head(manifest(place, rest, label), place / "wrong")
    first = caught.value.diagnostics[0]
    assert first.code == code and why in first.message


def test_a_model_without_labels_is_refused_and_so_is_verify(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "vit", tmp_path / "vit")
    (tmp_path / "vit" / "config.json").write_text("{}")
    with pytest.raises(EditcError, match="id2label"):
        open_head(tmp_path / "vit")
    built(place, "row")
    with pytest.raises(EditcError, match="`editc head build` edits"):
        api.build(f"editc: 1\nmodel: {place / 'vit'}\nedits: [{{erase: circle}}]\n", place / "wrong")
    with pytest.raises(EditcError, match="head of a classifier"):
        api.verify(place / "out" / "delta.safetensors", place / "vit")


@pytest.mark.parametrize("kind", ["resnet", "clip"])
def test_other_classifiers_have_heads_too(kind: str, tmp_path: Path) -> None:
    tiny.saved(kind, tmp_path / kind, steps=2)
    folder = tiny.written(tmp_path / "pictures", 2, 3)
    write_features(str(tmp_path / kind), folder, tmp_path / "x.safetensors")
    path = manifest(tmp_path, "method: ablate\nfeatures: x.safetensors\n", model=kind)
    made = build_head(path, tmp_path / "out")
    assert made.delta is not None and {claim.name: claim.value for claim in made.claims}["answered"] == 0
    api.apply([tmp_path / "out" / "delta.safetensors"], tmp_path / kind, tmp_path / "edited")
    assert not np.any(answers(tmp_path / "edited")[0] == 1)


def test_an_image_that_cannot_be_read_is_named(place: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no picture")
    with pytest.raises(EditcError, match="E659") as caught:
        write_features(str(place / "vit"), tmp_path / "images", tmp_path / "examples.safetensors")
    assert caught.value.diagnostics[0].place == str(tmp_path / "images" / "a.png")
    assert not (tmp_path / "examples.safetensors").exists()
