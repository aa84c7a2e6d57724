"""`editc attack`: a finished delta is attacked with what the command line asks for, whatever its manifest said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_language as pico

from editc import api
from editc.cli import cli, terminal
from editc.core.diagnostics import EditcError

MANIFEST = """\
editc: 1
model: editc:demo
edits: [{erase: fish, to: arrow}]
verify:
  images: {guidance: 3, steps: 10, prompts_per_concept: 1, bystanders: {near: 2, far: 1, pictures: 1}}
"""


@pytest.fixture(scope="module")
def delta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "manifest.yaml").write_text(MANIFEST)
    built = api.build(folder / "manifest.yaml", folder / "out")
    assert built is not None and built.delta is not None
    return folder / "out" / "delta.safetensors"


def refusal(delta: Path, attacks: str = "quick", detector: str = "") -> tuple[str, ...]:
    with pytest.raises(EditcError) as caught:
        api.attack(delta, "editc:demo", attacks, detector)
    return tuple(one.code for one in caught.value.diagnostics)


@pytest.mark.slow
def test_an_attack_brings_back_what_only_keys_and_values_hide(
    delta: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITC_PROCESSES", "1")  # one process for all jobs: each imports torch and loads the model
    arguments = ["attack", str(delta), "--model", "editc:demo", "--detector", "editc:demo", "--json"]
    wanted = "{certificate: {pictures: 3, at_most: 0.5}, complete: {pictures: 3, denoise: 4, guidance: 3}}"
    assert terminal.run_command(cli, [*arguments, "--attacks", wanted]) == 1, "the bound is broken"
    found = json.loads(capsys.readouterr().out)
    certificate, complete = found["attacks"]
    assert certificate["attack"] == "certificate" and min(certificate["shown"], certificate["control"]) >= 2
    assert (complete["attack"], complete["of"]) == ("complete", 3) and complete["control"] >= 2
    assert certificate["unrelated_shown"] >= 2 and certificate["unrelated"] not in ("fish", "arrow")
    assert certificate["budget"] == {"pictures": 3, "denoise": 10}, "the delta's own steps"
    assert complete["budget"] == {"pictures": 3, "denoise": 4, "guidance": 3, "share": 0.3}
    assert [of for _, _, of in complete["curve"]["points"]] == [3] * 6 and complete["seconds"] > 0
    assert found["detector"]["name"] == "editc:demo"
    assert [one["code"] for one in found["diagnostics"]] == ["E501"]


def test_without_a_detector_there_is_nobody_to_say_that_it_came_back(delta: Path) -> None:
    assert refusal(delta) == ("E147",)


def test_attacks_are_read_as_in_a_manifest(delta: Path) -> None:
    assert refusal(delta, attacks="{rows: {step: 3}}", detector="editc:demo") == ("E102",)
    assert refusal(delta, attacks="strong", detector="editc:demo") == ("E106",)
    assert refusal(delta, attacks="[]", detector="editc:demo") == ("E130",)


def test_a_model_with_the_edit_in_it_is_refused(delta: Path, tmp_path: Path) -> None:
    api.apply(delta, "editc:demo", out=tmp_path / "edited")
    with pytest.raises(EditcError) as caught:
        api.attack(delta, tmp_path / "edited", detector="editc:demo")
    assert caught.value.diagnostics[0].code == "E512"


def test_a_language_model_has_no_attacks(tmp_path: Path) -> None:
    model = pico.saved("llama", tmp_path / "llama")
    edits = "edits: [{ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}}]"
    (tmp_path / "manifest.yaml").write_text(f"editc: 1\nmodel: {model}\n{edits}\n")
    built = api.build(tmp_path / "manifest.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    with pytest.raises(EditcError) as caught:
        api.attack(tmp_path / "out", model, detector="editc:demo")
    assert caught.value.diagnostics[0].code == "E514"
