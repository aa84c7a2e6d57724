"""`after` names deltas that are in the model: one that is not is told before anything is solved."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

import pytest
import tiny_language as pico

from editc import api
from editc.core.diagnostics import Diagnostic, EditcError

ABLATE = "ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}"
OTHER = "ablate: {concept: places, present: [the city, a city of Rome], absent: [a page, the next page]}"


def build(place: Path, name: str, model: Path, edit: str = ABLATE, rest: str = "") -> Path:
    """The delta of a build."""
    path = place / f"{name}.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\nedits: [{{{edit}}}]\n{rest}")
    found = api.build(path, place / name)
    assert found is not None and found.delta is not None
    return place / name / "delta.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model`, `first` built for it, `edited` with it applied, `second` built for that over the same matrices, `twice`
    with both; `plain`, its weights without what `apply` notes beside them; `other`, of another architecture."""
    root = tmp_path_factory.mktemp("after")
    pico.saved("llama", root / "model")
    pico.saved("gpt2", root / "other")
    api.apply([build(root, "first", root / "model")], str(root / "model"), root / "edited")
    second = build(root, "second", root / "edited", OTHER, "after: [first/delta.safetensors]\n")
    api.apply([second], str(root / "edited"), root / "twice")
    build(root, "foreign", root / "other")
    pico.saved("llama", root / "plain")
    copyfile(root / "twice" / "model.safetensors", root / "plain" / "model.safetensors")
    return root


def refused(place: Path, model: str, after: str) -> Diagnostic:
    with pytest.raises(EditcError) as caught:
        build(place, "later", place / model, OTHER, f"after: [{after}]\n")
    (fault,) = caught.value.diagnostics
    return fault


@pytest.mark.parametrize(
    ("model", "after", "why"),
    [
        ("model", "first/delta.safetensors", "is unedited"),
        ("model", "second/delta.safetensors", "has other weights"),
        ("edited", "second/delta.safetensors", "is unedited"),
        ("edited", "foreign/delta.safetensors", "is missing"),
        ("plain", "first/delta.safetensors", "has other weights"),
    ],
)
def test_a_delta_that_is_not_in_the_model(model: str, after: str, why: str, place: Path) -> None:
    fault = refused(place, model, after)
    assert (fault.code, fault.span and fault.span.line) == ("E213", 4) and why in fault.message
    assert "not applied" in fault.message and "editc apply" in fault.help


def test_those_under_another_are_told_by_the_journal_or_by_where_it_began(place: Path) -> None:
    first, second = "first/delta.safetensors", "second/delta.safetensors"
    for model, after in (("twice", first), ("plain", f"{second}, {first}"), ("plain", f"{first}, {second}")):
        build(place, "third", place / model, ABLATE.replace("lists", "words"), f"after: [{after}]\n")
