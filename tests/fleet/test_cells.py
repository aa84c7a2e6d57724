"""Cells are named by what they hold: a changed input is another cell, and a moved one is the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet_cases import write_plan

from editc.core.diagnostics import EditcError
from editc.fleet.cells import model_override, plan_cells
from editc.fleet.content import KnownHashes
from editc.fleet.plan import load_plan

MANIFEST = "editc: 1\nmodel: editc:demo\npreserve: {files: [kept.txt]}\nedits: [{erase: cat}]\n"


def names(plan: Path) -> list[str]:
    return [cell.name for cell in plan_cells(load_plan(plan), KnownHashes())[0]]


def build_plan(folder: Path) -> Path:
    (folder / "cat.yaml").write_text(MANIFEST)
    (folder / "kept.txt").write_text("a dog\n")
    plan = folder / "plan.yaml"
    plan.write_text("fleet: 1\ndo: build\nmanifests: [cat.yaml]\nmodels: [editc:demo]\n")
    return plan


def test_there_is_a_cell_for_each_input_with_each_model(tmp_path: Path) -> None:
    cells, warnings = plan_cells(load_plan(write_plan(tmp_path, models=3)), KnownHashes())
    assert len({cell.name for cell in cells}) == len(cells) == 4 * 3 and not warnings
    assert [cell.title for cell in cells[:2]] == [
        "deltas/dense.safetensors x models/m0",
        "deltas/dense.safetensors x models/m1",
    ]


def test_the_same_plan_in_another_folder_has_the_same_cells(tmp_path: Path) -> None:
    write_plan(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert names(tmp_path / "one" / "plan.yaml") == names(tmp_path / "two" / "plan.yaml")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "models" / "m1" / "note.txt").write_text("other"),
        lambda folder: (folder / "models" / "m1" / "new.txt").write_text(""),
        lambda folder: (folder / "models" / "m1" / "note.txt").rename(folder / "models" / "m1" / "renamed.txt"),
        lambda folder: shutil.copyfile(folder / "deltas" / "xor.safetensors", folder / "deltas" / "dense.safetensors"),
    ],
    ids=["changed", "added", "renamed", "delta"],
)
def test_a_changed_input_is_another_cell(tmp_path: Path, change: Callable[[Path], object]) -> None:
    plan = write_plan(tmp_path)
    before = names(plan)
    change(tmp_path)
    after = names(plan)
    assert set(after) != set(before) and set(after) & set(before), "the cells of other inputs stay"


def test_another_option_is_another_cell(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    before = names(plan)
    plan.write_text(plan.read_text() + "link: true\n")
    assert not set(names(plan)) & set(before)


def test_a_file_that_a_manifest_names_is_part_of_it(tmp_path: Path) -> None:
    plan = build_plan(tmp_path)
    before = names(plan)
    (tmp_path / "kept.txt").write_text("a dog\na bird\n")
    assert names(plan) != before


def test_a_concept_that_is_called_as_a_folder_names_no_folder(tmp_path: Path) -> None:
    plan = build_plan(tmp_path)
    before = names(plan)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "file").write_text("")
    assert names(plan) == before


def test_the_model_that_a_manifest_names_is_no_part_of_it(tmp_path: Path) -> None:
    plan = build_plan(tmp_path)
    (tmp_path / "cat.yaml").write_text(MANIFEST.replace("editc:demo", "other"))
    before = names(plan)
    (tmp_path / "other").mkdir()
    assert names(plan) == before


def test_inputs_that_hold_the_same_are_one_cell_and_a_warning(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, models=1)
    shutil.copytree(tmp_path / "models" / "m0", tmp_path / "models" / "twin")
    cells, (warning,) = plan_cells(load_plan(plan), KnownHashes())
    assert len(cells) == 4 and not warning.is_error
    assert (warning.code, warning.message) == ("E703", "`models/m0` and `models/twin` hold the same")


def test_an_input_that_cannot_be_read_is_shown_in_the_plan(tmp_path: Path) -> None:
    plan = load_plan(build_plan(tmp_path))
    (tmp_path / "cat.yaml").write_bytes(b"\xff")
    with pytest.raises(EditcError) as caught:
        plan_cells(plan, KnownHashes())
    (one,) = caught.value.diagnostics
    assert one.code == "E100" and one.span == plan.inputs[0].span


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path, known = tmp_path / "file", KnownHashes(tmp_path / "hashes.json")
    path.write_text("one")
    first = known.of_file(path)
    known.save()
    again = KnownHashes.load(tmp_path / "hashes.json")
    assert again.of_file(path) == first and not again.fresh
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert again.of_file(path) != first and again.fresh


def test_a_link_to_a_folder_counts_as_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("one")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "unet").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    before = KnownHashes().of_path(tmp_path / "model")
    (tmp_path / "real" / "file").write_text("two2")
    assert KnownHashes().of_path(tmp_path / "model") != before


def test_a_model_is_named_from_the_folder_of_its_manifest(tmp_path: Path) -> None:
    build_plan(tmp_path)
    (tmp_path / "edits").mkdir()
    (tmp_path / "cat.yaml").rename(tmp_path / "edits" / "cat.yaml")
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "model.safetensors").write_bytes(b"")
    plan = tmp_path / "plan.yaml"
    plan.write_text("fleet: 1\ndo: build\nmanifests: [edits/cat.yaml]\nmodels: [my model, editc:demo]\n")
    cells, _ = plan_cells(load_plan(plan), KnownHashes())
    assert [model_override(cell) for cell in cells] == ['model="../my model"', 'model="editc:demo"']
