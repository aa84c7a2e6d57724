"""`check` of several manifests, and of a manifest whose model is elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import editc

from editc import api
from editc.core.diagnostics import EditcError
from editc.verbs.check import check_each

FAR = "editc: 1\nmodel: nobody/there\nedits:\n  - erase: circle\n"


@pytest.fixture
def manifests(tmp_path: Path) -> tuple[Path, ...]:
    """A sound one, one with a mistake, one whose model is not here, and none."""
    texts = {"sound": FAR.replace("nobody/there", "editc:demo"), "wrong": FAR + "    strenght: 2\n", "far": FAR}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tuple(tmp_path / f"{name}.yaml" for name in (*texts, "none"))


def test_each_of_several_manifests_is_checked_whatever_is_wrong_with_the_others(manifests: tuple[Path, ...]) -> None:
    found = check_each((*manifests, manifests[0]))
    codes = {path.stem: [one.code for one in checked.diagnostics] for path, checked in found.items()}
    assert codes == {"sound": [], "wrong": ["E614", "E102"], "far": ["E614"], "none": ["E100"]}


def test_a_manifest_that_is_alone_and_cannot_be_read_raises(manifests: tuple[Path, ...]) -> None:
    with pytest.raises(EditcError, match="E100"):
        check_each(manifests[-1:])


def test_without_its_model_a_manifest_has_its_own_mistakes_only(manifests: tuple[Path, ...]) -> None:
    found = [api.check(one, without_model=True) for one in manifests[:3]]
    assert [[one.code for one in checked.diagnostics] for checked in found] == [[], ["E102"], []]
    assert [checked.plan for checked in found] == [None] * 3 and "without its model" in repr(found[2])


def test_several_manifests_have_a_row_each_in_the_json(manifests: tuple[Path, ...]) -> None:
    ran = editc("check", *map(str, manifests), "--json")
    said = json.loads(ran.stdout)
    rows = [(Path(row["file"]).stem, row["status"]) for row in said["manifests"]]
    assert rows == [("sound", "done"), ("wrong", "failed"), ("far", "failed"), ("none", "failed")]
    assert ran.returncode == 3 and said["status"] == "failed" and len(said["diagnostics"]) == 4


def test_one_manifest_has_the_json_that_it_had(manifests: tuple[Path, ...]) -> None:
    said = json.loads(editc("check", str(manifests[0]), "--json").stdout)
    assert said.keys() == {"status", "family", "sites", "edits"}
