"""What a language model's folder must hold is told by `check` already, from its listing, and by `build` alike."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
import tiny_language as pico
from imported import imported

from editc import api
from editc.core.diagnostics import Diagnostic, EditcError

MANIFEST = """\
editc: 1
model: {model}
edits:
  - redirect: {{from: France, to: Japan}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.saved("llama", tmp_path_factory.mktemp("folder") / "model")


def told(model: Path, place: Path) -> list[Diagnostic]:
    """What `check` finds, which is what `build` stops with."""
    path = place / "m.yaml"
    path.write_text(MANIFEST.format(model=model))
    found = [one for one in api.check(path).diagnostics if one.is_error]
    if found:
        with pytest.raises(EditcError) as refused:
            api.build(path, place / "out")
        assert [(one.code, one.message) for one in refused.value.diagnostics] == [(d.code, d.message) for d in found]
    return found


def without(folder: Path, place: Path, *names: str) -> Path:
    copy = copytree(folder, place / "copy")
    for name in names:
        (copy / name).unlink()
    return copy


def test_a_folder_without_a_tokenizer(folder: Path, tmp_path: Path) -> None:
    (fault,) = told(without(folder, tmp_path, "tokenizer.json"), tmp_path)
    assert fault.code == "E205" and fault.span is not None and fault.span.line == 2
    assert all(
        f"`{name}`" in fault.message for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")
    )
    assert "sentencepiece" not in fault.message and "\n" not in fault.message


def test_weights_alone(folder: Path, tmp_path: Path) -> None:
    (fault,) = told(folder / "model.safetensors", tmp_path)
    assert fault.code == "E205" and "only a weights file" in fault.message


def test_a_folder_without_a_configuration(folder: Path, tmp_path: Path) -> None:
    (fault,) = told(without(folder, tmp_path, "config.json"), tmp_path)
    assert fault.code == "E205" and "config.json" in fault.message


@pytest.mark.parametrize(
    ("names", "fine"),
    [(["tokenizer.model"], True), (["vocab.json", "merges.txt"], True), (["vocab.json"], False), ([], False)],
)
def test_the_tokenizers_that_count(names: list[str], fine: bool, folder: Path, tmp_path: Path) -> None:
    copy = without(folder, tmp_path, "tokenizer.json")
    for name in names:
        (copy / name).write_text("{}" if name.endswith(".json") else "")
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST.format(model=copy))
    assert ([one.code for one in api.check(path).diagnostics] == []) == fine


def test_a_tokenizer_that_cannot_be_read_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    copy = without(folder, tmp_path, "tokenizer.json")
    (copy / "tokenizer.model").write_text("")
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST.format(model=copy))
    with pytest.raises(EditcError) as refused:
        api.build(path, tmp_path / "out")
    (fault,) = refused.value.diagnostics
    assert fault.code == "E205" and "\n" not in fault.message


def test_check_loads_no_torch(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST.format(model=folder))
    assert not imported(["check", str(path)]) & {"torch", "transformers"}
