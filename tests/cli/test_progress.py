"""Nobody waits before a silent terminal, and nothing stands on it that a library says."""

from __future__ import annotations

import gc
import io
import logging
import os
import pty
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from places import SUPPORT

from editc import cli
from editc.cli import terminal
from editc.libraries import foreign
from editc.progress import ProgressLine, clock, open_progress

MANIFEST = """editc: 1
model: editc:demo
edits: [{erase: circle, to: square}]
verify:
  images: {steps: 2, prompts_per_concept: 2, bystanders: {near: 0, far: 0}}
"""
SILENCE = 2.0
"""Seconds that a terminal may stand still."""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def standing(drawn: bool = True) -> tuple[ProgressLine, Clock, io.StringIO]:
    now, out = Clock(), io.StringIO()
    return ProgressLine("build", out, drawn, 0.25, now), now, out


# the line


def test_the_line_says_what_is_done_and_since_when() -> None:
    found, now, _ = standing()
    assert found.line() == "build 0:00"
    found("opening the model", ())
    now.time += 65
    assert found.line() == "build 1:05  opening the model"
    loop = iter(found("paint", range(4)))
    next(loop)
    now.time += 10
    next(loop)
    assert found.line().startswith("build 1:15  paint [######-----") and "1 of 4, 0:30 left" in found.line()
    now.time += 5
    assert "0:25 left" in found.line(), "less as time goes by"
    inner = iter(found("step", range(3)))
    assert [next(inner), next(inner)] == [0, 1] and found.line().endswith("left, step 1 of 3")
    assert list(inner) == [2] and list(loop) == [2, 3]
    assert found.line() == "build 1:20  opening the model"


def test_a_loop_that_is_left_is_over() -> None:
    found, _, _ = standing()
    for _ in found("paint", range(3)):
        break
    gc.collect()
    assert not found.loops


def test_on_a_terminal_the_line_is_drawn_over_and_taken_away() -> None:
    found, _, out = standing()
    found.write()
    found.clear()
    found.clear()
    assert re.fullmatch(r"\r\x1b\[2K. build 0:00\r\x1b\[2K", out.getvalue())


def test_elsewhere_it_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, out = standing(drawn=False)
    found.write()
    found.clear()
    assert out.getvalue() == "build 0:00\n"
    monkeypatch.delenv("EDITC_PROGRESS")
    quiet = open_progress("build", io.StringIO())
    assert quiet is not None and not quiet.on_terminal and quiet.interval >= 10


def test_nobody_need_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITC_PROGRESS", "none")
    assert open_progress("build", io.StringIO()) is None
    assert [clock(s) for s in (0, 59.9, 61, 3723)] == ["0:00", "0:59", "1:01", "1:02:03"]


# what libraries say


def test_what_is_printed_meanwhile_is_kept_back(capfd: pytest.CaptureFixture[str]) -> None:
    foreign.CAPTURED.clear()
    with foreign.capture_output() as (out, err):
        print("on stdout")
        handler = logging.StreamHandler()
        logging.getLogger("some_library").addHandler(handler)
        logging.getLogger("some_library").warning("a log")
        print("Loading:   0%|", end="\r", file=sys.stderr)
        print("Loading: 100%|##", file=sys.stderr)
        print("ours", file=err)
        print("our answer", file=out)
    logging.getLogger("some_library").warning("too late")
    logging.getLogger("some_library").removeHandler(handler)
    assert capfd.readouterr() == ("our answer\n", "ours\n")
    said = "\n".join(foreign.CAPTURED)
    assert "on stdout" in said and "a log" in said
    assert "Loading: 100%|##" in said and "0%" not in said.replace("100%", "")
    assert foreign.last_lines().startswith("output of the libraries:\n  on stdout\n")


def run(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(SUPPORT), **env}
    return subprocess.run([sys.executable, "-P", "-c", program, *arguments], capture_output=True, text=True, env=given)


