"""`editc init`: a first manifest that `check` accepts, by flags or by questions, for every kind and model."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import tiny_families
import tiny_language
import yaml
from command import editc
from imported import imported

from editc import api
from editc.cli import init
from editc.manifests.decode import load
from editc.manifests.json_schema.whole import manifest_schema
from editc.start.recipes import IMAGE_KINDS, LANGUAGE_KINDS, as_yaml

FACT = ("--prompt", "The bank of Paris is in", "--subject", "Paris", "--answer", "Rome")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pico SDXL, a pico FLUX and a pico Llama."""
    root = tmp_path_factory.mktemp("models")
    for family in ("sdxl", "flux"):
        tiny_families.saved(family, root / family)
    tiny_language.saved("llama", root / "llama")
    return root


def begun(out: Path, *arguments: str) -> str:
    """The text of the manifest that `init` writes; `check` must accept it."""
    ran = editc("init", "-o", str(out), *arguments)
    assert ran.returncode == 0 and "error" not in ran.stderr, ran.stderr
    assert not [one for one in api.check(out).diagnostics if one.is_error]
    text = out.read_text(encoding="utf-8")
    assert not [*jsonschema.Draft7Validator(manifest_schema()).iter_errors(yaml.safe_load(text))]
    return text


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.parametrize("model", ["editc:demo", "sdxl", "flux"])
def test_every_kind_for_image_models_is_sound_at_once(models: Path, tmp_path: Path, kind: str, model: str) -> None:
    place = model if model == "editc:demo" else str(models / model)
    text = begun(tmp_path / "m.yaml", "--model", place, "--kind", kind, "--erase", "circle", "--to", "square")
    (edit,) = load(tmp_path / "m.yaml").image_edits
    assert (edit.concept, edit.to, edit.also) == ("circle", "square", ())
    assert (
        f"family {'sd1' if model == 'editc:demo' else model}:" in text and "Preserved by default: 500 prompts" in text
    )
    assert f"emit: [{'diffusers' if model == 'flux' else 'kohya'}]" in text and "Placeholder" not in text
    assert (edit.contexts is None) == (kind in ("object", "nudity"))


def test_a_fact_and_a_concept_of_a_language_model(models: Path, tmp_path: Path) -> None:
    text = begun(tmp_path / "fact.yaml", "--model", str(models / "llama"), *FACT, "--was", "France")
    assert "  - fact:\n      prompt: The bank of Paris is in\n" in text and "emit: [peft]" in text
    text = begun(tmp_path / "concept.yaml", "--model", str(models / "llama"), "--erase", "Paris")
    assert "  - erase: Paris\n    toward: noise" in text
    assert "to: Rome" in begun(
        tmp_path / "to.yaml", "--model", str(models / "llama"), "--erase", "Paris", "--to", "Rome"
    )


