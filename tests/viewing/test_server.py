"""The server answers whoever knows its address, on this machine; a prompt is worked on only while its page is there."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from view_cases import build_folder

from editc.viewing import studio
from editc.viewing.server import Server
from editc.viewing.site import open_site
from editc.viewing.studio import BUSY

PATIENCE = 60.0
ASKED = {"page": "index.html", "prompt": "a circle", "seed": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = open_site(build_folder(tmp_path_factory.mktemp("view") / "out"), "editc:demo")
    with Server(site, opener="view_cases:open_fake") as running:
        yield running


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        return [found for line in self.body.splitlines() if (found := json.loads(line))]


@contextmanager
def asking(server: Server, method: str, path: str, body: str = "", **headers: str) -> Iterator[HTTPResponse]:
    """An answer that is read while the server still works on it. At the end of the `with` the page is gone."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as line:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        line.request(method, path.replace("SECRET", server.secret), body.encode() or None, named)
        with closing(line.getresponse()) as answer:
            yield answer


def ask(server: Server, method: str, path: str, body: str = "", **headers: str) -> Answer:
    with asking(server, method, path, body, **headers) as found:
        return Answer(found.status, found.headers, found.read())


def prompt(**changed: Any) -> tuple[str, str, str]:
    return "POST", "/SECRET/try", json.dumps(ASKED | changed)


def post(server: Server, **changed: Any) -> Answer:
    return ask(server, *prompt(**changed), Content_Type="application/json")


# ---------------------------------------------------------------- who is answered


@pytest.mark.parametrize("path", ["/SECRET/", "/SECRET/index.html"])
def test_the_page_is_at_the_address(server: Server, path: str) -> None:
    answer = ask(server, "GET", path)
    assert answer.status == 200 and b"Before and after" in answer.body
    assert ask(server, "HEAD", path).body == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_machine_goes_by_two_names(server: Server, host: str) -> None:
    own = f"{host}:{server.port}"
    assert ask(server, "GET", "/SECRET/", Host=own, Origin=f"http://{own}").status == 200


def test_a_page_of_another_host_is_refused(server: Server) -> None:
    for headers in ({"Host": f"evil.example:{server.port}"}, {"Host": "127.0.0.1"}, {"Origin": "https://evil.example"}):
        answer = ask(server, "GET", "/SECRET/", **headers)
        assert answer.status == 403 and b"<html" not in answer.body, headers
        assert ask(server, "POST", "/SECRET/try", "{}", **headers).status == 403


@pytest.mark.parametrize("path", ["/", "/index.html", "/x/", "/SECRET", "/SECRETx/"])
def test_whoever_does_not_know_the_secret_gets_nothing(server: Server, path: str) -> None:
    assert ask(server, "GET", path).status == 404


@pytest.mark.parametrize(
    "place", ["report.json", "delta.safetensors", "../report.json", "%2e%2e/", "/etc/passwd", "cells/x.html", "try"]
)
def test_no_address_is_a_path_on_the_disk(server: Server, place: str) -> None:
    assert ask(server, "GET", f"/SECRET/{place}").status == 404


def test_only_this_machine_is_listened_to(server: Server) -> None:
    assert server._http.server_address[0] == "127.0.0.1"
    assert len(server.secret) >= 20 and server.secret not in Server(server.site).secret


def test_every_answer_forbids_the_browser_what_it_need_not_do(server: Server) -> None:
    for answer in (ask(server, "GET", "/SECRET/"), ask(server, "GET", "/"), post(server)):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        (scripts,) = re.findall("script-src [^;]*", policy)
        assert re.fullmatch("script-src 'sha256-[^']*'", scripts)
        assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"


# ---------------------------------------------------------------- prompts


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        *(json.dumps(ASKED | wrong) for wrong in ({"seed": -1}, {"seed": True}, {"prompt": 1})),
    ],
)
def test_what_is_no_prompt_is_refused(server: Server, body: str) -> None:
    assert ask(server, "POST", "/SECRET/try", body, Content_Type="application/json").status == 400


def test_a_form_of_another_page_cannot_ask(server: Server) -> None:
    assert ask(server, "POST", "/SECRET/try", json.dumps(ASKED), Content_Type="text/plain").status == 400
    assert ask(server, "POST", "/SECRET/try", "", Content_Type="application/json", Content_Length="9" * 9).status == 400


def test_a_prompt_is_answered_before_and_after(server: Server) -> None:
    found = post(server).messages
    assert [one.get("part") for one in found[-2:]] == ["before", "after"]
    assert found[-1]["image"].startswith("data:image/png;base64,") and found[-1] != found[-2]
    assert {"stage": "painting before the edit", "done": 2, "of": 3} in found
    assert post(server).messages[-2:] == found[-2:], "the same seed gives the same picture"


def test_a_fault_is_told_and_the_next_prompt_answered(server: Server) -> None:
    for work, said in (("wrong", "no such thing"), ("dead", "the process that runs the model ended")):
        assert said in post(server, prompt=work).messages[-1]["error"]
        assert post(server).messages[-1]["part"] == "after"
    assert "no such page" in post(server, page="cells/x.html").messages[-1]["error"]


@pytest.mark.parametrize("work", ["slow", "stuck"])
def test_the_work_stops_when_the_page_goes(server: Server, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "GRACE", 0.5)
    assert post(server).messages[-1]["part"] == "after"
    assert server._studio is not None and server._studio._process is not None
    process = server._studio._process
    with asking(server, *prompt(prompt=work), Content_Type="application/json") as answer:
        assert answer.readline()
    started = time.monotonic()
    while server._studio._lock.locked():
        assert time.monotonic() < started + PATIENCE
        time.sleep(0.02)
    kept = server._studio._process is process and server._studio.running
    assert kept == (work == "slow"), "what does not stop between two steps is ended"
    assert post(server).messages[-1]["part"] == "after"


def test_two_pages_do_not_ask_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "GRACE", -0.5)
    with asking(server, *prompt(prompt="slow"), Content_Type="application/json") as first:
        assert first.readline()
        assert post(server).messages == [{"error": BUSY}]
        assert server._studio_for(("another delta", "another model")) is None
    monkeypatch.undo()
    assert server._studio_for(("another delta", "another model")) is not None, "the page is gone"


# ---------------------------------------------------------------- the command


def test_ctrl_c_ends_the_command_cleanly(tmp_path: Path) -> None:
    given = [sys.executable, "-P", "-m", "editc", "view", str(build_folder(tmp_path / "out")), "--json"]
    process = subprocess.Popen(
        given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background of a shell ignores Ctrl-C, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    said = json.loads(process.stdout.readline())
    assert said["status"] == "serving" and said["path"] == str(tmp_path / "out")
    port = int(said["address"].split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
        os.kill(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, rest, errors) == (0, "", "")