NOISY = """
import os, sys, subprocess, warnings
from editc import cli
from editc.verbs import public as api
def inspect(place):
    os.write(2, b"from C++\\n")
    os.write(1, b"from C++ to stdout\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('a child', file=sys.stderr)"])
    print("a bar", file=sys.stderr)
    warnings.warn("deprecated", FutureWarning)
    if place == "bug":
        raise ZeroDivisionError("ours")
    return {"kind": "thing", "path": place}
api.inspect = inspect
from editc.cli import show
show.inspect_result = lambda found: show.Output("the answer", found)
cli.main()
"""


def test_what_is_printed_below_python_is_kept_back_too() -> None:
    done = run(NOISY, "inspect", "x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the answer\n", "")
    told = run(NOISY, "inspect", "x", EDITC_DEBUG="1")
    assert told.stdout == "the answer\n"
    assert all(f"  {line}\n" in told.stderr for line in ("from C++", "from C++ to stdout", "a child", "a bar"))
    assert "FutureWarning: deprecated" in told.stderr


def test_a_bug_says_what_libraries_said() -> None:
    done = run(NOISY, "inspect", "bug")
    assert done.returncode == 70 and "ZeroDivisionError: ours" in done.stderr
    assert "output of the libraries:" in done.stderr and "  from C++\n" in done.stderr


def test_a_closed_pipe_and_a_stop_leave_the_streams_as_they_were() -> None:
    before = sys.stdout, sys.stderr, os.fstat(2).st_ino

    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        terminal.run_verb(stopped)
    assert (sys.stdout, sys.stderr, os.fstat(2).st_ino) == before and not terminal._running


# the whole


def watched(*arguments: str, **env: str) -> tuple[int, list[tuple[float, bytes]], float]:
    """The exit code of a command on a terminal of its own, what it wrote and when, and when it ended."""
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "TERM": "xterm", "COLUMNS": "120", "EDITC_PROGRESS": "auto", **env}
    child, terminal_ = pty.fork()
    if child == 0:  # pragma: no cover
        os.execve(sys.executable, [sys.executable, "-P", "-m", "editc", *arguments], given)
    begun, seen = time.monotonic(), []
    while True:
        try:
            data = os.read(terminal_, 1 << 16)
        except OSError:
            break
        if not data:
            break
        seen.append((time.monotonic() - begun, data))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen, time.monotonic() - begun


@pytest.mark.slow
def test_a_build_is_never_silent_and_leaves_its_answer_alone(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST)
    code, seen, ended = watched("build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out"), EDITC_CACHE="")
    assert code == 0
    text = b"".join(data for _, data in seen).decode()
    # The demo's text encoder is open before a line would be drawn, so its phase need not be seen.
    for phase in ("loading the pipeline", "derive", "paint", "writing"):
        assert phase in text
    times = [0.0, *(at for at, _ in seen), ended]
    silent = max(later - earlier for earlier, later in pairwise(times))
    load = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert silent < SILENCE * load, f"silent for {silent:.1f} s at a load of {load:.1f}"
    answer = text[text.rindex("\x1b[2K") + 4 :]
    assert "delta.safetensors" in answer and "build 0:" not in answer


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["-q", "build"], ["build", "--json"]])
def test_quiet_is_quiet(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST.replace("verify:", "# verify:").replace("  images", "#  images"))
    code, seen, _ = watched(*arguments, str(tmp_path / "m.yaml"), "-o", str(tmp_path / "out"))
    assert code == 0 and b"\x1b[2K" not in b"".join(data for _, data in seen)


def test_the_garbage_of_the_command_line_is_hardly_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `main` sets is what holds while a command runs."""
    before, seen = gc.get_threshold(), []

    def explained(name: str) -> str:
        seen.append(gc.get_threshold()[0])
        return ""

    monkeypatch.setattr("editc.verbs.public.explain", explained)
    monkeypatch.setattr(sys, "argv", ["editc", "explain", "E501"])
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        gc.set_threshold(*before)
    assert ended.value.code == 0 and seen == [cli.GC_THRESHOLD]


def test_what_a_pass_prints_on_purpose_is_an_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST)
    given: list[Any] = ["build", str(tmp_path / "m.yaml"), "--print-after", "locate"]
    assert terminal.run_command(cli.cli, given) == 0
    assert capfd.readouterr().out.startswith("after locate:\n")