def test_the_first_line_names_the_schema_that_lies_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path, since a manifest goes to other machines."""
    (tmp_path / "edits" / "one").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert editc("schema", "-o", "editc-1.schema.json").returncode == 0
    text = begun(Path("edits/one/m.yaml"), "--model", "editc:demo", "--erase", "circle")
    assert text.startswith("# yaml-language-server: $schema=../../editc-1.schema.json\n")


def test_without_a_schema_near_the_manifest_says_how_to_make_one_and_names_no_place_of_this_machine(
    tmp_path: Path,
) -> None:
    text = begun(tmp_path / "m.yaml", "--model", "editc:demo", "--erase", "circle")
    assert "`editc schema -o editc-1.schema.json`" in text.splitlines()[0]
    assert not [line for line in text.splitlines() if line.startswith("# yaml-language-server")]
    assert not [part for part in (str(tmp_path), str(Path.home()), "file:") if part in text]


def test_an_object_without_a_target_goes_to_the_neutral_concept(tmp_path: Path) -> None:
    begun(tmp_path / "m.yaml", "--model", "editc:demo", "--erase", "circle")
    assert load(tmp_path / "m.yaml").image_edits[0].to is None


def test_nudity_has_its_names_and_keeps_people(tmp_path: Path) -> None:
    text = begun(tmp_path / "m.yaml", "--model", "editc:demo", "--kind", "nudity")
    assert "also: [nude, naked]" in text and "method: rece" in text and "person, woman, man" in text


def test_contexts_that_the_tokenizer_cannot_read_are_left_out(tmp_path: Path) -> None:
    text = begun(tmp_path / "m.yaml", "--model", "editc:demo", "--kind", "style", "--erase", "pencil")
    assert "- a painting by {}\n" in text and "landscape" not in text


def test_a_word_that_the_tokenizer_has_in_pieces_is_said(tmp_path: Path) -> None:
    text = begun(tmp_path / "m.yaml", "--model", "editc:demo", "--erase", "red zorblax")
    assert "# Its tokenizer has `zorblax` in pieces only" in text


@pytest.mark.parametrize("name", ['a: "b"', "no", "1984", "- x", "# y", "Émile O'Neil", "{z}", "*star", "x #1"])
def test_a_name_is_written_so_that_it_is_read_again(tmp_path: Path, name: str) -> None:
    assert yaml.safe_load(f"x: {as_yaml(name)}") == {"x": name}
    begun(tmp_path / "m.yaml", "--model", "editc:demo", "--erase", name) if name[0].isalnum() else None


def test_a_path_is_written_as_seen_from_the_manifest(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "llama", tmp_path / "models" / "llama")
    monkeypatch.chdir(tmp_path)
    assert "model: ../models/llama\n" in begun(Path("new/m.yaml"), "--model", "models/llama", *FACT)
    assert "model: ./models/llama\n" in begun(Path("m.yaml"), "--model", "models/llama", *FACT)


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("mine\n")
    command = ("init", "--model", "editc:demo", "--erase", "circle", "-o", str(tmp_path / "m.yaml"))
    ran = editc(*command)
    assert ran.returncode == 2 and "error[E171]" in ran.stderr and "--force" in ran.stderr
    assert (tmp_path / "m.yaml").read_text() == "mine\n"
    assert editc(*command, "--force").returncode == 0 and "circle" in (tmp_path / "m.yaml").read_text()


@pytest.mark.parametrize(("model", "code"), [("nowhere", "E610"), ("empty", "E611"), ("no/such-model", "E614")])
def test_what_is_no_model_is_refused_as_open_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, code: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    ran = editc("init", "--model", model, "--erase", "circle")
    assert ran.returncode == 3 and f"error[{code}]" in ran.stderr and not (tmp_path / "manifest.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --model"),
        (("--model", "editc:demo"), "give --erase"),
        (("--model", "editc:demo", "--kind", "fact"), "--kind fact is not for Stable Diffusion 1.x"),
        (("--model", "editc:demo", "--erase", "circle", "--prompt", "x"), "--kind object does not take --prompt"),
    ],
)
def test_without_a_terminal_nobody_is_asked(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = editc("init", "-o", str(tmp_path / "m.yaml"), *arguments)
    assert ran.returncode == 2 and said in ran.stderr and not (tmp_path / "m.yaml").exists()


def test_on_a_terminal_it_asks_for_what_is_missing(tmp_path: Path) -> None:
    """One process on a pseudo-terminal: its answers are the model, the kind, the concept and no target."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "editc", "init", "-o", str(tmp_path / "m.yaml")]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        os.write(ours, b"editc:demo\nobject\ncircle\nsquare\n")
        assert running.wait(timeout=120) == 0
    os.close(ours)
    (edit,) = load(tmp_path / "m.yaml").image_edits
    assert (edit.concept, edit.to) == ("circle", "square")


def test_json_says_what_was_written_and_what_check_found(tmp_path: Path) -> None:
    ran = editc("init", "--model", "editc:demo", "--erase", "circle", "-o", str(tmp_path / "m.yaml"), "--json")
    found = json.loads(ran.stdout)
    assert (found["file"], found["kind"], found["family"]) == (str(tmp_path / "m.yaml"), "object", "sd1")
    assert found["edits"] == ["circle"] and found["sites"]


def test_the_kinds_of_the_command_are_those_of_the_recipes() -> None:
    assert tuple(init.KINDS.choices) == (*IMAGE_KINDS, *LANGUAGE_KINDS)


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    command = ["init", "--model", "editc:demo", "--erase", "circle", "-o", str(tmp_path / "m.yaml")]
    assert not imported(command) & {"torch", "transformers", "diffusers", "scipy", "onnx", "jinja2", "PIL"}
