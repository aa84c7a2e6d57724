"""The undo journal: whatever happens, and whenever, every byte comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_files import KEYS, delta_for, pipeline, refused, tree, write_pipeline

from editc.core.storage import disk
from editc.formats.apply import journal
from editc.formats.apply.apply import apply, plan_apply, revert
from editc.formats.apply.status import status
from editc.formats.delta.container import write_delta
from editc.formats.models.model import open_model

STEPS = (
    "write_new",
    "write_at",
    "sync_file",
    "make_folder",
    "rename",
    "remove_file",
    "remove_tree",
    "remove_if_empty",
    "set_mtime",
)


class Crash(BaseException):
    """The machine stops: nothing may be cleaned up."""


def crashing(patch: pytest.MonkeyPatch, moment: int, half: bool) -> list[str]:
    """Stops at write number `moment`: before it, or with half of its bytes written. Returns the steps made."""
    made: list[str] = []

    def wrap(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: Any) -> None:
            made.append(name)
            if len(made) == moment:
                if half and name == "write_at":
                    real(arguments[0], arguments[1], arguments[2][: len(arguments[2]) // 2])
                elif half and name == "write_new":
                    with arguments[0].open("wb") as file:
                        file.write(b"".join(arguments[1])[:7])
                elif half:
                    real(*arguments)
                raise Crash
            real(*arguments)

        return step

    for name in STEPS:
        patch.setattr(disk, name, wrap(name, getattr(disk, name)))
    return made


def crash_at(monkeypatch: pytest.MonkeyPatch, moment: int, half: bool, action: Callable[[], object]) -> bool:
    """True when `action` got as far as that moment."""
    with monkeypatch.context() as patch:
        crashing(patch, moment, half)
        try:
            action()
        except Crash:
            return True
    return False


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("half", [False, True])
def test_a_crash_at_any_write_of_an_apply_can_be_undone_or_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, shards: int
) -> None:
    model = pipeline(tmp_path / "m", shards=shards)
    before, delta = tree(tmp_path), delta_for(model)
    apply(plan_apply([delta], model), in_place=True)
    edited = {name: model.component("unet").raw(name) for name in KEYS}
    revert(model)
    assert tree(tmp_path) == before
    moment = 0
    while True:
        moment += 1
        if not crash_at(monkeypatch, moment, half, lambda: apply(plan_apply([delta], model), in_place=True)):
            break
        if tree(tmp_path) != before:
            revert(model)
        assert tree(tmp_path) == before, f"undone after step {moment}"
        crash_at(monkeypatch, moment, half, lambda: apply(plan_apply([delta], model), in_place=True))
        plan = plan_apply([delta], model)
        assert apply(plan, in_place=True).status == (
            "done" if plan.interrupted or plan.status == "ready" else "already"
        )
        assert {name: model.component("unet").raw(name) for name in KEYS} == edited, f"finished after step {moment}"
        assert status(model).applied == (delta.delta_id,) and not status(model).interrupted
        revert(model)
        assert tree(tmp_path) == before
    assert moment > 9


@pytest.mark.parametrize("half", [False, True])
def test_a_crash_at_any_write_of_a_revert_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    model = pipeline(tmp_path / "m")
    before, delta = tree(tmp_path), delta_for(model)
    moment = 0
    while True:
        moment += 1
        apply(plan_apply([delta], model), in_place=True)
        if not crash_at(monkeypatch, moment, half, lambda: revert(model)):
            break
        if tree(tmp_path) != before:
            revert(model)
        assert tree(tmp_path) == before, f"after step {moment}"
    assert moment > 6


def test_kill_minus_nine(tmp_path: Path) -> None:
    """A real process, really killed, at moments spread over its run."""
    root = write_pipeline(tmp_path / "m")
    model = open_model(root)
    delta = write_delta(delta_for(model), tmp_path / "d.safetensors")
    before = tree(root)
    program = (
        "import sys, time; from editc.core.storage import disk as files\n"
        "from editc.formats.apply.apply import apply, plan_apply; from editc.formats.models.model import open_model\n"
        "from editc.formats.delta.container import read_delta\n"
        "real = files.write_at\n"
        "def slow(*a):\n    real(*a); print('wrote', flush=True); time.sleep(0.2)\n"
        "files.write_at = slow\n"
        "model = open_model(sys.argv[1])\n"
        "apply(plan_apply([read_delta(sys.argv[2])], model), in_place=True)\n"
    )
    for writes in (1, 2, 3):
        command = [sys.executable, "-c", program, str(root), str(tmp_path / "d.safetensors")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(writes):
                assert child.stdout.readline() == b"wrote\n"
            os.kill(child.pid, signal.SIGKILL)
        assert status(model).interrupted and tree(root) != before
        with refused("E633"):
            apply(plan_apply([delta], model), out=tmp_path / "out")
        if writes == 2:
            apply(plan_apply([delta], model), in_place=True)
            assert status(model).applied == (delta.delta_id,)
        revert(model)
        assert tree(root) == before


def test_the_old_bytes_are_on_the_disk_before_the_first_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync of undo.bin and record.json, of their folder, then each weight file, then the mark that all is done."""
    model = pipeline(tmp_path / "m")
    plan = plan_apply([delta_for(model, names=KEYS[:2])], model)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    apply(plan, in_place=True)
    weights = "diffusion_pytorch_model.safetensors"
    first, last = synced.index(weights), len(synced) - 1 - synced[::-1].index(weights)
    assert {"undo.bin", "record.json"} < set(synced[:first]) and synced[first - 1] == ".editc"
    assert first == last and synced[last + 1] == "done"


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    plan, before = plan_apply([delta_for(model)], model), tree(tmp_path)
    with disk.lock_model(tmp_path / "m"):
        with refused("E637"):
            apply(plan, in_place=True)
        with refused("E637"):
            revert(model)
    assert tree(tmp_path) == before
    apply(plan, in_place=True)


