"""Processes that attack end with the one that asked for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

PROGRAM = """
import time
from multiprocessing import get_context
from editc.opening.attack_processes import end_with_parent

def attack(end):
    end_with_parent()
    end.send(True)
    time.sleep(60)

if __name__ == "__main__":
    context = get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=attack, args=(there,))
    process.start()
    here.recv()
    print(process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="no processes can be forked here")
def test_a_killed_build_leaves_no_attack_running(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as build:
        assert build.stdout is not None
        attack = int(build.stdout.readline())
        assert _runs(attack)
        build.kill()
    end = time.monotonic() + 20
    while _runs(attack) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(attack)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
