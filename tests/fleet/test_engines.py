"""Ray and Slurm run the same cells with the same results, and a worker that dies costs no cell."""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import fleet_cases as cases
import pytest
from fleet_engines import FakeRay, FakeSlurm

from editc.cli import cli, terminal
from editc.core.diagnostics import EditcError
from editc.core.storage.disk import wait_for_lock
from editc.fleet.run import How, fleet


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return cases.write_plan(tmp_path, models=1)


@pytest.fixture
def alone(plan: Path) -> Path:
    """The same plan, done by processes of this machine."""
    cases.run(plan, plan.parent / "alone")
    return plan.parent / "alone"


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_whose_package_is_missing_says_how_to_install_it(
    plan: Path, monkeypatch: pytest.MonkeyPatch, engine: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EditcError) as caught:
        cases.run(plan, engine=engine)
    (one,) = caught.value.diagnostics
    assert one.code == "E707" and package in one.message and ".[fleet]" in one.help


def test_ray_begins_a_cell_again_whose_worker_crashed(plan: Path, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(dies_of={"low-rank": 2})
    monkeypatch.setitem(sys.modules, "ray", ray.as_module())
    found = cases.run(plan, engine="ray", workers=2)
    assert (found.ran, found.failures, ray.on) == (4, (), False)
    assert cases.results(plan.parent / "out") == cases.results(alone)
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"], ray.asked["max_retries"]) == (1, 0, 0)
    assert ray.asked["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "1"


def test_ray_gives_up_a_cell_whose_workers_all_crash(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay(dies_of={"low-rank": 9}).as_module())
    found = cases.run(plan, engine="ray", workers=2)
    assert found.ran == 3 and [one.code for one in found.failures] == ["E705"]
    assert "WorkerCrashedError" in found.failures[0].notes[0]


def test_a_ray_cluster_that_does_not_answer_is_an_error_of_the_request(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay().as_module())
    assert terminal.run_command(cli, ["fleet", str(plan), "--engine", "ray", "--address", "10.0.0.1:6379"]) == 3
    with pytest.raises(EditcError) as caught:
        fleet(plan, plan.parent / "out", How("ray", address="10.0.0.1:6379"))
    (one,) = caught.value.diagnostics
    assert (one.code, one.message) == ("E710", "no Ray cluster answers at 10.0.0.1:6379")


def test_slurm_submits_again_what_a_killed_job_left(plan: Path, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = FakeSlurm(dies_of={"dense": 1})
    monkeypatch.setitem(sys.modules, "submitit", slurm.as_module())
    found = cases.run(plan, engine="slurm", workers=2)
    assert (found.ran, found.failures) == (4, ())
    assert slurm.arrays == [[["dense", "shared"], ["low-rank", "xor"]], [["shared"], ["dense"]]]
    assert cases.results(plan.parent / "out") == cases.results(alone)


def test_slurm_gives_up_the_cell_that_kills_its_jobs_and_no_other(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = FakeSlurm(dies_of={"dense": 9})
    monkeypatch.setitem(sys.modules, "submitit", slurm.as_module())
    found = cases.run(plan, engine="slurm", workers=1)
    assert found.ran == 3 and [one.code for one in found.failures] == ["E705"]
    assert slurm.dies_of == {"dense": 6}, "three tries"


def test_jobs_that_begin_no_cell_are_an_error_with_what_they_printed(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", FakeSlurm(refuses=True).as_module())
    with pytest.raises(EditcError) as caught:
        cases.run(plan, engine="slurm")
    (one,) = caught.value.diagnostics
    assert one.code == "E710" and one.notes[-1] == "slurmstepd: error: no such partition"


def test_options_of_slurm_have_the_names_that_submitit_wants(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = FakeSlurm()
    monkeypatch.setitem(sys.modules, "submitit", slurm.as_module())
    options = ["--slurm", "partition=gpu", "--slurm", "mem_gb=32", "--threads", "4"]
    assert terminal.run_command(cli, ["fleet", str(plan), "--engine", "slurm", *options]) == 0
    assert slurm.parameters == {"name": "editc", "cpus_per_task": 4, "slurm_partition": "gpu", "mem_gb": 32}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its processes to end
@pytest.mark.skipif(find_spec("submitit") is None, reason="the extra `fleet` is not installed")
def test_submitit_runs_a_fleet_and_a_job_that_is_killed_costs_no_cell(plan: Path, alone: Path) -> None:
    out = plan.parent / "out"
    held = cases.cell_folders(plan, out)[2]
    held.mkdir(parents=True)
    with ThreadPoolExecutor(1) as threads:
        with wait_for_lock(held):
            running = threads.submit(cases.run, plan, engine="slurm", slurm={"cluster": "local"})
            cases.wait_until(lambda: len([*out.glob("cells/*/cell.json")]) == 2)
            done = next(out.glob("cells/*/cell.json"))
            os.kill(json.loads(done.read_text())["run"]["process"], signal.SIGKILL)
        found = running.result()
    assert (found.ran, found.failures) == (4, ()) and cases.starts(out) == [1] * 4
    assert cases.results(out) == cases.results(alone)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra `fleet` is not installed")
def test_ray_runs_a_fleet_and_a_worker_that_is_killed_costs_no_cell(plan: Path, alone: Path) -> None:
    out = plan.parent / "out"
    held = cases.cell_folders(plan, out)[2]
    held.mkdir(parents=True)
    with ThreadPoolExecutor(1) as threads:
        with wait_for_lock(held):
            running = threads.submit(cases.run, plan, engine="ray")
            cases.wait_until(lambda: len([*out.glob("cells/*/cell.json")]) == 2)
            done = next(out.glob("cells/*/cell.json"))
            os.kill(json.loads(done.read_text())["run"]["process"], signal.SIGKILL)
        found = running.result()
    assert (found.ran, found.failures) == (4, ()) and cases.starts(out) == [1] * 4
    assert cases.results(out) == cases.results(alone)