@pytest.mark.parametrize("place", ["m", "m/unet", "m/unet/diffusion_pytorch_model.safetensors"])
def test_applies_are_a_stack(tmp_path: Path, place: str) -> None:
    write_pipeline(tmp_path / "m")
    model = open_model(tmp_path / place)
    trees, deltas = [tree(tmp_path)], []
    for seed in (1, 2, 3):
        deltas.append(delta_for(model, "low-rank", names=KEYS[:seed], seed=seed))
        time.sleep(0.01)
        apply(plan_apply([deltas[-1]], model), in_place=True)
        trees.append(tree(tmp_path))
        assert status(model).applied == tuple(delta.delta_id for delta in deltas)
    for count in (2, 1, 0):
        undone = revert(model)
        assert [d["delta_id"] for d in undone.deltas] == [deltas[count].delta_id] and undone.tensors == count + 1
        assert tree(tmp_path) == trees[count]
    with refused("E634"):
        revert(model)


def test_a_copy_has_nothing_to_revert_but_knows_its_deltas(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    one, two = delta_for(model, names=KEYS[:1]), delta_for(model, "dense", names=KEYS[1:])
    apply(plan_apply([one], model), in_place=True)
    apply(plan_apply([two], model), out=tmp_path / "out")
    out = open_model(tmp_path / "out")
    assert status(out).applied == (one.delta_id, two.delta_id)
    assert not list((tmp_path / "out" / ".editc").rglob("undo.bin"))
    before = tree(tmp_path)
    with refused("E634"):
        revert(out)
    assert tree(tmp_path) == before


def test_status_goes_by_hashes_and_not_by_the_journal(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    weights = model.component("unet")
    base, delta = {name: weights.raw(name) for name in KEYS}, delta_for(model)

    def presence() -> str:
        (found,) = status(model, [delta]).deltas
        return found.presence

    assert presence() == "not applied"
    apply(plan_apply([delta], model), in_place=True)
    assert presence() == "applied"
    for name in KEYS[:1]:
        disk.write_at(weights.where(name).file, weights.where(name).offset, base[name])
    assert presence() == "partly"
    for name in KEYS:
        disk.write_at(weights.where(name).file, weights.where(name).offset, base[name])
    assert presence() == "not applied"
    disk.write_at(weights.where(KEYS[0]).file, weights.where(KEYS[0]).offset, b"\1\2\3")
    assert presence() == "unknown"
    assert status(pipeline(tmp_path / "other", seed=5), [delta]).deltas[0].presence == "unknown"


def test_revert_does_not_undo_what_came_after(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    apply(plan_apply([delta_for(model)], model), in_place=True)
    tensor = model.component("unet").where(KEYS[0])
    disk.write_at(tensor.file, tensor.offset, b"\1\2\3")
    before = tree(tmp_path)
    with refused("E636"):
        revert(model)
    tensor.file.write_bytes(tensor.file.read_bytes() + b"\0" * 4)
    with refused("E636"):
        revert(model)
    tensor.file.unlink()
    with refused("E636"):
        revert(model)
    assert {n: f for n, f in tree(tmp_path).items() if "unet" not in n} == {
        n: f for n, f in before.items() if "unet" not in n
    }


def test_undo_bytes_that_rotted_are_not_written_back(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    apply(plan_apply([delta_for(model)], model), in_place=True)
    (undo,) = (tmp_path / "m" / ".editc").rglob("undo.bin")
    for end in (b"\7", b""):
        kept = undo.read_bytes()
        undo.write_bytes(kept[:-1] + end)
        before = tree(tmp_path)
        with pytest.raises(Exception, match=r"E635|E612"):
            revert(model)
        assert tree(tmp_path) == before
        undo.write_bytes(kept)
    revert(model)


def a_link(record: dict[str, Any], root: Path) -> None:
    """Every range lies in a file that is a link to another one outside the model."""
    (root / "m" / "link.safetensors").symlink_to(root / "victim.safetensors")
    record.update(files={"link.safetensors": next(iter(record["files"].values()))})
    for part in record["ranges"]:
        part.update(file="link.safetensors")


FORGED: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "a file outside": lambda r, root: r.update(
        files={"../victim.safetensors": next(iter(r["files"].values()))},
        ranges=[part | {"file": "../victim.safetensors"} for part in r["ranges"]],
    ),
    "an absolute file": lambda r, root: r["files"].update({str(root / "victim.safetensors"): {}}),
    "a link": lambda r, root: a_link(r, root),
    "a file without a mark": lambda r, root: [part.update(file="other.safetensors") for part in r["ranges"]],
    "something that is not a weight file": lambda r, root: r["files"].update({"README.md": {}}),
    "a negative offset": lambda r, root: r["ranges"][0].update(offset=-8),
    "an offset that is a text": lambda r, root: r["ranges"][0].update(offset="8"),
    "no ranges": lambda r, root: r.pop("ranges"),
    "another version": lambda r, root: r.update(version=2),
    "another mode": lambda r, root: r.update(mode="?"),
    "no deltas": lambda r, root: r.update(deltas=[]),
    "a delta without id": lambda r, root: r.update(deltas=[{}]),
    "a delta that is a text": lambda r, root: r.update(deltas=["x"]),
    "an extra field": lambda r, root: r["ranges"][0].update(more=1),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_journal_reaches_nothing(tmp_path: Path, name: str) -> None:
    model = pipeline(tmp_path / "m")
    delta = delta_for(model)
    apply(plan_apply([delta], model), in_place=True)
    victim = tmp_path / "victim.safetensors"
    victim.write_bytes(model.component("unet").where(KEYS[0]).file.read_bytes())
    (record,) = (tmp_path / "m" / ".editc").rglob("record.json")
    value = json.loads(record.read_text())
    FORGED[name](value, tmp_path)
    record.write_text(json.dumps(value))
    before = tree(tmp_path)
    for verb in (lambda: revert(model), lambda: status(model), lambda: plan_apply([delta], model)):
        with refused("E635"):
            verb()
    assert tree(tmp_path) == before


def test_a_journal_that_is_a_link_or_not_json_is_refused(tmp_path: Path) -> None:
    model = pipeline(tmp_path / "m")
    apply(plan_apply([delta_for(model)], model), in_place=True)
    (record,) = (tmp_path / "m" / ".editc").rglob("record.json")
    record.write_bytes(b"\xff")
    with refused("E635"):
        revert(model)
    (tmp_path / "m" / ".editc").rename(tmp_path / "elsewhere")
    (tmp_path / "m" / ".editc").symlink_to(tmp_path / "elsewhere")
    with refused("E635"):
        revert(model)


def test_the_component_shares_the_journal_of_its_pipeline(tmp_path: Path) -> None:
    root = write_pipeline(tmp_path / "m")
    before = tree(tmp_path)
    delta = delta_for(open_model(root))
    apply(plan_apply([delta], open_model(root / "unet")), in_place=True)
    assert status(open_model(root)).applied == (delta.delta_id,)
    assert [entry.done for entry in journal.entries(journal.locate_journal(open_model(root)))] == [True]
    revert(open_model(root))
    assert tree(tmp_path) == before
