"""A package of somebody else, installed into a fresh environment, adds names to every table: editc is not changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny
import toy_package

from editc.formats.exports.read import read_delta

MANIFEST = """\
editc: 1
model: {model}
edits:
  - {{erase: circle, to: square, method: toy, lamb: 2, contexts: ["a {{}}", "a photo of a {{}}"]}}
emit: [toy-sites]
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_package.fresh_environment(tmp_path_factory.mktemp("fresh") / "env")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline_folder(tmp_path_factory.mktemp("models") / "sd1")


def editc(python: Path, *arguments: str | Path) -> str:
    """What `editc ARGUMENTS` prints; it must do well."""
    env = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    command = [str(python), "-P", "-m", "editc", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, cwd=python.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_a_method_with_its_key_rule_is_checked_built_verified_exported_and_explained(
    python: Path, model: Path, tmp_path: Path
) -> None:
    manifest, out = tmp_path / "toy.yaml", tmp_path / "out"
    manifest.write_text(MANIFEST.format(model=model))
    assert "OK. " in editc(python, "check", manifest)
    editc(python, "build", manifest, "-o", out)
    record = json.loads((out / "report.json").read_text())
    (edit,) = read_delta(out / "delta.safetensors").edits
    assert (edit["method"], edit["keys"], edit["options"]) == ("toy", "toy-ends", {"lamb": 2.0})
    listed = json.loads((out / "delta.sites.json").read_text())
    assert len(listed["sites"]) == len(record["sites"]) > 0
    editc(python, "verify", out / "delta.safetensors", "--model", model)
    kohya = tmp_path / "kohya.safetensors"
    editc(python, "export", out / "delta.safetensors", "--as", "kohya", "--model", model, "-o", kohya, "--no-test")
    assert kohya.stat().st_size > 0
    assert "lamb = set by the key rule" in editc(python, "explain", "toy")
    assert "behind the last word" in editc(python, "explain", "toy-ends")
