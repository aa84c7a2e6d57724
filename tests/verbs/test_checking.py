"""`check` says all at once what can be known without running the model, and refuses what a build would."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
import tiny_language as pico

from editc import api
from editc.verbs.results import Checked

DEMO = Path(str(files("editc") / "demo" / "model"))
HEAD = "editc: 1\nmodel: {}\n"


def checked(folder: Path, text: str, model: str | Path = "editc:demo") -> Checked:
    path = folder / "m.yaml"
    path.write_text(HEAD.format(model) + text)
    return api.check(path)


def lines(found: Checked) -> list[tuple[str, int | None]]:
    return [(one.code, one.span.line if one.span else None) for one in found.diagnostics]


def test_the_model_is_looked_at_beside_mistakes_of_the_text(tmp_path: Path) -> None:
    text = "edits:\n  - {erase: circle, too: square}\nemit: [lora, peft, gguf-lora]\n"
    assert lines(checked(tmp_path, text)) == [("E102", 4), ("E130", 5), ("E680", 5), ("E680", 5)]
    assert lines(checked(tmp_path, text, "gone/model"))[0] == ("E614", 2)


def test_every_format_that_does_not_go_is_named_whatever_else_is_wrong(tmp_path: Path) -> None:
    text = "edits: [{erase: circle}]\nsites: {roles: [entry]}\nemit: [kohya, peft, gguf-lora]\n"
    assert lines(checked(tmp_path, text)) == [("E210", 4), ("E680", 5), ("E680", 5)]


def test_weights_without_a_text_encoder_are_refused_as_a_build_refuses_them(tmp_path: Path) -> None:
    (weights,) = (DEMO / "unet").glob("*.safetensors")
    shutil.copy(weights, tmp_path / "unet.safetensors")
    found = checked(tmp_path, "edits: [{erase: circle}]\n", "unet.safetensors")
    assert lines(found) == [("E220", 2)] and found.plan is None
    assert not checked(tmp_path, f"encoder: {DEMO}\nedits: [{{erase: circle}}]\n", "unet.safetensors").diagnostics


def test_what_no_family_is_underlines_the_model(tmp_path: Path) -> None:
    """And what is missing beside a language model is told with what is wrong with its sites."""
    pico.saved("llama", tmp_path / "llama")
    config = json.loads((tmp_path / "llama" / "config.json").read_text())
    (tmp_path / "llama" / "tokenizer.json").unlink(missing_ok=True)
    fact = "edits: [{fact: {prompt: The capital of France is, subject: France, answer: Rome}}]\n"
    found = checked(tmp_path, f"{fact}sites: {{layers: [99]}}\n", "llama")
    assert [code for code, _ in lines(found)] == ["E205", "E211"], found.diagnostics
    (tmp_path / "llama" / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    assert lines(checked(tmp_path, fact, "llama")) == [("E206", 2)]


@pytest.mark.parametrize("written", ["null", "~"])
def test_null_is_as_if_it_were_left_out(written: str, tmp_path: Path) -> None:
    found = checked(tmp_path, f"edits: [{{erase: circle, to: {written}}}]\nconstraints: {{rank: {written}}}\n")
    assert found.manifest is not None and found.manifest.image_edits[0].to is None and not found.diagnostics
    assert found.manifest.constraints.rank is None and "to" not in found.manifest.image_edits[0].spans
