"""Folders of builds for tests of publishing, and what may go wrong with them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from command import editc
from signing_cases import BASE, delta_file, key_files

from editc.formats.exports.read import read_delta
from editc.publish.staging import Pulled
from editc.verbs import evidence, public

REPORT: Mapping[str, Any] = {
    "model": "owner/base@0123456789abcdef",
    "family": {"name": "sd1", "title": "Stable Diffusion 1.x"},
    "verdict": {
        "works": {"state": "green", "reasons": [{"text": "0 of 20 pictures still show circle"}]},
        "robust": {"state": "red", "reasons": [{"text": "an attack with `quotes` | and <b> brings it back"}]},
    },
    "attacks": [{"attack": "inversion", "concept": "circle", "shown": 3, "of": 20, "control": 19}],
    "exports": [
        {"format": "kohya", "files": ["delta.kohya.safetensors"]},
        {"format": "peft", "files": ["peft/adapter_config.json", "peft/adapter_model.safetensors"]},
        {"format": "checkpoint", "files": ["model/unet.safetensors"]},
        {"format": "kohya", "files": ["../outside", "/etc/passwd", "secret.png", 7]},
    ],
}
"""A report with all that a card shows, and with files that must not travel."""


def built(folder: Path, form: str = "low-rank") -> Path:
    """The folder of a build, with exports, and with files that are nobody's business."""
    out = folder / "out"
    (out / "peft").mkdir(parents=True)
    (out / "model").mkdir()
    delta = read_delta(delta_file(out, form))
    (out / "report.json").write_text(json.dumps({**REPORT, "delta_id": delta.delta_id}))
    for name in (
        "report.html",
        "delta.kohya.safetensors",
        "peft/adapter_config.json",
        "peft/adapter_model.safetensors",
    ):
        (out / name).write_text(f"bytes of {name}")
    for name in ("secret.png", "notes.txt", "model/unet.safetensors", "peft/optimizer.pt"):
        (out / name).write_text("private")
    return out


TRAVELS = {
    "README.md",
    "delta.kohya.safetensors",
    "delta.safetensors",
    "delta.safetensors.intoto.jsonl",
    "delta.safetensors.sig",
    "manifest.yaml",
    "peft/adapter_config.json",
    "peft/adapter_model.safetensors",
    "report.html",
    "report.json",
}
"""What travels of `built`, once its delta is signed."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of every file in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def signed_build(folder: Path, form: str = "low-rank") -> Path:
    """The folder of a build whose delta is signed by `key.pem` beside the folder."""
    out = built(folder, form)
    evidence.sign(out / "delta.safetensors", key_files(folder).secret)
    return out


def assert_round_trip(folder: Path, target: str, source: Callable[[str], str] = str) -> Pulled:
    """Push, pull, verify-signature, apply, revert: what arrives is what left, and the model is as it was at the end."""
    out = signed_build(folder)
    pushed = editc("push", str(out), target, "--licence", "mit", "--json")
    assert pushed.returncode == 0, pushed.stderr
    place = source(str(json.loads(pushed.stdout)["place"]))
    pulled = public.pull(place, folder / "got")
    got = files_of(pulled.folder)
    assert got.keys() == TRAVELS
    assert all(got[name] == (out / name).read_bytes() for name in TRAVELS - {"README.md", "manifest.yaml"})
    assert evidence.verify_signature(pulled.delta, folder / "key.pub").key.name == str(folder / "key.pub")
    model = Path(shutil.copytree(BASE, folder / "base"))
    before = files_of(model)
    public.apply(pulled.delta, model, in_place=True)
    assert public.status(model, pulled.delta).applied == (pulled.listing.delta_id,)
    public.revert(model)
    assert files_of(model) == before
    return pulled


def pull_killed(service: Any, place: str, folder: Path, stalls: Sequence[list[int]]) -> dict[str, bytes]:
    """The files of a pull into `got` that is killed once for each list of bytes after which a service stalls: always
    in the middle of the largest file."""
    command = [sys.executable, "-P", "-m", "editc", "pull", place, "--out", str(folder / "got")]
    for stall in stalls:
        service.stall_after, before = [*stall], largest(folder)
        service.stalled.clear()
        process = subprocess.Popen(command)
        assert service.stalled.wait(120)
        assert wait_for(lambda: largest(folder), before + 120_000), "what came is on the disk"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "got").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return files_of(folder / "got")


def largest(folder: Path) -> int:
    """The size of the largest file that a pull into `got` has fetched so far."""
    return max((path.stat().st_size for path in folder.glob(".got.*.editc-pull/*") if path.is_file()), default=0)


def wait_for(measured: Callable[[], int], size: int) -> bool:
    """Wait until something is that large. False after 20 seconds."""
    for _ in range(400):
        if measured() >= size:
            return True
        time.sleep(0.05)
    return False
