"""A model that lies elsewhere is looked into by its headers and the edited tensors alone."""

from __future__ import annotations

import html
import json
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import editc
from hub_server import running_hub
from loopback import Answer, Request, Service, running
from signing_cases import BASE, DELTAS, refused

from editc.formats.containers.placeholders import FILES
from editc.verbs.public import apply, inspect, plan_apply, status


class Folder(Service):
    """A web server over a folder, with ranges and lists of its files."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def answer(self, request: Request) -> Answer:
        path = self.root / request.path.strip("/")
        if path.is_dir():
            names = [f"{one.name}{'/' if one.is_dir() else ''}" for one in sorted(path.iterdir())]
            links = "".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>' for name in names)
            return Answer(200, links.encode(), {"Content-Type": "text/html"})
        if not path.is_file():
            return Answer(404)
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Answer(200, data, {"Accept-Ranges": "bytes"}, large=True)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[Folder]:
    with running(Folder(BASE)) as service:
        yield service


DELTA = DELTAS / "low-rank.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"


def header_size(path: Path) -> int:
    return int(8 + struct.unpack("<Q", path.read_bytes()[:8])[0])


def test_a_dry_run_says_what_it_says_of_the_folder_on_this_disk(server: Folder) -> None:
    place = f"http://{server.base}"
    here, there = plan_apply(DELTA, BASE), plan_apply(DELTA, place)
    assert (there.status, there.tier, there.bytes_to_write) == (here.status, here.tier, here.bytes_to_write)
    assert [(t.base, t.result) for t in there.targets] == [(t.base, t.result) for t in here.targets]
    assert there.model.place == place and "bytes from http://" in there.notes[-1] and not FILES


def test_of_weights_only_the_header_and_the_edited_tensors_are_read(server: Folder) -> None:
    place = f"http://{server.base}/{UNET}"
    plan = plan_apply(DELTA, place)
    edited = sum(target.tensor.nbytes for target in plan.targets)
    assert 0 < edited < server.sent <= header_size(BASE / UNET) + 1.05 * edited
    assert f"read {server.sent:,} of {(BASE / UNET).stat().st_size:,} bytes" in plan.notes[-1]


def test_inspect_reads_headers_alone(server: Folder) -> None:
    there, here = inspect(f"http://{server.base}/{UNET}"), inspect(BASE / UNET)
    assert there["components"] == here["components"] and server.sent == header_size(BASE / UNET)


def test_status_finds_a_delta_that_is_in(tmp_path: Path) -> None:
    apply(DELTA, BASE, tmp_path / "edited")
    with running(Folder(tmp_path / "edited")) as server:
        found = status(f"http://{server.base}", DELTA)
        ran = editc("status", f"http://{server.base}", "--delta", str(DELTA))
    assert len(found.applied) == 1 and found.notes
    assert ran.returncode == 0 and ran.stdout.splitlines()[0] == f"http://{server.base}"


def test_the_commands_show_how_much_was_read(server: Folder) -> None:
    place = f"http://{server.base}"
    ran = editc("apply", str(DELTA), "--to", place, "--dry-run")
    assert ran.returncode == 0 and "note: read " in ran.stdout and ran.stdout.startswith(place)
    assert "note: read " in editc("inspect", place).stdout


def test_a_model_elsewhere_is_not_edited(server: Folder, tmp_path: Path) -> None:
    assert refused(lambda: apply(DELTA, f"http://{server.base}", tmp_path / "edited")).code == "E964"
    assert refused(lambda: apply(DELTA, f"http://{server.base}", in_place=True)).code == "E964"


def test_a_server_without_ranges_is_refused_and_not_read_whole(server: Folder) -> None:
    server.ranges = False
    assert refused(lambda: plan_apply(DELTA, f"http://{server.base}/{UNET}")).code == "E962"


def test_what_is_not_there_and_what_has_no_ranges_to_read(server: Folder, tmp_path: Path) -> None:
    assert refused(lambda: inspect(f"http://{server.base}/none.safetensors")).code == "E960"
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    with running(Folder(tmp_path)) as other:
        assert refused(lambda: inspect(f"http://{other.base}/model.gguf")).code == "E963"
    assert refused(lambda: inspect("http://127.0.0.1:9/x.safetensors")).code == "E959"


def test_errors_name_the_place_and_not_the_mirror(tmp_path: Path) -> None:
    head = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    with running(Folder(tmp_path)) as server:
        found = refused(lambda: inspect(f"http://{server.base}/model.safetensors"))
    assert found.code == "E612" and found.place == f"http://{server.base}/model.safetensors"


def test_a_model_on_the_hub_that_is_not_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub(monkeypatch) as hub:
        files = {path.relative_to(BASE).as_posix(): path.read_bytes() for path in BASE.rglob("*") if path.is_file()}
        hub.repos["owner/base"] = {"main": hub._keep(files)}
        plan = plan_apply(DELTA, "hf://owner/base")
    assert plan.status == "ready" and plan.tier == plan_apply(DELTA, BASE).tier
