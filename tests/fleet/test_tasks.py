"""What is done in a cell is what the verb alone does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fleet_cases as cases
import pytest
import tiny

from editc import api
from editc.fleet.cells import plan_cells
from editc.fleet.content import KnownHashes
from editc.fleet.plan import load_plan
from editc.fleet.results.store import Store
from editc.fleet.worker import run_cell

EDITS = "edits: [{erase: circle, to: square, contexts: ['a {}', 'a photo of a {}']}]"


def run_here(plan: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """The folder and the record of each cell, run in this process."""
    found, store = [], Store(plan.parent / "out")
    for cell in plan_cells(load_plan(plan), KnownHashes())[0]:
        run_cell(cell.as_job(), str(store.folder))
        record = store.result(cell.name)
        assert record is not None
        found.append((store.of(cell.name), record))
    return found


def test_a_build_and_its_verification_are_those_of_the_verbs(tmp_path: Path) -> None:
    tiny.pipeline_folder(tmp_path / "models" / "sd1")
    (tmp_path / "circle.yaml").write_text(f"editc: 1\nmodel: nobody/nothing\n{EDITS}\n")
    plan = tmp_path / "plan.yaml"
    plan.write_text("fleet: 1\ndo: build\nmanifests: [circle.yaml]\nmodels: [models/sd1]\nset: [constraints.rank=8]\n")
    ((folder, record),) = run_here(plan)
    overrides = ["constraints.rank=8", 'model="models/sd1"']
    built = api.build(tmp_path / "circle.yaml", tmp_path / "alone", overrides)
    assert built is not None and built.delta is not None and record["status"] == "done"
    assert record["result"]["delta_id"] == built.delta.delta_id
    for name in record["files"]:
        assert (folder / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    plan.write_text(f"fleet: 1\ndo: verify\ndeltas: [{folder}]\nmodels: [models/sd1]\n")
    ((_, again),) = run_here(plan)
    assert again["status"] == "done" and again["result"]["tier"] == "exact"
    measured = [(one["name"], one["holds"]) for one in again["result"]["claims"]]
    assert measured == [(one.name, one.holds) for one in built.claims]


@pytest.mark.parametrize("verb", ["verify", "attack"])
def test_what_a_verb_refuses_is_the_result_of_the_cell(tmp_path: Path, verb: str) -> None:
    plan = cases.write_plan(tmp_path, models=1, forms=["xor"], text=f"do: {verb}")
    ((_, record),) = run_here(plan)
    assert record["status"] == "failed" and [one["code"] for one in record["diagnostics"]] == ["E696"]


def test_a_build_that_breaks_a_bound_fails_with_its_report(tmp_path: Path) -> None:
    tiny.pipeline_folder(tmp_path / "sd1")
    (tmp_path / "circle.yaml").write_text(f"editc: 1\nmodel: sd1\n{EDITS}\nconstraints: {{erase_residual: 1e-9}}\n")
    plan = tmp_path / "plan.yaml"
    plan.write_text("fleet: 1\ndo: build\nmanifests: [circle.yaml]\nmodels: [sd1]\n")
    ((folder, record),) = run_here(plan)
    assert record["status"] == "failed" and "E501" in [one["code"] for one in record["diagnostics"]]
    assert record["files"] == ["report.html", "report.json"] and not (folder / "delta.safetensors").exists()
