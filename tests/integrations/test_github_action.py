"""The action is one that GitHub runs, and its script marks the lines of mistakes and sums up the job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from places import ROOT

FOLDER = ROOT / "integrations" / "github-action"
GOOD = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n"
BAD = GOOD + "    strenght: 2\n"
FAR = GOOD.replace("editc:demo", "nobody/there")


@pytest.fixture(scope="module")
def action() -> Any:
    return yaml.safe_load((FOLDER / "action.yml").read_text(encoding="utf-8"))


def run(place: Path, **given: str) -> tuple[int, list[str], str, str]:
    """Run the script as the action does. Returns the exit code, the lines of the log, the summary and the outputs."""
    named = {"GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_OUTPUT": "outputs", "GITHUB_WORKSPACE": str(place)}
    files = {name: str(place / value) if "/" not in value else value for name, value in named.items()}
    inputs = {"EDITC_WITHOUT_MODEL": "true", "EDITC_MANIFESTS": "**/*.editc.yaml", **given}
    command = [sys.executable, str(FOLDER / "run.py")]
    done = subprocess.run(command, cwd=place, env=os.environ | files | inputs, stdout=subprocess.PIPE, text=True)
    texts = [file.read_text() if file.exists() else "" for file in (place / "summary.md", place / "outputs")]
    return done.returncode, done.stdout.splitlines(), *texts  # type: ignore[return-value]


def write(place: Path, **texts: str) -> None:
    for name, text in texts.items():
        file = place / f"{name.replace('__', '/')}.editc.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")


def vendored(name: str) -> Any:
    """A schema of GitHub's, which the package check-jsonschema brings."""
    return json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json").read_text("utf-8"))


def test_the_action_is_what_github_s_schema_asks_for(action: Any) -> None:
    jsonschema.validate(action, vendored("github-actions"))


def test_the_page_s_workflow_is_one_and_gives_inputs_that_the_action_has(action: Any) -> None:
    page = (ROOT / "docs/how-to/check-in-ci.md").read_text(encoding="utf-8")
    workflow, steps, _ = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads `on` as true
    jsonschema.validate(workflow, vendored("github-workflows"))
    used = [step for step in (*workflow["jobs"]["check"]["steps"], *steps) if "github-action" in step["uses"]]
    assert len(used) == 2 and all(step["with"].keys() <= action["inputs"].keys() for step in used)
    assert not [name for name in (*action["inputs"], *action["outputs"]) if f"`{name}`" not in page]


def test_every_input_reaches_the_script_by_a_variable_and_none_stands_in_a_command(action: Any) -> None:
    """A text that somebody else may choose must not become a part of a shell command."""
    steps = action["runs"]["steps"]
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]
    used = " ".join(str(value) for step in steps for part in ("env", "with", "if", "working-directory")
                    for value in [step.get(part, "")])  # fmt: skip
    assert not [name for name in action["inputs"] if f"inputs.{name}" not in used]
    script = (FOLDER / "run.py").read_text(encoding="utf-8")
    assert not [name for name in steps[-1]["env"] if f'"{name}"' not in script]


def test_a_mistake_is_marked_on_its_line_and_sound_manifests_are_not(tmp_path: Path) -> None:
    write(tmp_path, good=GOOD, sub__bad=BAD, sub__far=FAR)
    code, log, summary, outputs = run(tmp_path)
    assert code == 2 and [line for line in log if line.startswith("::")] == [
        "::error file=sub/bad.editc.yaml,line=5,col=5,endColumn=13,title=E102::"
        "unknown key `strenght` in this edit. did you mean `strength`?"
    ]
    states = re.findall(r"^\| `check` \| `(.*?)` \| (\w+) \|$", summary, re.MULTILINE)
    assert dict(states) == {"good.editc.yaml": "ok", "sub/bad.editc.yaml": "failed", "sub/far.editc.yaml": "ok"}
    assert "`sub/bad.editc.yaml:5` **E102**" in summary and outputs.startswith("status=failed\n")


def test_a_model_that_is_not_there_is_a_mistake_where_models_are_looked_at(tmp_path: Path) -> None:
    write(tmp_path, far=FAR)
    code, log, _, _ = run(tmp_path, EDITC_WITHOUT_MODEL="false")
    assert code == 3 and log[0].startswith("::error file=far.editc.yaml,line=2,col=8,endColumn=20,title=E614::")


def test_a_build_leaves_its_delta_and_shows_what_was_measured(tmp_path: Path) -> None:
    write(tmp_path, good=GOOD)
    code, _, summary, outputs = run(tmp_path, EDITC_BUILD="true", EDITC_OUT="made")
    assert code == 0 and outputs == "status=done\ndeltas<<EDITC_END\nmade/good/delta.safetensors\nEDITC_END\n"
    assert (tmp_path / "made/good/delta.safetensors").is_file()
    assert "| erase_residual | circle | " in summary and "| `build` | `good.editc.yaml` | ok (works: " in summary


def test_without_a_manifest_or_a_model_to_verify_with_the_action_says_so(tmp_path: Path) -> None:
    assert run(tmp_path)[:2] == (2, ["::error::no manifest is there: name one under `manifests`, a path or a glob for "
                                     "each line"])  # fmt: skip
    code, log, _, _ = run(tmp_path, EDITC_VERIFY="delta.safetensors")
    assert code == 2 and "name it under `model`" in log[0]


def test_what_would_end_a_command_of_github_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a,b:c%.editc.yaml").write_text(BAD, encoding="utf-8")
    _, log, _, _ = run(tmp_path)
    assert log[0].startswith("::error file=a%2Cb%3Ac%25.editc.yaml,line=5,")
