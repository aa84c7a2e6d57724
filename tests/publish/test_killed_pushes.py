"""A push that is killed at random moments and started again ends with the same bytes, and whoever looks meanwhile finds
the publication before it, the whole new one, or none."""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hub_server import running_hub
from loopback import Answer, Request, Service, running
from oci_registry import Registry
from publish_cases import files_of, signed_build

from editc.core.diagnostics import EditcError
from editc.core.storage import disk
from editc.verbs.public import pull, push

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a push is killed in a process of its own, by fork")
KILLS = 3
"""How often a push is killed, at random moments, before one is left to end."""
STEPS = ("write_new", "rename", "exchange", "make_folder", "remove_tree", "sync_folder")
"""What changes a disk: before one of these a push to a folder is killed."""
Files = Mapping[str, bytes]


def in_child(work: Callable[[], Any], watch: Callable[[int], Any] = lambda child: None) -> int:
    """Run `work` in a process of its own, once `watch` knows its id: its status, negative for the signal that ended
    it."""
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(ready, 1)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
            os._exit(1)
    watch(child)
    os.write(go, b"!")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(ready)
    os.close(go)
    return status


def found_at(place: str, folder: Path) -> Files | None:
    """What a reader gets: the files, or None where nothing is published. Any other error fails the test."""
    try:
        return files_of(pull(place, folder).folder)
    except EditcError as error:
        assert [one.code for one in error.diagnostics] == ["E960"], error
        return None


def killing(service: Service, number: int, child: int) -> None:
    """Let the service kill its client at a request: before the service does what was asked, or, by a coin, after it."""
    real, seen, done = type(service).answer, count(1), random.Random(number).random() < 0.5

    def answer(request: Request) -> Answer:
        here = next(seen) == number
        given = Answer(500) if here and not done else real(service, request)
        if here:
            os.kill(child, signal.SIGKILL)
        return given

    service.answer = answer  # type: ignore[method-assign]


def requests_of_a_push(service: Service, out: Path, place: str) -> int:
    """How many requests a push sends that nobody disturbs."""
    before = len(service.asked)
    push(out, place)
    return len(service.asked) - before


def assert_whole_after_kills(tmp_path: Path, service: Service, out: Path, place: str, whole: int, new: Files) -> None:
    """Kill pushes to `place`, where an older publication or none is, until all the new one is there; then compare."""
    old, rng = found_at(place, tmp_path / "old"), random.Random(whole)
    for trial in range(KILLS):
        number = rng.randint(1, whole)
        ended = in_child(lambda: push(out, place), partial(killing, service, number))
        del service.answer
        assert ended in (0, -signal.SIGKILL), "a push that meets what a killed one left goes on"
        assert found_at(place, tmp_path / f"seen-{trial}") in (old, new), f"half a publication after request {number}"
    assert in_child(lambda: push(out, place)) == 0
    assert found_at(place, tmp_path / "end") == new


def two_builds(folder: Path) -> tuple[Path, Path]:
    """Two builds of the same name, with different pages and signatures of their own."""
    first, second = signed_build(folder / "first"), signed_build(folder / "second")
    (second / "report.html").write_text("another page")
    return first, second


@pytest.mark.parametrize("referrers", [True, False], ids=["lists referrers", "keeps them under a tag"])
def test_a_registry_never_shows_half_a_delta(tmp_path: Path, referrers: bool) -> None:
    first, second = two_builds(tmp_path)
    with running(Registry(referrers)) as registry:
        whole = requests_of_a_push(registry, second, f"oci://{registry.base}/clean/circle:v1")
        new = files_of(pull(f"oci://{registry.base}/clean/circle:v1", tmp_path / "new").folder)
    with running(Registry(referrers)) as registry:
        place = f"oci://{registry.base}/edits/circle:v1"
        if referrers:
            push(first, place)
        assert_whole_after_kills(tmp_path, registry, second, place, whole, new)


def test_the_hub_never_shows_half_a_delta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_builds(tmp_path)
    with running_hub(monkeypatch) as hub:
        whole = requests_of_a_push(hub, second, "hf://me/clean")
        new = files_of(pull("hf://me/clean", tmp_path / "new").folder)
        assert_whole_after_kills(tmp_path / "none", hub, second, "hf://me/fresh", whole, new)
        push(first, "hf://me/circle")
        assert_whole_after_kills(tmp_path / "older", hub, second, "hf://me/circle", whole, new)


def kill_at_step(number: int, exchanges: bool) -> None:
    """Let this process kill itself before its step `number` on the disk. `exchanges` False: names cannot be
    exchanged."""
    steps = count(1)
    for name in STEPS:
        real = getattr(disk, name)

        def step(*given: Any, real: Callable[..., Any] = real, name: str = name, **named: Any) -> Any:
            if next(steps) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return False if name == "exchange" and not exchanges else real(*given, **named)

        setattr(disk, name, step)


def push_killed_at(number: int, exchanges: bool, out: Path, place: str) -> None:
    """A push to a folder that kills itself before a step."""
    kill_at_step(number, exchanges)
    push(out, place)


@pytest.mark.parametrize("target", ["{}", "oci:{}:v1"])
@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "renames"])
def test_a_folder_never_holds_half_a_delta(tmp_path: Path, target: str, exchanges: bool) -> None:
    """Killed before steps on the disk, the last ones among them; what killed pushes left is gone at the end."""
    first, second = two_builds(tmp_path)
    place = target.format(tmp_path / "shelf" / "edit")
    push(second, place)
    new = found_at(place, tmp_path / "new")
    for number in (*random.Random(place[:5]).sample(range(1, 12), KILLS), 13, 14, 15, 16, 17, 18, 10_000):
        push(first, place)
        old = found_at(place, tmp_path / f"old-{number}")
        ended = in_child(partial(push_killed_at, number, exchanges, second, place))
        assert ended in (0, -signal.SIGKILL) and (number < 13) <= (ended < 0)
        assert found_at(place, tmp_path / f"seen-{number}") in ((old, new) if exchanges else (old, new, None))
    assert not ended and found_at(place, tmp_path / "end") == new
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["edit"]


def test_a_push_leaves_the_hidden_folder_of_one_that_lives_alone(tmp_path: Path) -> None:
    """Two pushes at once: what the other one writes is locked, and what nobody has locked is removed."""
    out, shelf = signed_build(tmp_path / "build"), tmp_path / "shelf"
    push(out, str(shelf / "edit"))
    living, left, other = (shelf / f".edit.editc-{digit * 12}" for digit in "abz")
    for folder in (living, left, other):
        folder.mkdir()
    with disk.wait_for_lock(living):
        push(out, str(shelf / "edit"))
        assert living.is_dir() and not left.exists() and other.is_dir(), "z is no digit: not a name of editc's"
