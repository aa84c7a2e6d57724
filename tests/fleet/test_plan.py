"""Plans are read as strictly as manifests: `cases/fleet/NAME.yaml` gives exactly the text in `NAME.txt`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fleet_cases import DELTAS, write_plan
from places import TESTS

from editc.cli.render import render
from editc.codes import catalogue
from editc.core.diagnostics import EditcError
from editc.core.places import Source
from editc.fleet.plan import decode_plan, load_plan

CASES = TESTS / "cases" / "fleet"
PLANS = sorted(CASES.glob("*.yaml"))
ELSEWHERE = {"E703", "E704", "E705", "E706", "E707", "E708", "E709", "E710"}
"""They need cells: test_cells.py, test_run.py, test_engines.py."""


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_case(path: Path, update_cases: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    plan, found = decode_plan(Source(path.name, path.read_text()), CASES)
    assert (plan is None) == bool(found)
    shown = render(found) or "no errors\n"
    if update_cases:
        path.with_suffix(".txt").write_text(shown)
    assert shown == path.with_suffix(".txt").read_text()


def test_every_code_of_plans_has_a_case() -> None:
    shown = "".join(path.with_suffix(".txt").read_text() for path in PLANS)
    codes = {code for code, entry in catalogue().items() if entry.stage == "fleet"}
    assert codes - set(re.findall(r"\[(E\d{3})\]", shown)) == ELSEWHERE


def test_a_pattern_finds_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    plan = load_plan(write_plan(tmp_path, models=2))
    names = ["dense", "low-rank", "shared", "xor"]
    assert [one.name for one in plan.inputs] == [f"deltas/{name}.safetensors" for name in names]
    assert [one.name for one in plan.models] == ["models/m0", "models/m1"]
    assert all(Path(one.place).is_absolute() for one in (*plan.inputs, *plan.models))


def test_what_is_named_twice_is_there_once(tmp_path: Path) -> None:
    path = write_plan(tmp_path, models=2)
    path.write_text(path.read_text().replace("[deltas/*]", "[deltas/xor.safetensors, deltas/*]"))
    assert [Path(one.name).stem for one in load_plan(path).inputs] == ["xor", "dense", "low-rank", "shared"]


def test_paths_begin_at_the_plan_and_not_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert len(load_plan(plan).inputs) == 4


def test_a_model_may_be_an_absolute_path_or_the_demo(tmp_path: Path) -> None:
    path = write_plan(tmp_path, models=1)
    path.write_text(path.read_text().replace("[models/*]", f"[editc:demo, {DELTAS / 'base'}]"))
    assert [one.place for one in load_plan(path).models] == ["editc:demo", str(DELTAS / "base")]


def test_a_plan_that_is_not_there_is_a_plan_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EditcError) as caught:
        load_plan(tmp_path / "none.yaml")
    (one,) = caught.value.diagnostics
    assert (one.code, one.message) == ("E100", "cannot read the plan: No such file or directory")
