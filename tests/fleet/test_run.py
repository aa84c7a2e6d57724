"""A fleet on this machine: done cells are skipped, failed ones are listed, and a run that was killed goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import fleet_cases as cases
import pytest

from editc import api
from editc.cli import cli, terminal
from editc.cli.fleet import ENGINES
from editc.core.storage.disk import wait_for_lock
from editc.fleet import run
from editc.fleet.results.store import Store


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def records_on_disk(out: Path) -> list[Path]:
    return sorted(out.glob("cells/*/cell.json"))


def test_a_fleet_does_in_each_cell_what_the_verb_does(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path, models=1)
    found = cases.run(plan)
    assert (found.ran, found.before, found.failures) == (4, 0, ())
    _, alone = api.apply(tmp_path / "deltas" / "xor.safetensors", tmp_path / "models" / "m0", out=tmp_path / "alone")
    row = next(row for row in found.rows if "xor" in row.cell.input_name)
    assert row.record is not None
    assert row.record["result"]["tensors"] == {f"{c}/{name}": sha for (c, name), sha in alone.results.items()}
    files = [path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*") if path.is_file()]
    folder = Store(tmp_path / "out").of(row.cell.name) / "model"
    assert files and all((folder / one).read_bytes() == (tmp_path / "alone" / one).read_bytes() for one in files)


def test_cells_that_are_done_are_skipped_and_new_ones_run(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path, models=1)
    cases.run(plan)
    (tmp_path / "models" / "m0" / "note.txt").write_text("another")
    again = cases.run(plan)
    assert (again.ran, again.before) == (4, 0), "a changed model is other cells"
    third = cases.run(plan)
    assert (third.ran, third.before) == (0, 4) and set(cases.starts(tmp_path / "out")) == {1}


def test_a_cell_that_fails_is_listed_and_the_rest_finishes(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path, models=2, forms=["dense", "xor"])
    weights = next((tmp_path / "models" / "m1" / "unet").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4])
    found = cases.run(plan)
    assert [row.status for row in found.rows] == ["done", "failed"] * 2
    (failure,) = found.failures
    assert failure.code == "E704" and failure.message == "2 of 4 cells failed" and len(failure.notes) == 2
    assert failure.notes[0].startswith("deltas/dense.safetensors x models/m1: E61")
    page = (tmp_path / "out" / "fleet.html").read_text()
    assert "2 of 4 cells done, 2 failed" in page and "deltas/xor.safetensors x models/m1" in page
    assert cases.run(plan).ran == 0
    assert cases.run(plan, retry=True).ran == 2


def test_a_cell_whose_input_changed_meanwhile_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from editc.fleet import worker
    from editc.fleet.cells import plan_cells
    from editc.fleet.content import KnownHashes
    from editc.fleet.plan import load_plan

    (cell, *_), _ = plan_cells(load_plan(cases.write_plan(tmp_path, models=1)), KnownHashes())
    (tmp_path / "models" / "m0" / "note.txt").write_text("changed")
    assert worker.run_cell(cell.as_job(), str(tmp_path / "out")) == "failed"
    changed = Store(tmp_path / "out").result(cell.name)
    assert changed is not None and [one["code"] for one in changed["diagnostics"]] == ["E706"]
    job = cell.as_job() | {"tool": "editc 99", "name": "other"}
    assert worker.run_cell(job, str(tmp_path / "out")) == "failed"
    foreign = Store(tmp_path / "out").result("other")
    assert foreign is not None and [one["code"] for one in foreign["diagnostics"]] == ["E708"]


def test_a_bug_in_one_cell_is_its_result(tmp_path: Path) -> None:
    from editc.fleet import worker
    from editc.fleet.cells import plan_cells
    from editc.fleet.content import KnownHashes
    from editc.fleet.plan import load_plan

    (cell, *_), _ = plan_cells(load_plan(cases.write_plan(tmp_path, models=1)), KnownHashes())
    job = cell.as_job() | {"options": {"no_such_option": True}}
    assert worker.run_cell(job, str(tmp_path / "out")) == "failed"
    found = Store(tmp_path / "out").result(cell.name)
    assert found is not None
    (one,) = found["diagnostics"]
    assert one["code"] == "E709" and "no_such_option" in one["message"] and "Traceback" not in one["message"]


def test_jobs_by_index_share_the_cells_and_the_last_one_shows_all(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path, models=2)
    ran = [cases.run(plan, share=(index, 3)).ran for index in range(3)]
    assert ran == [3, 3, 2] and set(cases.starts(tmp_path / "out")) == {1}
    assert len(cases.records(tmp_path / "out")) == 8
    cases.run(plan, tmp_path / "whole", workers=2)
    assert cases.results(tmp_path / "whole") == cases.results(tmp_path / "out")


def test_what_a_killed_worker_left_is_cleared_and_the_cell_done_again(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path, models=1)
    folder = cases.cell_folders(plan, tmp_path / "out")[0]
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "half").write_text("half")
    (folder / "cell.json").write_text('{"cell": 1, "na')
    found = cases.run(plan)
    assert found.ran == 4 and not found.failures and not (folder / "model" / "half").exists()


def test_a_worker_that_is_killed_costs_no_cell(tmp_path: Path) -> None:
    plan, out = cases.write_plan(tmp_path, models=2), tmp_path / "out"
    held = cases.cell_folders(plan, out)[5]
    held.mkdir(parents=True)
    with ThreadPoolExecutor(1) as threads:
        with wait_for_lock(held):  # the worker waits here, in the middle of its cells
            running = threads.submit(cases.run, plan)
            cases.wait_until(lambda: len(records_on_disk(out)) == 5)
            process = json.loads(records_on_disk(out)[0].read_text())["run"]["process"]
            os.kill(process, signal.SIGKILL)
        found = running.result()
    assert (found.ran, found.failures) == (8, ()) and cases.starts(out) == [1] * 8
    processes = {one["run"]["process"] for one in cases.records(out).values()}
    assert len(processes) == 2 and process in processes


def test_a_cell_that_kills_its_worker_each_time_is_given_up_alone(tmp_path: Path) -> None:
    plan, out = cases.write_plan(tmp_path, models=1), tmp_path / "out"
    held = cases.cell_folders(plan, out)[1]
    held.mkdir(parents=True)
    with ThreadPoolExecutor(1) as threads, wait_for_lock(held):
        running = threads.submit(cases.run, plan)
        cases.wait_until(lambda: len(records_on_disk(out)) == 1)
        killed = set[int]()
        while len(records_on_disk(out)) < 3:
            for process in {child.pid or 0 for child in active_children()} - killed:
                if _waits_in(process, held):
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)
        found = running.result()
    assert len(killed) == 3 and found.ran == 3
    (failure,) = found.failures
    assert failure.code == "E705" and failure.notes[0].startswith("deltas/low-rank.safetensors x models/m0: ")
    assert cases.run(plan).ran == 1, "nothing is recorded for it, so the next run begins it again"


def _waits_in(process: int, folder: Path) -> bool:
    """True if the process has the folder open, as it has while it waits for the lock."""
    with suppress(OSError):
        return any(link.resolve() == folder for link in Path(f"/proc/{process}/fd").iterdir())
    return False


def test_a_fleet_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    plan, out = cases.write_plan(tmp_path, models=2), tmp_path / "out"
    held = cases.cell_folders(plan, out)[5]
    held.mkdir(parents=True)
    with wait_for_lock(held):
        command = [sys.executable, "-P", "-m", "editc", "fleet", str(plan), "-o", str(out), "--workers", "1"]
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cases.wait_until(lambda: len(records_on_disk(out)) == 5)
        driver.kill()
        driver.wait()
        process = json.loads(records_on_disk(out)[0].read_text())["run"]["process"]
        cases.wait_until(lambda: not alive(process))
    before = {path: path.stat().st_mtime_ns for path in records_on_disk(out)}
    found = cases.run(plan)
    assert (found.ran, found.before) == (3, 5) and cases.starts(out) == [1] * 8
    assert {path: path.stat().st_mtime_ns for path in before} == before
    cases.run(plan, tmp_path / "whole")
    assert cases.results(out) == cases.results(tmp_path / "whole")


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    plan = cases.write_plan(tmp_path)
    found = cases.run(plan, dry_run=True)
    assert [row.status for row in found.rows] == ["waiting"] * 8 and not (tmp_path / "out").exists()


def test_the_command_says_how_many_cells_are_in_each_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = cases.write_plan(tmp_path, models=1)
    assert terminal.run_command(cli, ["fleet", str(plan), "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 cells: 4 done, 0 failed, 0 waiting\nthis run: 4 run, 0 done before\nwrote ")
    assert terminal.run_command(cli, ["fleet", str(plan), "--json", "--index", "1", "--of", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "done" and found["before"] == 2 and found["counts"]["done"] == 4


def test_the_command_knows_every_engine() -> None:
    assert list(ENGINES.choices) == list(run.ENGINES)


@pytest.mark.parametrize(
    "options",
    [
        ["--index", "1"],
        ["--index", "2", "--of", "2"],
        ["--slurm", "partition=gpu"],
        ["--address", "a:1"],
        ["--engine", "slurm", "--slurm", "gpu"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str]) -> None:
    assert terminal.run_command(cli, ["fleet", str(cases.write_plan(tmp_path)), *options]) == 2
